"""Receipts: the governor's signed word for what a chunk contains, which anyone can check against the lake later.

Rules:
* A car's rows in a chunk have one digest, taken over how many runs and rows there are, and canonical columns: runs of
  signals in the order of their paths, then times, values, provenances and, where the car has any, texts, sorted by
  (signal, time); rows of one signal and time by value, text and provenance.
* The digests of a chunk's cars, ordered by vehicle id, are the leaves of a Merkle tree; its root stands in the receipt.
  So the lake needs to keep no digest, and one car's rows can leave while the others stay provable.

Source: RFC 6962, section 2.1 (tree hash).
"""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carcloud.safety.audit.tree import leaf_hash, root_of


def root(rows: pa.RecordBatch) -> bytes:
    """Return the Merkle root over the cars of rows sorted by (vehicle, signal, time), dictionaries in sorted order."""
    digests = car_digests(rows)
    return root_of([leaf(vehicle, digests[vehicle]) for vehicle in sorted(digests)])


def leaf(vehicle: str, digest: bytes) -> bytes:
    """Return the hash of a car's leaf in the tree."""
    return leaf_hash(vehicle.encode() + b"\x00" + digest)


def car_digests(rows: pa.RecordBatch) -> dict[str, bytes]:
    """Return each vehicle's SHA-256 over its canonical rows. `rows` as the chunk schema, sorted as a chunk is."""
    if not rows.num_rows:
        return {}
    columns = _Columns(rows)
    return {columns.vehicles[car]: columns.digest(start, end) for car, start, end in columns.cars()}


class _Columns:
    """A chunk's columns as plain arrays, and where cars and runs of a signal begin."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        vehicle, signal = rows["vehicle"], rows["signal"]
        self.vehicles: list[str] = vehicle.dictionary.to_pylist()
        names = [hashlib.sha256(path.encode()).digest()[:8] for path in signal.dictionary.to_pylist()]
        self._names = np.frombuffer(b"".join(names), "<u8")
        self._car, self._signal = vehicle.indices.to_numpy(), signal.indices.to_numpy()
        self._time = rows["time"].cast(pa.int64()).to_numpy()
        self._value = rows["value"].to_numpy(zero_copy_only=False)
        self._provenance = rows["provenance"].to_numpy()
        self._text = rows["text"] if rows["text"].null_count < rows.num_rows else None
        self._order_ties()
        self._runs = starts(self._car, self._signal)

    def cars(self) -> list[tuple[int, int, int]]:
        """Return (vehicle's index, first row, row after the last) of each car."""
        first = starts(self._car)
        return list(zip(self._car[first].tolist(), first.tolist(), [*first[1:].tolist(), len(self._car)], strict=True))

    def digest(self, start: int, end: int) -> bytes:
        """Return the SHA-256 of the rows from start to end, which are one car's."""
        low, high = np.searchsorted(self._runs, [start, end])
        runs = self._runs[low:high]
        lengths = np.diff(np.append(runs, end)).astype("<u4")
        digest = hashlib.sha256(struct.pack("<II", len(runs), end - start))
        names = self._names[self._signal[runs]]
        rows = (column[start:end] for column in (self._time, self._value, self._provenance))
        for column in (names, lengths, *rows):
            digest.update(np.ascontiguousarray(column).data)
        if self._text is not None:
            text = self._text.slice(start, end - start)
            if text.null_count < len(text):
                digest.update(orjson.dumps(text.to_pylist()))
        return digest.digest()

    def _order_ties(self) -> None:
        """Put rows of one car, signal and time into the order of their values, so that the digest is canonical."""
        same = (np.diff(self._time) == 0) & (np.diff(self._signal) == 0) & (np.diff(self._car) == 0)
        if not same.any():
            return
        text = np.zeros(len(self._car), np.uint64)
        if self._text is not None:
            text = pc.rank(self._text, tiebreaker="dense").to_numpy()
        order = np.lexsort((self._provenance, text, self._value.view("i8"), self._time, self._signal, self._car))
        self._time, self._value, self._provenance = self._time[order], self._value[order], self._provenance[order]
        if self._text is not None:
            self._text = self._text.take(pa.array(order))


def starts(*keys: NDArray[Any]) -> NDArray[np.int64]:
    """Return the rows at which any of the sorted key columns changes, the first row included."""
    if not len(keys[0]):
        return np.empty(0, np.int64)
    changed = np.zeros(len(keys[0]), bool)
    changed[0] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changed)


def statement(fields: dict[str, Any]) -> bytes:
    """Return the bytes that are signed: the receipt's fields as canonical JSON."""
    return orjson.dumps(fields, option=orjson.OPT_SORT_KEYS)
