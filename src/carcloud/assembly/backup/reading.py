"""Reading what a zone keeps in files, as a backup takes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson

from carcloud.safety.audit.note import parse_checkpoint, parse_note


class Receipts:
    """The receipts in a file that the lake's version has rows for, read twice and never held: `size`, then `read`.

    Only the lake's writer changes the file, at its end, and by receipts of later chunks.
    """

    def __init__(self, file: Path, position: int) -> None:
        self._file, self._position, self._end = file, position, file.stat().st_size
        self.size = sum(map(len, self._lines()))
        self._coming, self._ready = self._lines(), b""

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end."""
        while len(self._ready) < size and (line := next(self._coming, b"")):
            self._ready += line
        part, self._ready = self._ready[:size], self._ready[size:]
        return part

    def _lines(self) -> Iterator[bytes]:
        with self._file.open("rb") as source:
            while source.tell() < self._end and (line := source.readline()):
                with suppress(orjson.JSONDecodeError, KeyError, TypeError):  # a line that a crash cut short
                    if orjson.loads(line)["statement"]["chunk"] <= self._position:
                        yield line.rstrip(b"\n") + b"\n"


def cosigned(witness: dict[str, bytes]) -> int:
    """Return the size of the newest checkpoint that the witness has cosigned."""
    notes = [parse_note(data) for name, data in witness.items() if name.startswith("newest-") and "." not in name]
    return max((parse_checkpoint(note.text).size for note in notes), default=0)


def files_below(folder: Path, apart: tuple[str, ...] = ()) -> Iterator[Path]:
    """Yield the files below a folder, but those below the parts named, sockets, links and drafts."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        name = path.name
        if name in apart or path.is_symlink() or path.suffix in (".new", ".sock"):
            continue
        if path.is_dir():
            within = tuple(part.partition("/")[2] for part in apart if part.startswith(f"{name}/"))
            yield from files_below(path, within)
        elif path.is_file():
            yield path
