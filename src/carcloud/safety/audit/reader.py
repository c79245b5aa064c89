"""Reading the log while it is written: leaves with their proofs, the newest checkpoint, and the files themselves."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from carcloud.backends.records.audit import Run
from carcloud.errors import InputError, MissingError
from carcloud.safety.audit.note import Checkpoint, Key, Note, parse_checkpoint, parse_note
from carcloud.safety.audit.tiles import Tiles
from carcloud.safety.audit.tree import inclusion_proof

_TILE = re.compile(r"(?:[0-9]|[1-5][0-9]|6[0-3]|entries)/(?:x[0-9]{3}/){0,6}[0-9]{3}(?:\.p/[1-9][0-9]{0,2})?")
ENTRIES = "entries/"


@dataclass(frozen=True)
class Shown:
    """A checkpoint as it stands on the disk: the note, what it says, and since when."""

    note: Note
    checkpoint: Checkpoint
    at: datetime

    def good(self, key: Key) -> bool:
        """Say whether this key's signature is under it and holds."""
        try:
            return self.note.of(key) is not None
        except InputError:
            return False


@dataclass(frozen=True)
class Proven:
    """A leaf's bytes, and the proof that it is in the checkpoint."""

    entry: bytes
    proof: list[bytes]
    checkpoint: Checkpoint


class LogReader:
    """Reads the log in `folder`. `signers()` returns the keys of log and witnesses; `tenant` runs the zone."""

    def __init__(self, folder: Path, signers: Callable[[], Sequence[Key]], tenant: str) -> None:
        self._folder, self.signers, self.tenant = folder, signers, tenant
        self._tiles = Tiles(folder)

    def newest(self) -> Shown:
        """Return the newest checkpoint; raise MissingError before the first."""
        path = self._folder / "checkpoint"
        try:
            note, at = parse_note(path.read_bytes()), path.stat().st_mtime
        except FileNotFoundError:
            raise MissingError("The audit log has not begun yet.", "Ask again in a few seconds.") from None
        return Shown(note, parse_checkpoint(note.text), datetime.fromtimestamp(at, UTC))

    def leaf(self, number: int) -> Proven:
        """Return a leaf with the proof that the newest checkpoint covers it.

        Raises:
            MissingError: it has no such leaf. ConflictError: a file of the log is gone or cut.
        """
        found = self.newest().checkpoint
        if not 0 <= number < found.size:
            raise MissingError(f"The audit log has no leaf {number}.", f"It has {found.size}, numbered from 0.")
        entry = self._tiles.entry(number, found.size)
        return Proven(entry, inclusion_proof(number, found.size, self._tiles.hash_of(found.size)), found)

    def entries(self, numbers: Sequence[int]) -> list[bytes]:
        """Return the bytes of leaves by their numbers, as far as the newest checkpoint covers them."""
        size = self.newest().checkpoint.size
        return [self._tiles.entry(number, size) for number in numbers if number < size]

    def tile(self, path: str) -> bytes:
        """Return a tile's file by its path below `tile/`; raise MissingError where there is none."""
        try:
            if _TILE.fullmatch(path):
                return (self._folder / "tile" / path).read_bytes()
        except OSError:
            pass  # said below
        raise MissingError("The audit log has no such tile.", "A partial tile goes when the full one stands.")


def chunk_leaves(
    runs: Sequence[Run], before: int | None, chunk: int | None, until: datetime | None, at: Callable[[int], datetime]
) -> Iterator[int]:
    """Yield the leaves of receipts of chunks, the newest first: below the leaf `before`, earlier than `until`.

    `chunk`: of this one only. `at(number)` returns a leaf's time: receipts are in the order of their times.
    """
    for run in reversed(runs):
        end = run.count if before is None else min(run.count, before - run.number)
        if until is not None and end > 0:
            end = bisect_left(range(run.number, run.number + end), until, key=at)
        if chunk is not None:
            inside = 0 <= chunk - run.chunk < end
            yield from (run.number + chunk - run.chunk,) if inside else ()
        else:
            yield from range(run.number + end - 1, run.number - 1, -1)


def parsed_chunk(object_: str) -> int:
    """Return the number in `chunk:NUMBER`; raise InputError where there is none."""
    number = object_.removeprefix("chunk:")
    if not number.isdecimal() or len(number) > 18:
        raise InputError(f"{object_[:40]!r} is no chunk.", "Write chunk:NUMBER.")
    return int(number)
