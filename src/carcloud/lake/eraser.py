"""Erasing a car from the lake: its rows leave every file, old versions too, and a tombstone stands for each chunk.

Rules:
* Before a row is deleted the car's leaf of each chunk is computed, and signed: see tombstones.py. Cells of the car that
  expired before take part in it, and count as its rows.
* Files are rewritten one by one, each in a commit of its own; a crash between two goes on with the next.
* A file that was replaced is deleted once no query can still be reading it, and so is every older one with the car.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carcloud.backends.delta import LiveFile, Table
from carcloud.errors import ConflictError
from carcloud.lake.expired import Expired
from carcloud.lake.rows import Part, joined, part_of_file
from carcloud.lake.tombstones import Sign, Tombstone, counted, write, written
from carcloud.lake.windows import DICTIONARIES, cells_of_parts, windows
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import Keys, digest_of, leaf, rows_of


class Eraser:
    """Erases from one table; runs where the table is written.

    Args:
        table: the lake's. folder: where its tombstones of erased cars lie; beside it those of expired rows may.
        sign: signs tombstones. signed: tells whether the signer made a signature on tombstones.
        patience_s: how long a query may still read a file.
        keys: of the digests in receipts.
    """

    def __init__(self, table: Table, folder: Path, sign: Sign, signed: Verify, patience_s: float, keys: Keys) -> None:
        self._table, self._folder, self._sign, self._signed = table, folder, sign, signed
        self._patience_s, self._keys = patience_s, keys

    def erase(self, erasure: str, vehicle: str, pseudonyms: Collection[str] = ()) -> dict[str, Any]:
        """Erase a car under all its names; return how many rows and chunks it had. May be repeated after any failure.

        Raises:
            TryLaterError: the signer is away, or the disk is full.
            ConflictError: the table moved meanwhile.
        """
        names = (vehicle, *pseudonyms)
        if not written(self._folder, erasure):  # else rows may be gone already, and the tombstones stand for them
            write(self._folder, erasure, self._stones(names), self._sign)
        for file in self._holding(names):
            self._rewrite(file, names)
        gone = self._old(names)
        if gone:
            time.sleep(self._patience_s)
            self._table.delete(gone)
        self._table.checkpoint()
        chunks, rows = counted(self._folder, erasure)
        return {"chunks": chunks, "rows": rows}

    def _stones(self, names: Collection[str]) -> Iterator[Tombstone]:
        expired = Expired(self._folder.parent / "expired", self._signed, _unreadable)
        for by_chunk in windows(self._table, self._holding(names), lambda part: _only(part, names), _unreadable):
            for number, parts in sorted(by_chunk.items()):
                for car, found in cells_of_parts(parts, number, self._keys).items():
                    cells = {*found, *expired.of(number).cells.get(car, ())}
                    yield Tombstone(number, car, sum(map(rows_of, cells)), leaf(car, digest_of(cells)))

    def _holding(self, names: Collection[str]) -> list[LiveFile]:
        try:
            return [file for file in self._table.live() if self._holds(file.name, names)]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(str(error)) from error

    def _holds(self, file: str, names: Collection[str]) -> bool:
        return any(self._table.holds(file, "vehicle", name) for name in names)

    def _rewrite(self, file: LiveFile, names: Collection[str]) -> None:
        rows = self._table.read(file, DICTIONARIES)
        mine = pc.is_in(rows["vehicle"].cast(pa.string()), pa.array(list(names)))
        others = rows.filter(pc.invert(mine))
        left = others["vehicle"].cast(pa.string()).dictionary_encode()  # so that not even its id stays
        others = others.set_column(others.schema.names.index("vehicle"), "vehicle", left)
        name = Path(file.name).name.rsplit("-", 1)[0]
        new = [self._table.write(file.partition, joined([part_of_file(others)]), name)] if others.num_rows else []
        self._table.replace([file], new)

    def _old(self, names: Collection[str]) -> list[str]:
        """Return the files with the car that are on the disk and no longer in the table."""
        live = {file.name for file in self._table.live()}
        return [file for file in self._table.on_disk() - live if self._may_hold(file, names)]

    def _may_hold(self, file: str, names: Collection[str]) -> bool:
        try:
            return self._holds(file, names)
        except FileNotFoundError:
            return False  # it was swept meanwhile
        except (pa.ArrowException, OSError, ValueError):
            return True  # damaged, and no part of the table: nobody can tell what is in it, or needs it


def _unreadable(fault: str) -> None:
    raise _damaged(fault)


def _damaged(reason: str) -> ConflictError:
    return ConflictError(f"The lake cannot be erased from: {reason}.", "Restore the file, then it goes on by itself.")


def _only(part: Part, names: Collection[str]) -> Part | None:
    """Return a part's rows of one car, under any of its names, None where it has none."""
    at = np.flatnonzero(np.array([name in names for name in part.vehicles], np.bool_)[part.vehicle])
    return part.taken(at) if len(at) else None
