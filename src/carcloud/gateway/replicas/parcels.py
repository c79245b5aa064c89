"""From a page of another zone's flow to batches of this zone: the same page always gives the same ones. Pure.

Rules:
* Nothing is left out here that a guard would refuse: unknown signals, wrong units, broken values and impossible times
  go on as such, and are refused and counted as those of any car.
* The id tables are made from this zone's catalogue alone, so another zone cannot fill the records with its own. What
  the catalogue does not know goes by one name that it does not know either.
* Each batch has the rows of one car, id table, provenance and hour, since its times are counted from the hour's middle;
  more rows than a batch holds make more parts. That is its key. Where the other zone lets out less on a second reading,
  a batch keeps its key.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carcloud.safety.flows.reader import Page
from carcloud.vehicle.batch import LIMIT_TABLE, LIMIT_TEXT_BYTES, Batch, IdTable, Provenance, encode
from carcloud.vehicle.catalogue import Catalogue

HOUR_US = 3_600_000_000
ROWS_A_BATCH = 8_000
TEXTS_A_BATCH = 100
LIMIT_TIME_US = 1 << 61
"""Times are cut to this, far beyond what the guards let pass, so that counting from an hour stays within 64 bits."""

UNKNOWN = WRONG_UNIT = "?"
"""No path and no unit of any catalogue."""

Key = tuple[int, int, int, int]
"""(id table, provenance, hour since 1970, part)."""


@dataclass(frozen=True)
class Parcel:
    """The rows of one batch before it has a number. `page_rows`: (rows,) which rows of the page, by signal and time."""

    key: Key
    rows: NDArray[np.int64]


class Packer:
    """Makes batches by a catalogue. `tables`: the id tables that they refer to, announced before."""

    def __init__(self, catalogue: Catalogue) -> None:
        paths, size = sorted(catalogue), LIMIT_TABLE - 1
        self._slices = max(-(-len(paths) // size), 1)
        self._place = {path: divmod(at, size) for at, path in enumerate(paths)}
        self._units = {path: catalogue[path].unit for path in paths}
        self.tables: list[IdTable] = []
        for wrong in (False, True):
            for first in range(0, self._slices * size, size):
                some = paths[first : first + size]
                rows = [(path, WRONG_UNIT if wrong else self._units[path]) for path in some]
                self.tables.append(IdTable(((UNKNOWN, None), *rows)))

    def cars(self, page: Page) -> Mapping[str, Car]:
        """Return what a page says of each car, by the name the other zone gave it."""
        if not page.rows.num_rows:
            return {}
        columns = _Columns(self, page)
        order = np.lexsort((columns.time_us, columns.signal, columns.hour, columns.kind, columns.table, columns.car))
        edges = np.flatnonzero(np.diff(columns.car[order])) + 1
        return {columns.cars[int(columns.car[rows[0]])]: Car(columns, rows) for rows in np.split(order, edges)}

    def signal(self, path: str, unit: str | None) -> tuple[int, int]:
        """Return the id table and the index in it for what another zone calls so, in such a unit."""
        if path not in self._place:
            return 0, 0
        table, index = self._place[path]
        return table + self._slices * (unit != self._units[path]), index + 1


class _Columns:
    """A page as plain arrays: (rows,) each."""

    def __init__(self, packer: Packer, page: Page) -> None:
        rows = page.rows
        self.cars, self.car = _encoded(rows["vehicle"])
        signals, signal = _encoded(rows["signal"])
        places = np.array([packer.signal(path, page.units.get(path)) for path in signals], np.int32).reshape(-1, 2)
        self.table, self.signal = places[signal, 0], places[signal, 1]
        kinds, kind = _encoded(rows["provenance"])
        self.kind = np.array([_provenance(name) for name in kinds], np.int32)[kind]
        time_us = np.asarray(rows["time"].cast(pa.int64()).combine_chunks())
        self.time_us = np.clip(time_us, -LIMIT_TIME_US, LIMIT_TIME_US)
        self.hour = self.time_us // HOUR_US
        self.value = np.array(rows["value"].combine_chunks().fill_null(np.nan), np.float64)
        texts = rows["text"].combine_chunks()
        self.has_text = np.asarray(texts.is_valid().to_numpy(zero_copy_only=False))
        self.texts = texts
        sizes = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
        spoilt = self.has_text & ((sizes > LIMIT_TEXT_BYTES) | ~np.isnan(self.value))
        self.has_text &= ~spoilt  # a text too long, or beside a number: no value at all, for the guards to refuse
        self.value[spoilt] = np.nan


class Car:
    """What a page says of one car, in parcels."""

    def __init__(self, columns: _Columns, rows: NDArray[np.int64]) -> None:
        self._columns = columns
        groups = np.stack([columns.table[rows], columns.kind[rows], columns.hour[rows]])
        edges = np.flatnonzero((np.diff(groups) != 0).any(axis=0)) + 1
        self.parcels = [parcel for group in np.split(rows, edges) for parcel in self._parts(group)]

    def __len__(self) -> int:
        return sum(len(parcel.rows) for parcel in self.parcels)

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of its parcels, in order."""
        return tuple(parcel.key for parcel in self.parcels)

    def leave_out(self, keys: Collection[Key]) -> None:
        """Leave out what is in already."""
        self.parcels = [parcel for parcel in self.parcels if parcel.key not in keys]

    def _parts(self, rows: NDArray[np.int64]) -> list[Parcel]:
        c, first = self._columns, rows[0]
        size = TEXTS_A_BATCH if c.has_text[rows].any() else ROWS_A_BATCH
        key = int(c.table[first]), int(c.kind[first]), int(c.hour[first])
        return [Parcel((*key, at // size), rows[at : at + size]) for at in range(0, len(rows), size)]

    def encoded(self, parcel: Parcel, tables: list[IdTable], queue: int, number: int) -> bytes:
        """Return a parcel as a batch of this number."""
        c, rows = self._columns, parcel.rows
        table, kind, hour, _ = parcel.key
        base_us = hour * HOUR_US + HOUR_US // 2
        signals, counts = np.unique(c.signal[rows], return_counts=True)
        texts = {at: c.texts[int(row)].as_py() for at, row in enumerate(rows.tolist()) if c.has_text[row]}
        return encode(
            Batch(
                tables[table].hash,
                queue,
                number,
                base_us,
                signals.astype(np.uint16),
                counts.astype(np.uint32),
                (c.time_us[rows] - base_us).astype(np.int32),
                c.value[rows],
                Provenance(kind),
                texts,
            )
        )


def _encoded(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int32]]:
    encoded = column.combine_chunks().dictionary_encode()
    names: list[str] = encoded.dictionary.to_pylist()
    return names, np.asarray(encoded.indices)


def _provenance(name: str) -> int:
    """Return a provenance by its name; what is none is a simulation, which nobody takes for the truth."""
    known: dict[str, Any] = Provenance.__members__  # type: ignore[assignment]
    return int(known.get(name.upper(), Provenance.SIMULATED))
