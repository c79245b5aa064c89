"""Rows on their way into the lake: chunks or small files joined into one table sorted by (vehicle, signal, time).

Rules:
* What is joined is sorted already, so runs of one vehicle, signal, chunk and provenance are ordered, not rows.
* A row with a text has no value; every other row has a finite one.
* A file holds rows of one tenant and names no car of another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.errors import ConflictError
from carcloud.stream.chunk import Chunk
from carcloud.stream.receipts import starts
from carcloud.vehicle.batch import Provenance

SCHEMA = pa.schema(
    [
        ("vehicle", pa.string()),
        ("signal", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("provenance", pa.string()),
        ("chunk", pa.int64()),
        ("tenant", pa.string()),
        ("day", pa.string()),
    ]
)
PARTITIONS = ("tenant", "day")
PROVENANCES = [kind.name.lower() for kind in Provenance]
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Part:
    """Sorted columns of one chunk or file, as plain arrays. `vehicle`, `signal`: positions in the lists of names.

    `tenant`, `file`: of which file of the lake, where it is of one.
    """

    vehicles: list[str]
    signals: list[str]
    vehicle: NDArray[np.int32]
    signal: NDArray[np.int32]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    provenance: NDArray[np.uint8]
    chunk: NDArray[np.int64]
    text: pa.Array | None
    tenant: str = ""
    file: str = ""

    def taken(self, at: NDArray[np.int64]) -> Part:
        """Return the rows at these places, in their order."""
        return replace(
            self,
            vehicle=self.vehicle[at],
            signal=self.signal[at],
            time_us=self.time_us[at],
            value=self.value[at],
            provenance=self.provenance[at],
            chunk=self.chunk[at],
            text=None if self.text is None else self.text.take(pa.array(at)),
        )


def part_of_chunk(chunk: Chunk) -> Part:
    """Return a chunk's rows."""
    rows = chunk.rows
    number = np.full(rows.num_rows, chunk.record.number, np.int64)
    return _part(rows, rows["provenance"].to_numpy(), number)


def part_of_file(table: pa.Table) -> Part:
    """Return a lake file's rows, read with vehicle, signal and provenance as dictionaries."""
    rows = table.unify_dictionaries().combine_chunks().to_batches()[0]
    codes = np.array([PROVENANCES.index(name) for name in rows["provenance"].dictionary.to_pylist()], np.uint8)
    return _part(rows, codes[rows["provenance"].indices.to_numpy()], rows["chunk"].to_numpy())


def _part(rows: pa.RecordBatch, provenance: NDArray[np.uint8], chunk: NDArray[np.int64]) -> Part:
    text = rows["text"].cast(pa.string())  # another engine may have written it as a view
    return Part(
        rows["vehicle"].dictionary.to_pylist(),
        rows["signal"].dictionary.to_pylist(),
        rows["vehicle"].indices.to_numpy(),
        rows["signal"].indices.to_numpy(),
        rows["time"].cast(pa.int64()).to_numpy(),
        rows["value"].to_numpy(zero_copy_only=False),
        provenance,
        chunk,
        None if text.null_count == len(text) else text,
    )


def joined(parts: list[Part]) -> pa.Table:
    """Return all rows as one table, sorted by (vehicle, signal, time), without the day."""
    part = parts[0] if len(parts) == 1 and _names_sorted(parts[0]) else _merged(parts)
    columns = {
        "vehicle": pa.DictionaryArray.from_arrays(part.vehicle, pa.array(part.vehicles, pa.string())),
        "signal": pa.DictionaryArray.from_arrays(part.signal, pa.array(part.signals, pa.string())),
        "time": pa.array(part.time_us).cast(pa.timestamp("us", "UTC")),
        "value": pa.array(part.value, mask=None if part.text is None else np.isnan(part.value)),
        "text": pa.nulls(len(part.value), pa.string()) if part.text is None else part.text,
        "provenance": pa.DictionaryArray.from_arrays(part.provenance.astype(np.int8), pa.array(PROVENANCES)),
        "chunk": pa.array(part.chunk),
    }
    return pa.table(columns)


def _names_sorted(part: Part) -> bool:
    return part.vehicles == sorted(part.vehicles) and part.signals == sorted(part.signals)


