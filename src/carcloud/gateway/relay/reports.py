"""From governed rows to what a report says: the values of one car in one second. Pure.

Rules:
* Only what was measured goes to an authority, never a replay or a simulation.
* Of several values of a signal in a second the last counts: a report has one time, to the second.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from carcloud.vehicle.batch import Provenance
from carcloud.vehicle.gbt32960.rules import rules

SECOND_US = 1_000_000
COLUMNS = ("vehicle", "signal", "time", "value", "text")

Values = dict[str, float | str]


@dataclass(frozen=True)
class Said:
    """What a car said within one second. `second`: since 1970 UTC."""

    vehicle: str
    second: int
    values: Values


@cache
def known_signals() -> frozenset[str]:
    """Return the signals that a report can say."""
    fields = (field for unit in rules().values() for field in unit.values())
    return frozenset(rule.signal for field in fields for rule in field)


def chosen(rows: pa.RecordBatch, cars: Collection[str], signals: Collection[str]) -> pa.Table:
    """Return the measured rows of these cars and signals, as `COLUMNS` and provenance, by car, signal and time."""
    measured = pc.equal(rows["provenance"], pa.scalar(int(Provenance.MEASURED), pa.uint8()))
    mine = pc.and_(_in(rows["vehicle"], cars), _in(rows["signal"], signals))
    found = pa.table({name: rows[name] for name in COLUMNS}).filter(pc.and_(mine, measured))
    for at, name in enumerate(("vehicle", "signal")):
        found = found.set_column(at, name, found[name].cast(pa.string()))
    return found.append_column("provenance", pa.array(["measured"] * found.num_rows, pa.string()))


def _in(column: pa.DictionaryArray, names: Collection[str]) -> pa.Array:
    fits = pc.is_in(column.dictionary, pa.array(sorted(names), pa.string()))
    return fits.take(column.indices)


def said(rows: pa.Table) -> Iterator[Said]:
    """Yield what rows say, by car and second. Rows with neither value nor text say nothing."""
    if not rows.num_rows:
        return
    rows = rows.sort_by([("vehicle", "ascending"), ("time", "ascending")])
    seconds = np.asarray(rows["time"].cast(pa.int64())) // SECOND_US
    cars = rows["vehicle"].combine_chunks().dictionary_encode().indices.to_numpy()
    begins = np.flatnonzero((np.diff(seconds, prepend=seconds[0] - 1) != 0) | (np.diff(cars, prepend=-1) != 0))
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), rows.num_rows], strict=True):
        part = rows.slice(begin, end - begin)
        signals, numbers, texts = (part[name].to_pylist() for name in ("signal", "value", "text"))
        values: Values = {}
        for signal, number, text in zip(signals, numbers, texts, strict=True):
            if text is not None or number is not None:
                values[signal] = text if text is not None else number
        if values:
            yield Said(part["vehicle"][0].as_py(), int(seconds[begin]), values)
