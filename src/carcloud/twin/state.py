"""The twin's state: for every vehicle and signal the newest sample, as one dense table.

Rules:
* An older time stamp never overwrites a newer one; at the same time stamp the later arrival stands.
* Rows are vehicles, columns are the signals seen so far. A cell costs 17 bytes, so 100,000 cars with 60 signals fit in
  about 130 MB. Texts, which are few, stand beside it.
* Rows under a pseudonym are not taken in: the twin says of cars what is so now, and such rows say of no car.
* State and the number of the chunk it stands at are saved together, and loaded together.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.stream.chunk import Chunk
from carcloud.stream.receipts import starts
from carcloud.twin.values import Last, Presence
from carcloud.vehicle.batch import Provenance
from carcloud.vehicle.pseudonym import is_pseudonym

NEVER = np.iinfo(np.int64).min
CARS_A_BLOCK = 4096
_SAVED = pa.schema(
    [
        ("row", pa.int32()),
        ("column", pa.int32()),
        ("time", pa.int64()),
        ("value", pa.float64()),
        ("provenance", pa.uint8()),
    ]
)
Cells = tuple[NDArray[np.int64], NDArray[np.int64]]
NO_CELLS: Cells = (np.empty(0, np.int64), np.empty(0, np.int64))
PROVENANCES = [kind.name.lower() for kind in Provenance]


class TwinState:
    """The newest sample of every (vehicle, signal), and the chunk it stands at."""

    def __init__(self) -> None:
        self.chunk = 0
        self._vehicles: dict[str, int] = {}
        self._signals: dict[str, int] = {}
        self._texts: dict[tuple[int, int], str] = {}
        self._tenants: dict[str, str] = {}
        self._allocate(256, 32)
        self._seen_us = np.zeros(256, np.int64)

    def _allocate(self, rows: int, columns: int) -> None:
        self._time = np.full((rows, columns), NEVER, np.int64)
        self._value = np.full((rows, columns), np.nan)
        self._provenance = np.zeros((rows, columns), np.uint8)

    @property
    def _columns(self) -> tuple[NDArray[Any], ...]:
        return self._time, self._value, self._provenance

    def apply(self, chunk: Chunk) -> Cells:
        """Fold one chunk in; return the cells that changed."""
        if chunk.record.number <= self.chunk:
            return NO_CELLS
        changed = self._fold(chunk.rows, chunk.record.received_us) if chunk.rows.num_rows else NO_CELLS
        self.chunk = chunk.record.number
        for tenant, names in chunk.record.tenants.items():
            self._tenants |= {name: tenant for name in names if name in self._vehicles}
        return changed

    def _fold(self, rows: pa.RecordBatch, received_us: int) -> Cells:
        rows = _of_cars(rows)
        if not rows.num_rows:
            return NO_CELLS
        car = self._places(self._vehicles, rows["vehicle"].dictionary)[rows["vehicle"].indices.to_numpy()]
        signal = self._places(self._signals, rows["signal"].dictionary)[rows["signal"].indices.to_numpy()]
        self._grow()
        first = starts(car, signal)
        last = np.append(first[1:], len(car)) - 1
        time = rows["time"].cast(pa.int64()).to_numpy()
        newer = last[time[last] >= self._time[car[last], signal[last]]]
        at = car[newer], signal[newer]
        self._time[at] = time[newer]
        self._value[at] = rows["value"].to_numpy(zero_copy_only=False)[newer]
        self._provenance[at] = rows["provenance"].to_numpy()[newer]
        heard = car[first]
        self._seen_us[heard] = np.maximum(self._seen_us[heard], received_us)
        if rows["text"].null_count < rows.num_rows:
            texts = rows["text"].take(pa.array(newer)).to_pylist()
            keys = zip(at[0].tolist(), at[1].tolist(), strict=True)
            self._texts |= {key: text for key, text in zip(keys, texts, strict=True) if text is not None}
        return at

    @staticmethod
    def _places(known: dict[str, int], names: pa.Array) -> NDArray[np.int64]:
        return np.array([known.setdefault(name, len(known)) for name in names.to_pylist()], np.int64)

    def _grow(self) -> None:
        rows, columns = self._time.shape
        wanted_rows, wanted_columns = rows, columns
        while wanted_rows < len(self._vehicles):
            wanted_rows += max(wanted_rows // 2, 256)
        while wanted_columns < len(self._signals):
            wanted_columns += 16
        if (wanted_rows, wanted_columns) == (rows, columns):
            return
        old = self._columns
        self._allocate(wanted_rows, wanted_columns)
        for new, filled in zip(self._columns, old, strict=True):
            new[:rows, :columns] = filled
        self._seen_us = np.append(self._seen_us, np.zeros(wanted_rows - rows, np.int64))

    def forget(self, vehicle: str) -> bool:
        """Drop a car; the last one takes its row, so rows named before mean other cars now. Tell whether it was there.

        A caller that holds cells must drop them.
        """
        if vehicle not in self._vehicles:
            return False
        self._tenants.pop(vehicle, None)
        names = list(self._vehicles)
        row, last = self._vehicles[vehicle], len(names) - 1
        names[row] = names[last]
        self._vehicles = {name: at for at, name in enumerate(names[:last])}
        for column, empty in zip(self._columns, (NEVER, np.nan, 0), strict=True):
            column[row] = column[last]
            column[last] = empty
        self._seen_us[row], self._seen_us[last] = self._seen_us[last], 0
        texts = {key: text for key, text in self._texts.items() if key[0] != row}
        self._texts = {(row if at == last else at, column): text for (at, column), text in texts.items()}
        return True

    def expire(self, earliest_us: Callable[[str], int | None]) -> bool:
        """Drop values from before a time of their signal, µs UTC, None for no time. Tell whether there were any."""
        found = False
        for path, column in self._signals.items():
            earliest = earliest_us(path)
            if earliest is None:
                continue
            time = self._time[:, column]
            rows = np.flatnonzero((time != NEVER) & (time < earliest))
            for values, empty in zip(self._columns, (NEVER, np.nan, 0), strict=True):
                values[rows, column] = empty
            for row in rows.tolist():
                self._texts.pop((row, column), None)
            found = found or bool(len(rows))
        return found

    # reading

    @property
    def vehicles(self) -> list[str]:
        """Return the ids of the cars that ever reported, first come first."""
        return list(self._vehicles)

    def of(self, tenant: str) -> list[str]:
        """Return the ids of a tenant's cars that ever reported, first come first."""
        return [name for name in self._vehicles if self._tenants.get(name) == tenant]

    @property
    def signals(self) -> list[str]:
        """Return the paths seen so far."""
        return list(self._signals)

    def values(self, vehicle: str, paths: Iterable[str] | None = None) -> dict[str, Last]:
        """Return a car's newest values by path; of the given paths, those it has."""
        row = self._vehicles.get(vehicle)
        if row is None:
            return {}
        wanted = self._signals if paths is None else [path for path in paths if path in self._signals]
        cells = ((path, self._cell(row, self._signals[path])) for path in wanted)
        return {path: cell for path, cell in cells if cell is not None}

    def columns(self, vehicles: Sequence[str], paths: Sequence[str]) -> pa.Table:
        """Return what cars that ever reported say of some signals, a row a car.

        Columns: vehicle, and for the path at place n of `paths` value_n (float64), text_n (string) and time_n (int64,
        µs UTC); null where the car has not reported it, and value or text where it is the other.
        """
        row = np.array([self._vehicles[name] for name in vehicles], np.int64)
        table = {"vehicle": pa.array(vehicles, pa.string())}
        for at, path in enumerate(paths):
            column = self._signals.get(path)
            time = np.full(len(row), NEVER) if column is None else self._time[row, column]
            value = np.full(len(row), np.nan) if column is None else self._value[row, column]
            texts: list[str | None] = [None] * len(row)
            for place in np.flatnonzero((time != NEVER) & np.isnan(value)).tolist():
                texts[place] = self._texts.get((int(row[place]), column or 0), "")
            table[f"value_{at}"] = pa.array(value, mask=np.isnan(value))
            table[f"text_{at}"] = pa.array(texts, pa.string())
            table[f"time_{at}"] = pa.array(time, mask=time == NEVER)
        return pa.table(table)

    def presence(self, vehicle: str) -> Presence | None:
        """Return what is known of a car as a whole; None for one that never reported."""
        row = self._vehicles.get(vehicle)
        if row is None:
            return None
        newest, seen_us = int(self._time[row].argmax()), int(self._seen_us[row])
        provenance = PROVENANCES[self._provenance[row, newest]]
        nothing = self._time[row, newest] == NEVER
        offset = None if provenance == "replay" or nothing else (int(self._time[row, newest]) - seen_us) / 1e6
        return Presence(seen_us, int((self._time[row] != NEVER).sum()), provenance, offset)

    def changes(self, cells: Cells) -> dict[str, dict[str, Last]]:
        """Return the newest values of the cells: vehicle → path → value."""
        vehicles, signals = self.vehicles, self.signals
        found: dict[str, dict[str, Last]] = {}
        for row, column in zip(*(place.tolist() for place in cells), strict=True):
            cell = self._cell(row, column)
            if cell is not None:
                found.setdefault(vehicles[row], {})[signals[column]] = cell
        return found

    def chosen(self, cells: Cells, vehicles: Collection[str] | None, paths: Collection[str] | None) -> Cells:
        """Return those of the cells that belong to these vehicles and paths; None stands for all."""
        keep = np.ones(len(cells[0]), bool)
        if vehicles is not None:
            keep &= np.isin(cells[0], [self._vehicles[name] for name in vehicles if name in self._vehicles])
        if paths is not None:
            keep &= np.isin(cells[1], [self._signals[path] for path in paths if path in self._signals])
        return cells[0][keep], cells[1][keep]

    def reporting(self, since_us: int) -> dict[str, int]:
        """Return how many cars of each tenant were heard since a moment."""
        heard = (self._seen_us[: len(self._vehicles)] >= since_us).tolist()
        names = (name for name, here in zip(self._vehicles, heard, strict=True) if here)
        return Counter(self._tenants.get(name, "") for name in names)

    def _cell(self, row: int, column: int) -> Last | None:
        time_us = int(self._time[row, column])
        if time_us == NEVER:
            return None
        number = float(self._value[row, column])
        value = self._texts.get((row, column), "") if number != number else number
        return Last(value, time_us, PROVENANCES[self._provenance[row, column]])

    # saving

    def dump(self) -> bytes:
        """Return state and position as one piece, which `load` reads; made in blocks of cars, to need little memory."""
        cars = len(self._vehicles)
        texts = [[row, column, text] for (row, column), text in self._texts.items()]
        head = {"chunk": self.chunk, "vehicles": list(self._vehicles), "signals": list(self._signals), "texts": texts}
        head["tenants"] = [self._tenants.get(name, "") for name in self._vehicles]
        head["seen_us"] = self._seen_us[:cars].tolist()
        schema = _SAVED.with_metadata({b"twin": json.dumps(head).encode()})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
            for first in range(0, cars, CARS_A_BLOCK):
                writer.write_batch(self._block(first, min(first + CARS_A_BLOCK, cars)))
        return bytes(sink.getvalue())

    def _block(self, first: int, end: int) -> pa.RecordBatch:
        row, column = (place.astype(np.int32) for place in np.nonzero(self._time[first:end] != NEVER))
        row += first
        return pa.record_batch([row, column, *(values[row, column] for values in self._columns)], schema=_SAVED)

    @classmethod
    def load(cls, path: Path) -> TwinState:
        """Read a saved state; a new one where there is none. Raise InputError where the file is damaged."""
        state = cls()
        if not path.exists():
            return state
        try:
            with pa.ipc.open_stream(path.read_bytes()) as reader:
                state._fill(json.loads(reader.schema.metadata[b"twin"]), reader.read_all())
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise InputError(f"The twin's state in {path.name} is damaged.", "Restore it from a backup.") from error
        return state

    def _fill(self, head: dict[str, Any], table: pa.Table) -> None:
        self.chunk = head["chunk"]
        self._vehicles = {name: at for at, name in enumerate(head["vehicles"])}
        self._tenants = dict(zip(head["vehicles"], head["tenants"], strict=True))
        self._signals = {name: at for at, name in enumerate(head["signals"])}
        self._texts = {(row, column): text for row, column, text in head["texts"]}
        self._grow()
        self._seen_us[: len(head["seen_us"])] = head["seen_us"]
        at = table["row"].to_numpy(), table["column"].to_numpy()
        for column, name in zip(self._columns, ("time", "value", "provenance"), strict=True):
            column[at] = table[name].to_numpy()


def _of_cars(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Return the rows that do not stand under a pseudonym, and no other names."""
    names = rows["vehicle"].dictionary.to_pylist()
    mine = [at for at, name in enumerate(names) if not is_pseudonym(name)]
    if len(mine) == len(names):
        return rows
    car = rows["vehicle"].indices.to_numpy()
    place = np.full(len(names), -1, np.int32)
    place[mine] = np.arange(len(mine))
    rows = rows.filter(pa.array(place[car] >= 0))
    car = place[rows["vehicle"].indices.to_numpy()]
    vehicle = pa.DictionaryArray.from_arrays(car, pa.array([names[at] for at in mine], pa.string()))
    return rows.set_column(rows.schema.get_field_index("vehicle"), rows.schema.field("vehicle"), vehicle)
