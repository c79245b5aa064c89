"""Thinning the tombstones of expired rows: less is kept of cars and chunks of which nothing is left.

Rules:
* A car that has no row of a chunk any more keeps its leaf; one that was erased nothing, since its own tombstone stands.
* A chunk of which no car has a row keeps its number only. That only where all that is gone has the root that the
  governor signed, so that nothing wrong hides behind it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from carcloud.backends.delta import Table
from carcloud.lake.expired import Expired, Gone, joined_runs
from carcloud.lake.receipts import Receipts
from carcloud.lake.tombstones import Sign, Tombstone
from carcloud.lake.windows import Fault
from carcloud.safety.audit.tree import root_of
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import Car, digest_of, leaf, rows_of, statement

EMPTY_GAP = 10_000
"""So many chunks without a row may lie between two that are gone for these to be written as one run."""


@dataclass(frozen=True)
class Thinning:
    """What it takes to thin tombstones.

    Args:
        folder: the lake's.
        erased: tombstones of erased cars: chunk → car → tombstone.
        sign: signs tombstones. signed: tells whether the signer made a signature on a receipt.
        fault: is told of a file that cannot be read, and raises.
    """

    folder: Path
    erased: Mapping[int, Mapping[Car, Tombstone]]
    sign: Sign
    signed: Verify
    fault: Fault

    def thin(self, table: Table, stones: Expired, numbers: list[int]) -> None:
        """Thin the files of tombstones with these numbers. Raises what `fault` and `sign` raise."""
        chunks = {chunk for number in numbers for chunk in stones.file(number)}
        there, receipts = self._there(table, chunks), Receipts(self.folder, _around(chunks, stones))

        def left(number: int) -> Iterator[tuple[int, Gone]]:
            for chunk, gone in stones.file(number).items():
                yield chunk, _thinned(gone, there.get(chunk, frozenset()), self.erased.get(chunk, {}))

        whole = [
            (chunk, chunk)
            for number in numbers
            for chunk, gone in left(number)
            if chunk not in there and self._proven(chunk, gone, receipts.get(chunk))
        ]
        if whole:
            runs = joined_runs([*stones.runs(), *whole], lambda chunk: _empty(receipts.get(chunk)))
            stones.keep_whole(runs, self.sign)
        for number in numbers:
            stones.keep(number, {chunk: gone for chunk, gone in left(number) if not stones.whole(chunk)}, self.sign)

    def _proven(self, chunk: int, gone: Gone, receipt: Mapping[str, Any] | None) -> bool:
        """Tell whether all that is gone of a chunk is what the governor signed."""
        if receipt is None or gone.cells:
            return False
        fields, erased = receipt["statement"], self.erased.get(chunk, {})
        cars = gone.cars | {car: (stone.rows, stone.leaf) for car, stone in erased.items()}
        root = root_of([cars[car][1] for car in sorted(cars)]).hex()
        sound = sum(rows for rows, _ in cars.values()) == fields["kept"] and root == fields["root"]
        return sound and self.signed(statement(fields), bytes.fromhex(receipt["signature"]))

    def _there(self, table: Table, chunks: set[int]) -> dict[int, frozenset[Car]]:
        """Return the cars that still have rows of these chunks: chunk → cars."""
        found: dict[int, set[Car]] = {}
        wanted = np.array(sorted(chunks), np.int64)
        for file in table.live():
            try:
                low, high = table.edges(file, "chunk")
                if not len(wanted) or high < wanted[0] or low > wanted[-1]:
                    continue
                rows = table.read(file, ["vehicle"], ["vehicle", "chunk"]).unify_dictionaries().combine_chunks()
            except (pa.ArrowException, OSError, ValueError, TypeError, AttributeError) as error:
                self.fault(f"{file.name}: {type(error).__name__}")
                continue
            (batch,) = rows.to_batches()
            chunk, cars = batch["chunk"].to_numpy(), batch["vehicle"].dictionary.to_pylist()
            at = np.flatnonzero(np.isin(chunk, wanted))
            for both in np.unique(chunk[at] * len(cars) + batch["vehicle"].indices.to_numpy()[at]).tolist():
                number, car = divmod(both, len(cars))
                found.setdefault(number, set()).add((file.partition[0], cars[car]))
        return {number: frozenset(cars) for number, cars in found.items()}


def _thinned(gone: Gone, there: frozenset[Car], erased: Mapping[Car, Tombstone]) -> Gone:
    """Return the tombstones with a leaf for each car of which nothing is there, and none for those that were erased."""
    cars = {car: about for car, about in gone.cars.items() if car not in erased}
    cells = {car: of for car, of in gone.cells.items() if car not in erased or car in there}
    for car in [car for car in cells if car not in there]:
        of = cells.pop(car)
        cars[car] = (sum(map(rows_of, of)), leaf(car, digest_of(of)))
    return Gone(cars, cells)


def _around(chunks: set[int], stones: Expired) -> set[int]:
    """Return chunks and those between them and their neighbours that may have been empty."""
    known = sorted(chunks | {edge for run in stones.runs() for edge in run})
    gaps = ((low, high) for low, high in pairwise(known) if high - low <= EMPTY_GAP)
    return chunks.union(*(range(low + 1, high) for low, high in gaps if low in chunks or high in chunks))


def _empty(receipt: Mapping[str, Any] | None) -> bool:
    return receipt is not None and receipt["statement"]["kept"] == 0
