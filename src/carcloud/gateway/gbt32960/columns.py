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
    frames = sorted(frames, key=_time)
    base_us, many = frames[0][0], len(frames)
    signals = [place for place, _ in frames[0][1]]
    if all(signals == [place for place, _ in rows] for _, rows in frames[1:]):
        counts = np.full(len(signals), many, np.uint32)
        times = np.tile(np.array([at - base_us for at, _ in frames], np.int32), len(signals))
        values = [
            value for of_signal in zip(*[_values(rows) for _, rows in frames], strict=True) for value in of_signal
        ]
    else:
        runs: dict[int, list[tuple[int, float | str]]] = {}
        for at, rows in frames:
            for place, value in rows:
                runs.setdefault(place, []).append((at - base_us, value))
        signals = sorted(runs)
        counts = np.array([len(runs[place]) for place in signals], np.uint32)
        times = np.array([at for place in signals for at, _ in runs[place]], np.int32)
        values = [value for place in signals for _, value in runs[place]]
    texts = {at: value for at, value in enumerate(values) if isinstance(value, str)}
    for at in texts:
        values[at] = np.nan
    columns = (np.array(signals, np.uint16), counts, times, np.array(values, np.float64))
    return encode(Batch(table, queue, number, base_us, *columns, texts=texts))


def fits_beside(first_us: int, other_us: int) -> bool:
    """Tell whether two frames' times fit one batch, whose times are 32-bit microseconds after its first."""
    return abs(first_us - other_us) < _LONGEST_US


def _time(frame: Samples) -> int:
    return frame[0]


def _values(rows: list[Row]) -> list[float | str]:
    return [value for _, value in rows]
