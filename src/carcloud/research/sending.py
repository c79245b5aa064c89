"""Sending a recording: its files are read twice, once for their SHA-256 and once for their parts, and never held whole.

Rules:
* What is sent is one file or folder, and what is to lie beside it. Links are not followed, hidden files stay out.
* What is there already is not sent again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from carcloud.backends.objects import PIECE_BYTES
from carcloud.backends.records.recordings import RecordedFile, Recording
from carcloud.errors import InputError, MissingError
from carcloud.research.adapters.adapter import Progress
from carcloud.research.manifest import PART_BYTES, Manifest
from carcloud.research.recordings import Desk


@dataclass(frozen=True)
class Sent:
    """How far a recording is: its id, state, and the numbers of the parts that are missing."""

    id: str
    state: str
    missing: Sequence[int]


class Door(Protocol):
    """Where a recording is sent: the desk of a zone on this machine, or one over HTTP."""

    def begin(self, said: Manifest) -> Sent:
        """Begin a recording, or go on with it; raise as `Desk.begin`."""

    def put_part(self, id: str, number: int, data: bytes) -> None:  # noqa: A002
        """Send a part; raise as `Desk.put_part`."""

    def finish(self, id: str) -> Sent:  # noqa: A002
        """Say that all parts are sent; raise as `Desk.finish`."""


class OwnDoor:
    """The desk of a zone whose data folder is on this machine."""

    def __init__(self, desk: Desk, tenant: str, actor: str) -> None:
        self._desk, self._tenant, self._actor = desk, tenant, actor
        self._found: dict[str, Recording] = {}

    def begin(self, said: Manifest) -> Sent:
        """Begin a recording; raise as `Desk.begin`."""
        return self._seen(self._desk.begin(self._tenant, said, self._actor, datetime.now(UTC)))

    def put_part(self, id: str, number: int, data: bytes) -> None:  # noqa: A002
        """Keep a part; raise as `Desk.put_part`."""
        self._desk.put_part(self._found[id], number, data, hashlib.sha256(data).hexdigest())

    def finish(self, id: str) -> Sent:  # noqa: A002
        """Finish a recording; raise as `Desk.finish`."""
        return self._seen(self._desk.finish(self._found[id], self._actor, datetime.now(UTC)))

    def _seen(self, found: Recording) -> Sent:
        self._found[found.id] = found
        return Sent(found.id, found.state, self._desk.missing(found))


@dataclass(frozen=True)
class Source:
    """The files of a recording on this machine: name in the recording → path, in the order they are sent."""

    files: dict[str, Path]

    def sizes(self) -> tuple[RecordedFile, ...]:
        """Return the files as a manifest names them."""
        return tuple(RecordedFile(name, _size(path)) for name, path in self.files.items())

    def sha256(self) -> str:
        """Return the SHA-256 of all files, one after another."""
        told = hashlib.sha256()
        for piece in self._pieces(0):
            told.update(piece)
        return told.hexdigest()

    def part(self, number: int) -> bytes:
        """Return a part; the first has number 1."""
        found = bytearray()
        for piece in self._pieces((number - 1) * PART_BYTES):
            found += piece[: PART_BYTES - len(found)]
            if len(found) == PART_BYTES:
                break
        return bytes(found)

    def _pieces(self, begin: int) -> Iterator[bytes]:
        for path in self.files.values():
            size = _size(path)
            if begin < size:
                with _opened(path) as source:
                    source.seek(begin)
                    while piece := source.read(PIECE_BYTES):
                        yield piece
            begin = max(begin - size, 0)


def gathered(path: Path, beside: Sequence[Path], mapping: Path | None, road: Path | None) -> tuple[Source, Manifest]:
    """Return a file or folder with what lies beside it, and the manifest that names it.

    Raises:
        MissingError: there is no such file. InputError: it cannot be read, or two would have one name.
    """
    path = path.absolute()
    files = dict(_below(path, path.parent))
    for one in (*beside, *filter(None, (mapping, road))):
        one = one.absolute()
        root = path.parent if one.is_relative_to(path.parent) else one.parent
        for name, file in _below(one, root):
            if files.setdefault(name, file) != file:
                raise InputError(f"Two files would be {name} in the recording.", "Rename one.")
    source = Source(files)
    named = {key: _name(one.absolute(), files) if one else "" for key, one in (("mapping", mapping), ("road", road))}
    main = path.name if len(files) > 1 or path.is_dir() else ""
    return source, Manifest(
        source.sizes(), source.sha256(), path.name, main=main, mapping=named["mapping"], road=named["road"]
    )


def send(door: Door, source: Source, said: Manifest, told: Progress) -> Sent:
    """Send what is missing of a recording, and finish it; raise as the door does."""
    sent = door.begin(said)
    if sent.state != "uploading":
        return sent
    for at, number in enumerate(sent.missing):
        told(at / len(sent.missing))
        door.put_part(sent.id, number, source.part(number))
    return replace(door.finish(sent.id), missing=())


def _below(path: Path, root: Path) -> Iterator[tuple[str, Path]]:
    if not path.exists():
        raise MissingError(f"There is no file {path}.", "Check the path.")
    found = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in found:
        name = file.relative_to(root).as_posix()
        hidden = any(part.startswith(".") for part in file.relative_to(path.parent).parts)
        if file.is_file() and (file == path or not (file.is_symlink() or hidden or not _size(file))):
            yield name, file


def _name(path: Path, files: dict[str, Path]) -> str:
    return next(name for name, file in files.items() if file == path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the file.") from None


def _opened(path: Path) -> Any:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.", "Check the file.") from None
