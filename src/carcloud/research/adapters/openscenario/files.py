"""Files that a scenario refers to: its roads and its catalogs. They lie beside it, or nowhere.

Rules:
* A reference is followed within the scenario's own folder only. One that leads out of it, by `..`, an absolute path or
  a link, is not followed: a file of that name that lies beside the scenario is taken in its place, or none.
* What was read once is kept until the file changes.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from carcloud.errors import InputError
from carcloud.research.adapters.xml import parse

LIMIT_CATALOGS = 200
"""Catalog files in one folder."""
KEPT_FILES = 64


def beside(folder: Path, said: str) -> Path | None:
    """Return what a reference means within a folder: a file or folder that is there; None where there is none."""
    if not said or "\0" in said:
        return None
    path = PurePosixPath(said.replace("\\", "/"))
    inside = not path.is_absolute() and not PureWindowsPath(said).drive and ".." not in path.parts
    root = folder.resolve()
    for candidate in ([root / path] if inside else []) + ([root / path.name] if path.name not in ("", "..") else []):
        real = candidate.resolve()
        if real.is_relative_to(root) and real.exists():
            return real
    return None


def road_file(folder: Path, said: str) -> Path:
    """Return the road file that a scenario names.

    Raises:
        InputError: it is not in the scenario's folder.
    """
    found = beside(folder, said)
    if found is None or not found.is_file():
        name = PurePosixPath(said.replace("\\", "/")).name
        raise InputError(
            f"The scenario's roads, {said[:200]!r}, are not in its folder.",
            f"Put {name[:100]} beside the scenario, or name a road file with --road.",
        )
    return found


def read_xml(path: Path) -> Any:
    """Return the root element of a file, read once for each state of it."""
    state = path.stat()
    return _read_xml(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=KEPT_FILES)
def _read_xml(path: Path, changed: int, size: int) -> Any:
    return parse(path)


def catalogs_in(folder: Path, said: str) -> list[Any]:
    """Return the Catalog elements of a catalog's folder, or of what lies beside the scenario where it leads out."""
    at = beside(folder, said)
    files = [at] if at is not None and at.is_file() else sorted((at or folder).glob("*.xosc"))[:LIMIT_CATALOGS]
    found = []
    for file in files:
        if file.resolve().is_relative_to(folder.resolve()):
            found += read_xml(file).findall("Catalog")
    return found
