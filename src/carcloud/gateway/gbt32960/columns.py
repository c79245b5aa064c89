"""Samples of frames as a batch: rows by (signal, time), in columns.

Rules:
* A frame has one time, to the second; each of its samples has it.
* What does not fit one batch is cut in halves by frames; one frame that does not fit is told by `BatchError`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carcloud.vehicle.batch import Batch, encode

Row = tuple[int, float | str]
"""A sample: the place of its signal in the id table, and its value."""

Samples = tuple[int, list[Row]]
"""What a frame says: its time in microseconds since 1970 UTC, and its rows, sorted by signal, each signal once."""

_LONGEST_US = 2**31 - 1


def batch_of(table: bytes, queue: int, number: int, frames: Sequence[Samples]) -> bytes:
    """Return the samples of frames as a payload. Raise BatchError where they do not fit one batch."""
    base_us = min(time_us for time_us, _ in frames)
    if len(frames) == 1:
        rows = frames[0][1]
        signals, times = [row[0] for row in rows], np.zeros(len(rows), np.int32)
        counts, values = np.ones(len(rows), np.uint32), [row[1] for row in rows]
    else:
        flat = [(place, at, value) for at, rows in frames for place, value in rows]
        flat.sort(key=_key)
        runs: dict[int, int] = {}
        for place, _, _ in flat:
            runs[place] = runs.get(place, 0) + 1
        signals, counts = list(runs), np.fromiter(runs.values(), np.uint32, len(runs))
        times = np.fromiter((at - base_us for _, at, _ in flat), np.int64, len(flat)).astype(np.int32)
        values = [value for _, _, value in flat]
    texts = {at: value for at, value in enumerate(values) if isinstance(value, str)}
    for at in texts:
        values[at] = np.nan
    columns = (np.array(signals, np.uint16), counts, times, np.array(values, np.float64))
    return encode(Batch(table, queue, number, base_us, *columns, texts=texts))


def fits_beside(first_us: int, other_us: int) -> bool:
    """Tell whether two frames' times fit one batch, whose times are 32-bit microseconds after its first."""
    return abs(first_us - other_us) < _LONGEST_US


def _key(row: tuple[int, int, float | str]) -> tuple[int, int]:
    return row[0], row[1]
