"""Cuts a vehicle's samples into batches: by a window of time, by number, and by what a batch can hold."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.vehicle.batch import Batch, BatchError, IdTable, Provenance, encode

WINDOW_US = 2_000_000
LONGEST_WINDOW_US = 1_800_000_000  # a batch's times are 32-bit microseconds after its base: 35 minutes
LIMIT_SAMPLES = 2_400


@dataclass(frozen=True)
class Column:
    """Samples of one signal, `signal` being its index in the id table.

    `times_us`: (n,) int64, microseconds since 1970 UTC; `values`: (n,) float64, NaN where `texts` has the value.
    """

    signal: int
    times_us: NDArray[np.int64]
    values: NDArray[np.float64]
    texts: list[str] | None = None

    def __len__(self) -> int:
        return len(self.times_us)

    def part(self, start: int, end: int) -> Column:
        """Return rows `start` to `end`."""
        texts = self.texts[start:end] if self.texts is not None else None
        return Column(self.signal, self.times_us[start:end], self.values[start:end], texts)


@dataclass(frozen=True)
class Packed:
    """An encoded batch, without queue and number yet."""

    payload: bytes
    samples: int
    first_us: int
    last_us: int


class Batcher:
    """Collects one vehicle's samples and gives them back as batches."""

    def __init__(
        self,
        table: IdTable,
        provenance: Provenance,
        skipped: Counter[str],
        window_us: int = WINDOW_US,
        limit_samples: int = LIMIT_SAMPLES,
    ) -> None:
        self._table, self._provenance, self._skipped = table.hash, provenance, skipped
        self._window_us, self._limit = min(window_us, LONGEST_WINDOW_US), limit_samples
        self._pending: dict[int, list[Column]] = {}

    def add(self, columns: list[Column]) -> None:
        """Take samples in."""
        for column in columns:
            self._pending.setdefault(column.signal, []).append(column)

    def ready(self, until_us: int) -> list[Packed]:
        """Return the batches that are complete, given that what follows is not older than `until_us`."""
        return self._cut(until_us)

    def rest(self) -> list[Packed]:
        """Return all that is left as batches."""
        return self._cut(None)

    def _cut(self, until_us: int | None) -> list[Packed]:
        columns = [_joined(parts) for _, parts in sorted(self._pending.items())]
        if not columns:
            return []
        bounds = self._bounds(np.sort(np.concatenate([column.times_us for column in columns])), until_us)
        places = [np.searchsorted(column.times_us, bounds).tolist() for column in columns]
        packed: list[Packed] = []
        for index in range(len(bounds)):
            parts = [
                column.part(ends[index - 1] if index else 0, ends[index])
                for column, ends in zip(columns, places, strict=True)
            ]
            packed += self._pack([part for part in parts if len(part)])
        starts = [ends[-1] if ends else 0 for ends in places]
        left = [column.part(start, len(column)) for column, start in zip(columns, starts, strict=True)]
        self._pending = {column.signal: [column] for column in left if len(column)}
        return packed

    def _bounds(self, times: NDArray[np.int64], until_us: int | None) -> list[int]:
        """Return the end (exclusive, µs) of every complete batch."""
        bounds: list[int] = []
        start, total = 0, len(times)
        while start < total:
            closes = int(times[start]) + self._window_us
            end = min(int(np.searchsorted(times, closes)), start + self._limit)
            if end == total and end < start + self._limit and until_us is not None and until_us < closes:
                break
            bound = int(times[end]) if end < total else int(times[-1]) + 1
            bounds.append(bound if bound > times[start] else bound + 1)
            start = int(np.searchsorted(times, bounds[-1]))
        return bounds

    def _pack(self, columns: list[Column]) -> list[Packed]:
        samples = sum(len(column) for column in columns)
        first = min(int(column.times_us[0]) for column in columns)
        last = max(int(column.times_us[-1]) for column in columns)
        try:
            return [Packed(encode(self._batch(columns, first)), samples, first, last)]
        except BatchError as error:
            if samples > 1:
                return [packed for half in _halves(columns) for packed in self._pack(half)]
            self._skipped[f"{error.cause} for a batch of one sample"] += 1
            return []

    def _batch(self, columns: list[Column], base_us: int) -> Batch:
        texts: dict[int, str] = {}
        row = 0
        for column in columns:
            if column.texts is not None:
                texts.update(enumerate(column.texts, row))
            row += len(column)
        times = np.concatenate([column.times_us for column in columns]) - base_us
        return Batch(
            self._table,
            1,
            1,
            base_us,
            np.array([column.signal for column in columns], np.uint16),
            np.array([len(column) for column in columns], np.uint32),
            times.astype(np.int32),
            np.concatenate([column.values for column in columns]),
            self._provenance,
            texts,
        )


def _joined(parts: list[Column]) -> Column:
    """Return parts as one column in the order of time."""
    if len(parts) == 1:
        times, values, texts = parts[0].times_us, parts[0].values, parts[0].texts
    else:
        times = np.concatenate([part.times_us for part in parts])
        values = np.concatenate([part.values for part in parts])
        texts = [text for part in parts for text in part.texts or []] if parts[0].texts is not None else None
    if (times[1:] < times[:-1]).any():
        order = np.argsort(times, kind="stable")
        times, values = times[order], values[order]
        texts = [texts[row] for row in order] if texts is not None else None
    return Column(parts[0].signal, times, values, texts)


def _halves(columns: list[Column]) -> list[list[Column]]:
    if len(columns) > 1:
        middle = len(columns) // 2
        return [columns[:middle], columns[middle:]]
    middle = len(columns[0]) // 2
    return [[columns[0].part(0, middle)], [columns[0].part(middle, len(columns[0]))]]
