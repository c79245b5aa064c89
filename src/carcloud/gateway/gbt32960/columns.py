"""Samples of frames as a batch: rows by (signal, time), in columns.

Rules:
* A frame has one time, to the second; each of its samples has it.
* What does not fit one batch is cut in halves by frames; one frame that does not fit is told by `BatchError`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

from carcloud.vehicle.batch import Batch, encode

Samples = tuple[int, tuple[int, ...], tuple[float | str, ...]]
"""What a frame says: its time in microseconds since 1970 UTC, the places of its signals in the id table, rising, and
their values. Columns, because tuples of rows would cost more memory, and more again to look through for garbage."""

LIMIT_SHAPES = 1024
_SHAPES: dict[tuple[int, ...], tuple[int, ...]] = {}
"""Places as they were seen, so that those of frames that wait are kept once."""
_LONGEST_US = 2**31 - 1


def batch_of(table: bytes, queue: int, number: int, frames: Sequence[Samples]) -> bytes:
    """Return the samples of frames as a payload. Raise BatchError where they do not fit one batch."""
    frames = sorted(frames, key=_time)
    base_us, many, signals = frames[0][0], len(frames), frames[0][1]
    if all(places == signals for _, places, _ in frames[1:]):
        counts = np.full(len(signals), many, np.uint32)
        times = np.tile(np.array([at - base_us for at, _, _ in frames], np.int32), len(signals))
        values = list(chain.from_iterable(zip(*(values for _, _, values in frames), strict=True)))
    else:
        runs: dict[int, list[tuple[int, float | str]]] = {}
        for at, places, said in frames:
            for place, value in zip(places, said, strict=True):
                runs.setdefault(place, []).append((at - base_us, value))
        signals = tuple(sorted(runs))
        counts = np.array([len(runs[place]) for place in signals], np.uint32)
        times = np.array([at for place in signals for at, _ in runs[place]], np.int32)
        values = [value for place in signals for _, value in runs[place]]
    texts = {at: value for at, value in enumerate(values) if isinstance(value, str)}
    for at in texts:
        values[at] = np.nan
    columns = (np.array(signals, np.uint16), counts, times, np.array(values, np.float64))
    return encode(Batch(table, queue, number, base_us, *columns, texts=texts))


def samples_of(time_us: int, rows: Sequence[tuple[int, float | str]]) -> Samples:
    """Return the samples of a frame, given by rows: the place of a signal, and its value."""
    places, values = zip(*rows, strict=True) if rows else ((), ())
    if len(_SHAPES) > LIMIT_SHAPES:
        _SHAPES.clear()
    return time_us, _SHAPES.setdefault(places, places), values


def fits_beside(first_us: int, other_us: int) -> bool:
    """Tell whether two frames' times fit one batch, whose times are 32-bit microseconds after its first."""
    return abs(first_us - other_us) < _LONGEST_US


def _time(frame: Samples) -> int:
    return frame[0]