def _merged(parts: list[Part]) -> Part:
    vehicles = sorted({name for part in parts for name in part.vehicles})
    signals = sorted({name for part in parts for name in part.signals})
    car = np.concatenate([_translated(part.vehicle, part.vehicles, vehicles) for part in parts])
    signal = np.concatenate([_translated(part.signal, part.signals, signals) for part in parts])
    chunk = np.concatenate([part.chunk for part in parts])
    provenance = np.concatenate([part.provenance for part in parts])
    runs = starts(car, signal, chunk, provenance)
    sizes = np.diff(np.append(runs, len(car)))
    by_key = np.argsort(car[runs].astype(np.int64) * max(len(signals), 1) + signal[runs], kind="stable")
    runs, sizes = runs[by_key], sizes[by_key]
    order = np.repeat(runs - (np.cumsum(sizes) - sizes), sizes) + np.arange(len(car))
    time = np.concatenate([part.time_us for part in parts])[order]
    car, signal = np.repeat(car[runs], sizes), np.repeat(signal[runs], sizes)
    chunk, provenance = np.repeat(chunk[runs], sizes), np.repeat(provenance[runs], sizes)
    falls = np.flatnonzero(time[1:] < time[:-1])
    if ((car[falls] == car[falls + 1]) & (signal[falls] == signal[falls + 1])).any():
        again = np.lexsort((time, signal, car))
        order, time = order[again], time[again]
        car, signal, chunk, provenance = car[again], signal[again], chunk[again], provenance[again]
    value = np.concatenate([part.value for part in parts])[order]
    return Part(vehicles, signals, car, signal, time, value, provenance, chunk, _texts(parts, order))


def _translated(codes: NDArray[np.int32], names: list[str], into: list[str]) -> NDArray[np.int32]:
    place = {name: at for at, name in enumerate(into)}
    return np.array([place[name] for name in names], np.int32)[codes] if len(codes) else codes.astype(np.int32)


def _texts(parts: list[Part], order: NDArray[np.int64]) -> pa.Array | None:
    if all(part.text is None for part in parts):
        return None
    arrays = [pa.nulls(len(part.value), pa.string()) if part.text is None else part.text for part in parts]
    return pa.concat_arrays(arrays).take(pa.array(order))


def by_day(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield (day as YYYY-MM-DD, its rows), each still sorted: late data goes into its own day."""
    time_us = rows["time"].cast(pa.int64()).to_numpy()
    first, last = int(time_us.min()) // DAY_US, int(time_us.max()) // DAY_US
    if first == last:
        yield _day(first), rows
        return
    day = time_us // DAY_US
    for number in np.unique(day).tolist():
        yield _day(number), rows.filter(pa.array(day == number))


def by_tenant(part: Part, tenant_of: Mapping[str, str]) -> Iterator[tuple[str, Part]]:
    """Yield (tenant, its rows), each sorted as before and naming that tenant's cars only.

    Raises:
        ConflictError: a car is of no tenant.
    """
    part = _named(part)
    if unknown := [name for name in part.vehicles if name not in tenant_of]:
        raise ConflictError(f"A chunk has rows of {len(unknown)} cars and does not say whose they are.")
    tenants = sorted({tenant_of[name] for name in part.vehicles})
    if len(tenants) == 1:
        yield tenants[0], part
        return
    place = {tenant: at for at, tenant in enumerate(tenants)}
    row = np.array([place[tenant_of[name]] for name in part.vehicles], np.int32)[part.vehicle]
    order = np.argsort(row, kind="stable")
    edges = np.searchsorted(row[order], np.arange(len(tenants) + 1))
    for tenant, (first, end) in zip(tenants, pairwise(edges.tolist()), strict=True):
        yield tenant, _named(part.taken(order[first:end]))


def _named(part: Part) -> Part:
    """Return the part with no name of a car that it has no row of."""
    used = np.flatnonzero(np.bincount(part.vehicle, minlength=len(part.vehicles)))
    if len(used) == len(part.vehicles):
        return part
    place = np.zeros(len(part.vehicles), np.int32)
    place[used] = np.arange(len(used))
    return replace(part, vehicles=[part.vehicles[at] for at in used.tolist()], vehicle=place[part.vehicle])


def _day(number: int) -> str:
    return str(np.datetime64(number, "D"))


def bins(sizes: list[int], limit: int) -> list[tuple[int, int]]:
    """Return (first, after the last) of neighbours that together stay below the limit; lone items left out."""
    edges, total = [0], 0
    for at, size in enumerate(sizes):
        if total and total + size > limit:
            edges.append(at)
            total = 0
        total += size
    edges.append(len(sizes))
    return [(first, end) for first, end in pairwise(edges) if end - first > 1]
