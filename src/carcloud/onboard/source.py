"""What a car is fed from: slices of samples in the order of time, one block a vehicle, one column a signal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carcloud.onboard.mapping import Signal, cell
from carcloud.vehicle.batch import LIMIT_TEXT_BYTES, IdTable, Provenance
from carcloud.vehicle.batching import Column


@dataclass(frozen=True)
class Block:
    """What one vehicle says in a slice; at most one column a signal."""

    vehicle: str
    columns: list[Column]


@dataclass(frozen=True)
class Slice:
    """Blocks of a stretch of time, at most one a vehicle. What follows is not older than `until_us`."""

    blocks: list[Block]
    until_us: int


class Source(Protocol):
    """A recording, a live bus or a simulated fleet.

    `skipped` counts what gave no sample, by cause: nothing is silently lost. A `live` source cannot be held back.
    `recording` names what gives the same slices each time it is read, so that a drive can go on where it was.
    """

    table: IdTable
    provenance: Provenance
    live: bool
    skipped: Counter[str]
    recording: str | None

    def vehicles(self) -> list[str]:
        """Return the names of the vehicles this source feeds."""
        ...

    def slices(self) -> Iterator[Slice]:
        """Yield the samples in the order of time."""
        ...


def recording_name(file: Path, table: IdTable) -> str:
    """Return a name for a file as it is now, read by a mapping."""
    state = file.stat()
    return f"{file.name} {state.st_size} {state.st_mtime_ns} {table.hash.hex()}"


def number_column(
    index: int, signal: Signal, times_us: NDArray[np.int64], raw: NDArray[np.float64], skipped: Counter[str]
) -> Column:
    """Return a signal's column from its source's numbers; what is empty or not finite is left out and counted."""
    values = signal.convert(raw)
    good = np.isfinite(values)
    if not good.all():
        skipped[f"{signal.path}: empty"] += int(len(good) - good.sum())
        times_us, values = times_us[good], values[good]
    return Column(index, times_us, values)


def mapped_column(
    index: int, signal: Signal, times_us: NDArray[np.int64], raw: list[object], skipped: Counter[str]
) -> Column:
    """Return the column of a signal whose source is text or goes through `values`."""
    rows, found = [], []
    for row, value in enumerate(raw):
        result = _mapped(signal, value, skipped)
        if result is not None:
            rows.append(row)
            found.append(result)
    times = times_us[rows]
    if signal.is_text:
        return Column(index, times, np.full(len(rows), np.nan), [str(value) for value in found])
    return Column(index, times, signal.convert(np.array(found, np.float64)))


def _mapped(signal: Signal, value: object, skipped: Counter[str]) -> float | str | None:
    if value is None or value == "" or value != value:
        skipped[f"{signal.path}: empty"] += 1
        return None
    if signal.values is None:
        text = str(value)
        if len(text.encode()) > LIMIT_TEXT_BYTES:
            skipped[f"{signal.path}: text longer than {LIMIT_TEXT_BYTES} bytes"] += 1
            return None
        return text
    if cell(value) not in signal.values:
        skipped[f"{signal.path}: value {cell(value)[:40]!r} not in the mapping's values"] += 1
        return None
    return signal.values[cell(value)]
