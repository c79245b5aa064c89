"""Planners by the text that names them.

`idm`, `log`, `constant-speed`, `r157-cc-human`, `r157-reg157`, `r157-rss`, `r157-fsm`: ours. `path/to/file.py:Name`: a
class or function of a Python file, in a process of its own. `exec:program argument …`: any program.
"""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from carcloud import __version__
from carcloud.errors import InputError
from carcloud.research.simulation.builtin import CODES, BuiltIn
from carcloud.research.simulation.compiled import STAMP
from carcloud.research.simulation.outer import FilePlanner, ProgramPlanner
from carcloud.research.simulation.planner import Planner

DO = f"Use one of {', '.join(CODES)}; path/to/file.py:Name; or exec:program."


def planner_of(reference: str) -> Planner:
    """Return the planner that a text names.

    Raises:
        InputError: it names none.
    """
    if reference in CODES:
        return BuiltIn(reference)
    if reference.startswith("exec:"):
        words = _words(reference)
        return ProgramPlanner(reference, words)
    file, name = _file(reference)
    return FilePlanner(reference, file, name)


def planner_hash(reference: str) -> str:
    """Return a SHA-256 that says which planner it was: of our machine code, the Python file, or the program's file.

    What a planner's file imports, and what a program loads, does not enter.
    """
    if reference in CODES:
        told = f"{reference} {__version__} {STAMP}".encode()
    elif reference.startswith("exec:"):
        words = _words(reference)
        told = reference.encode() + b"".join(_bytes(Path(word)) for word in words)
    else:
        file, name = _file(reference)
        told = name.encode() + _bytes(file)
    return hashlib.sha256(told).hexdigest()


def _words(reference: str) -> list[str]:
    try:
        words = shlex.split(reference.removeprefix("exec:"))
    except ValueError as error:
        raise InputError(f"{reference!r} is no command line: {error}.", DO) from error
    if not words:
        raise InputError("exec: names no program.", DO)
    return words


def _file(reference: str) -> tuple[Path, str]:
    path, _, name = reference.rpartition(":")
    if not path.endswith(".py") or not name.isidentifier():
        raise InputError(f"There is no planner {reference!r}.", DO)
    if not Path(path).is_file():
        raise InputError(f"There is no file {path}.", DO)
    return Path(path), name


def _bytes(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""
