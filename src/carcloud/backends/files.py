"""Local files that survive a power cut: flushed before anyone is told."""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from carcloud.errors import TryLaterError

FLUSHED_AT_ONCE = 8
"""Journals flush what several ask for in one go."""


def flush(path: Path) -> None:
    """Flush a file's content, or a folder's list of names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_flushed(path: Path, data: bytes) -> None:
    """Replace a file's content so that after a crash it is either the old or the new.

    Raises:
        TryLaterError: there is no room; the old content stands.
    """
    temporary = path.with_suffix(".new")
    try:
        with temporary.open("wb") as sink:
            sink.write(data)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
        flush(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise TryLaterError(f"{path.name} cannot be written: {error.strerror}.", "Make room on its disk.") from error


def write_all_flushed(contents: Mapping[Path, bytes]) -> None:
    """Write several files as `write_flushed` does, flushed side by side; folders that are missing are made.

    Raises:
        TryLaterError: there is no room; some may be written, and each that is has its new content.
    """
    fresh = {path: path.with_name(f"{path.name}.new") for path in contents}
    try:
        for path in contents:
            make_folder(path.parent)
        with ThreadPoolExecutor(FLUSHED_AT_ONCE) as pool:
            list(pool.map(_write, fresh.values(), contents.values()))
            for path, temporary in fresh.items():
                temporary.replace(path)
            list(pool.map(flush, {path.parent for path in contents}))
    except OSError as error:
        for temporary in fresh.values():
            temporary.unlink(missing_ok=True)
        raise TryLaterError(f"Files cannot be written: {error.strerror}.", "Make room on their disk.") from error


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, so that they outlast a power cut."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        flush(path.parent)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as sink:
        sink.write(data)
        sink.flush()
        os.fsync(sink.fileno())
