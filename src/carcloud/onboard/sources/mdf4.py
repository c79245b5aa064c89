"""MDF4 measurement files, by asammdf. A mapping's columns are channel names; every channel has its own times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
from asammdf import MDF
from asammdf.blocks.utils import MdfException
from numpy.typing import NDArray

from carcloud.errors import InputError, MissingError
from carcloud.onboard.mapping import EPOCH, DriveMapping, Signal
from carcloud.onboard.source import Block, Slice, mapped_column, number_column, recording_name
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import Column

SLICE_US = 10_000_000


class Mdf4:
    """An MDF4 file as a source. The mapped channels are read whole."""

    live = False

    def __init__(self, file: Path, mapping: DriveMapping) -> None:
        if not file.is_file():
            raise MissingError(f"There is no file {file}.", "Give the path of an MDF4 file.")
        self.file, self.mapping = file, mapping
        self.table: IdTable = mapping.table
        self.provenance = mapping.provenance if mapping.provenance is not None else Provenance.REPLAY
        self.skipped: Counter[str] = Counter()
        self.recording: str | None = recording_name(file, mapping.table)

    def vehicles(self) -> list[str]:
        """Return the one vehicle's name."""
        return [str(self.mapping.vehicle)]

    def slices(self) -> Iterator[Slice]:
        """Yield slices of 10 s."""
        columns = [column for column in self._columns() if len(column)]
        if not columns:
            raise InputError(f"{self.file} has no samples in the mapped channels.", "Map other channels.")
        start = min(int(column.times_us[0]) for column in columns)
        end = max(int(column.times_us[-1]) for column in columns)
        for begin in range(start, end + 1, SLICE_US):
            parts = [_between(column, begin, begin + SLICE_US) for column in columns]
            yield Slice([Block(self.vehicles()[0], [part for part in parts if len(part)])], begin + SLICE_US)

    def _columns(self) -> list[Column]:
        try:
            with MDF(self.file) as mdf:
                start_us = (mdf.start_time - EPOCH) // timedelta(microseconds=1)
                channels = {name: self._channel(mdf, name) for name in self.mapping.columns}
        except (MdfException, OSError, ValueError, IndexError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"{self.file} cannot be read: {reason}.", "Give an MDF4 file.") from None
        return [self._column(index, signal, channels, start_us) for index, signal in enumerate(self.mapping.signals)]

    def _channel(self, mdf: Any, name: str) -> Any:
        if name not in mdf.channels_db:
            do = f"It has {', '.join(sorted(mdf.channels_db)[:40])}."
            raise InputError(f"{self.mapping.file} names the channel {name!r}, which {self.file} has not.", do)
        return mdf.get(name, *mdf.channels_db[name][0])

    def _column(self, index: int, signal: Signal, channels: dict[str, Any], start_us: int) -> Column:
        found = [channels[name] for name in signal.sources]
        times = [start_us + np.rint(channel.timestamps * 1e6).astype(np.int64) for channel in found]
        if any(not np.array_equal(times[0], other) for other in times[1:]):
            do = "Sum channels of one group only: only those come at the same time."
            raise InputError(f"{self.mapping.file}: signals.{signal.path}.sum mixes channels of different times.", do)
        order = np.argsort(times[0], kind="stable")
        if signal.values is not None or signal.text:
            cells = [_plain(found[0].samples[row]) for row in order]
            return mapped_column(index, signal, times[0][order], cells, self.skipped)
        raw = sum(self._numbers(signal, channel.samples) for channel in found)
        return number_column(index, signal, times[0][order], np.asarray(raw, np.float64)[order], self.skipped)

    def _numbers(self, signal: Signal, samples: NDArray[Any]) -> NDArray[np.float64]:
        if samples.ndim != 1 or samples.dtype.kind not in "iufb":
            do = "Map a channel of numbers, or set `text: true`."
            raise InputError(f"{self.mapping.file}: signals.{signal.path} names a channel of {samples.dtype}.", do)
        return samples.astype(np.float64)


def _plain(value: Any) -> object:
    return value.decode(errors="replace").rstrip("\0") if isinstance(value, bytes) else value.item()


def _between(column: Column, begin: int, end: int) -> Column:
    first, last = np.searchsorted(column.times_us, [begin, end])
    return column.part(int(first), int(last))
