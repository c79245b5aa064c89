"""Erasing a car from the lake: its rows leave every file, old versions too, and a tombstone stands for each chunk.

Rules:
* Before a row is deleted the car's leaf of each chunk is computed from the rows, and signed: see tombstones.py.
* Files are rewritten one by one, each in a commit of its own; a crash between two goes on with the next.
* A file that was replaced is deleted once no query can still be reading it, and so is every older one with the car.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carcloud.backends.delta import LiveFile, Table
from carcloud.errors import ConflictError
from carcloud.lake.rows import Part, joined, part_of_file
from carcloud.lake.tombstones import Sign, Tombstone, counted, write, written
from carcloud.lake.windows import DICTIONARIES, as_chunk, windows
from carcloud.stream.receipts import car_digests, leaf


class Eraser:
    """Erases from one table; runs where the table is written. `patience_s`: how long a query may still read a file."""

    def __init__(self, table: Table, folder: Path, sign: Sign, patience_s: float) -> None:
        self._table, self._folder, self._sign, self._patience_s = table, folder, sign, patience_s

    def erase(self, erasure: str, vehicle: str) -> dict[str, Any]:
        """Erase a car; return how many rows and chunks it had. May be repeated after any failure.

        Raises:
            TryLaterError: the signer is away, or the disk is full.
            ConflictError: the table moved meanwhile.
        """
        if not written(self._folder, erasure):  # else rows may be gone already, and the tombstones stand for them
            write(self._folder, erasure, vehicle, self._stones(vehicle), self._sign)
        for file in self._holding(vehicle):
            self._rewrite(file, vehicle)
        gone = self._old(vehicle)
        if gone:
            time.sleep(self._patience_s)
            self._table.delete(gone)
        self._table.checkpoint()
        chunks, rows = counted(self._folder, erasure)
        return {"chunks": chunks, "rows": rows}

    def _stones(self, vehicle: str) -> Iterator[Tombstone]:
        for by_chunk in windows(self._table, self._holding(vehicle), lambda part: _only(part, vehicle), _unreadable):
            for number, parts in sorted(by_chunk.items()):
                rows = as_chunk(joined(parts))
                yield Tombstone(number, vehicle, rows.num_rows, leaf(vehicle, car_digests(rows)[vehicle]))

    def _holding(self, vehicle: str) -> list[LiveFile]:
        try:
            return [file for file in self._table.live() if self._table.holds(file.name, "vehicle", vehicle)]
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _damaged(str(error)) from error

    def _rewrite(self, file: LiveFile, vehicle: str) -> None:
        rows = self._table.read(file, DICTIONARIES)
        others = rows.filter(pc.not_equal(rows["vehicle"].cast(pa.string()), vehicle))
        names = others["vehicle"].cast(pa.string()).dictionary_encode()  # so that not even its id stays
        others = others.set_column(others.schema.names.index("vehicle"), "vehicle", names)
        name = Path(file.name).name.rsplit("-", 1)[0]
        new = [self._table.write(file.partition, joined([part_of_file(others)]), name)] if others.num_rows else []
        self._table.replace([file], new)

    def _old(self, vehicle: str) -> list[str]:
        """Return the files with the car that are on the disk and no longer in the table."""
        live = {file.name for file in self._table.live()}
        return [name for name in self._table.on_disk() - live if self._may_hold(name, vehicle)]

    def _may_hold(self, name: str, vehicle: str) -> bool:
        try:
            return self._table.holds(name, "vehicle", vehicle)
        except FileNotFoundError:
            return False  # it was swept meanwhile
        except (pa.ArrowException, OSError, ValueError):
            return True  # damaged, and no part of the table: nobody can tell what is in it, or needs it


def _unreadable(fault: str) -> None:
    raise _damaged(fault)


def _damaged(reason: str) -> ConflictError:
    return ConflictError(f"The lake cannot be erased from: {reason}.", "Restore the file, then it goes on by itself.")


def _only(part: Part, vehicle: str) -> Part | None:
    """Return a part's rows of one car, None where it has none."""
    if vehicle not in part.vehicles:
        return None
    at = np.flatnonzero(part.vehicle == part.vehicles.index(vehicle))
    return part.taken(at) if len(at) else None
