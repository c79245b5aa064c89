"""From batches to a chunk's rows: put the columns together, guard, transform, sort by (vehicle, signal, time).

Rules:
* Python touches runs (one signal of one batch), never samples: runs are sorted, rows are gathered once.
* What the governance wants less exact is made so after the guards, which judge what a car really said.
* A chunk names the cars that have rows in it, by the name those rows bear, and no others.
* A batch is sorted inside, so rows of one vehicle and signal are in order when their batches are; where they are not,
  all rows are sorted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.safety.governance.masks import masked
from carcloud.safety.governance.table import Table
from carcloud.stream.chunk import SCHEMA
from carcloud.stream.guards import UNPAIRED, Rows, Terms, by_batch, judge
from carcloud.stream.intake import Arrival
from carcloud.stream.places import into_cells
from carcloud.vehicle.catalogue import Catalogue


@dataclass(frozen=True)
class Draft:
    """The rows that passed, as the chunk schema, and what did not: cause → rows refused per arrival.

    `transformed`: how many of the rows that passed go on less exact than they came, or under a pseudonym.
    `tenants`: tenant → the names that its cars' rows bear, sorted.
    """

    rows: pa.RecordBatch
    refused: dict[str, NDArray[np.int64]]
    transformed: int = 0
    tenants: dict[str, list[str]] = field(default_factory=dict)


def draft(arrivals: list[Arrival], terms: Terms, consents: Mapping[str, int], pseudonyms: Sequence[str] = ()) -> Draft:
    """Return the governed rows of the arrivals, which are in the order they were accepted.

    Args:
        arrivals: batches in their turn.
        terms: what the guards judge by.
        consents: vehicle → bits of the purposes consented to; a vehicle that is not there consented to none.
        pseudonyms: the name of each arrival's car for rows that shall not say whose they are; empty where no signal of
            the arrival needs one, and none at all where the governance wants none.
    """
    if not arrivals:
        return Draft(pa.RecordBatch.from_pylist([], SCHEMA), {})
    rows, catalogue = _joined(arrivals, consents), terms.catalogue
    kept, refused = judge(rows, terms)
    transformed = _transform(rows, kept, refused, terms.table)
    names, car_of_run = _names(arrivals, rows, terms.table, pseudonyms)
    paths, signal_of_run = _used_paths(rows, catalogue)
    runs = np.argsort(car_of_run.astype(np.int64) * max(len(paths), 1) + signal_of_run, kind="stable")
    order, sizes = _gathered(rows, kept, runs)
    car, signal = np.repeat(car_of_run[runs], sizes), np.repeat(signal_of_run[runs], sizes)
    cars, car = _present(list(names), car)
    time = rows.time_us[order]
    resort = _disorder(car, signal, time)
    if resort is not None:
        order, time = order[resort], time[resort]
    provenance = np.repeat(rows.batch_provenance[rows.run_batch[runs]], sizes)
    columns = [
        pa.DictionaryArray.from_arrays(car, pa.array(cars, pa.string())),
        pa.DictionaryArray.from_arrays(signal, pa.array(paths, pa.string())),
        pa.array(time).cast(pa.timestamp("us", "UTC")),
        *_values(rows, order),
        pa.array(provenance if resort is None else provenance[resort]),
    ]
    tenants: dict[str, list[str]] = {}
    for name in cars:
        tenants.setdefault(names[name], []).append(name)
    return Draft(pa.RecordBatch.from_arrays(columns, schema=SCHEMA), refused, transformed, tenants)


def _joined(arrivals: list[Arrival], consents: Mapping[str, int]) -> Rows:
    lengths = np.array([len(arrival.values) for arrival in arrivals])
    texts, first = dict[int, str](), 0
    for arrival, length in zip(arrivals, lengths.tolist(), strict=True):
        texts |= {first + row: text for row, text in arrival.texts.items()}
        first += length
    return Rows(
        run_batch=np.repeat(np.arange(len(arrivals), dtype=np.int32), [len(arrival.signals) for arrival in arrivals]),
        run_signal=np.concatenate([arrival.signals for arrival in arrivals]),
        run_count=np.concatenate([arrival.counts for arrival in arrivals]).astype(np.int64),
        time_us=np.concatenate([arrival.times_us for arrival in arrivals]),
        value=np.concatenate([arrival.values for arrival in arrivals]),
        batch_received_us=np.array([arrival.received_us for arrival in arrivals]),
        batch_provenance=np.array([arrival.provenance for arrival in arrivals], np.uint8),
        batch_purposes=np.array([consents.get(arrival.origin.vehicle, 0) for arrival in arrivals], np.uint64),
        texts=texts,
    )


def _transform(rows: Rows, kept: NDArray[np.bool_], refused: dict[str, NDArray[np.int64]], table: Table) -> int:
    """Make the kept rows as inexact as the governance wants them; return how many it concerns.

    Rows that cannot be made so are kept no longer, and counted.
    """
    if table.places and (lone := into_cells(rows, kept, table)) is not None:
        refused[UNPAIRED] = by_batch(rows, lone)
        kept &= ~lone
    kinds = rows.run_signal.clip(0)
    if table.rounds and (coarse := rows.spread(table.step[kinds] > 0)) is not None:
        at = np.flatnonzero(coarse & kept)
        rows.value[at] = table.rounded(rows.signal[at], rows.value[at])
    if table.cuts and (cut := rows.spread(table.time_us[kinds] > 0)) is not None:
        at = np.flatnonzero(cut & kept)
        rows.time_us[at] -= rows.time_us[at] % table.time_us[rows.signal[at]]
    touched = rows.spread(table.changes[kinds])
    changed = 0 if touched is None else int(np.count_nonzero(touched & kept))
    differ = {text: mask for text in set(rows.texts.values()) if (mask := masked(text)) != text}
    for row, text in rows.texts.items() if differ else ():
        if text in differ and kept[row]:
            rows.texts[row] = differ[text]
            changed += touched is None or not touched[row]
    return changed


def _names(
    arrivals: list[Arrival], rows: Rows, table: Table, pseudonyms: Sequence[str]
) -> tuple[dict[str, str], NDArray[np.int32]]:
    """Return every name that rows may bear, sorted, with the tenant, and each run's place among them."""
    tenants = {arrival.origin.vehicle: arrival.origin.tenant for arrival in arrivals}
    own = [arrival.origin.vehicle for arrival in arrivals]
    if table.hides:
        tenants |= {name: arrival.origin.tenant for name, arrival in zip(pseudonyms, arrivals, strict=True) if name}
    tenants = {name: tenants[name] for name in sorted(tenants)}
    place = {name: at for at, name in enumerate(tenants)}
    car_of_run = np.array([place[name] for name in own], np.int32)[rows.run_batch]
    if table.hides:
        hidden = table.pseudonym[rows.run_signal.clip(0)] & (rows.run_signal >= 0)
        names = np.array([place[name] if name else -1 for name in pseudonyms], np.int32)
        car_of_run[hidden] = names[rows.run_batch[hidden]]
    return tenants, car_of_run


def _present(names: list[str], car: NDArray[np.int32]) -> tuple[list[str], NDArray[np.int32]]:
    """Return the names that rows bear, and each row's place among them."""
    used = np.flatnonzero(np.bincount(car, minlength=len(names)))
    if len(used) == len(names):
        return names, car
    place = np.zeros(len(names), np.int32)
    place[used] = np.arange(len(used))
    return [names[at] for at in used.tolist()], place[car]


def _used_paths(rows: Rows, catalogue: Catalogue) -> tuple[list[str], NDArray[np.int32]]:
    """Return the sorted paths of the signals present, and each run's place among them (0 for a refused run)."""
    names = list(catalogue)
    used = [int(position) for position in np.unique(rows.run_signal) if position >= 0]
    used.sort(key=names.__getitem__)
    place = np.zeros(max(len(names), 1), np.int32)
    place[used] = np.arange(len(used))
    return [names[position] for position in used], place[rows.run_signal.clip(0)]


def _gathered(
    rows: Rows, kept: NDArray[np.bool_], runs: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the positions of the kept rows, run after run in the order given, and how many each run keeps."""
    first, counts = rows.edges[0], rows.run_count
    source = None
    if not kept.all():
        source = np.flatnonzero(kept)
        before = np.concatenate([[0], np.cumsum(kept)])
        counts = before[first + counts] - before[first]
        first = before[first]
    sizes = counts[runs]
    shift = first[runs] - (np.cumsum(sizes) - sizes)
    order = np.repeat(shift, sizes) + np.arange(int(sizes.sum()))
    return (order if source is None else source[order]), sizes


def _disorder(car: NDArray[np.int32], signal: NDArray[np.int32], time: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the order that sorts the rows by (car, signal, time), None where they are sorted already."""
    falls = np.flatnonzero(time[1:] < time[:-1])
    if not ((car[falls] == car[falls + 1]) & (signal[falls] == signal[falls + 1])).any():
        return None
    return np.lexsort((time, signal, car))


def _values(rows: Rows, order: NDArray[np.int64]) -> tuple[pa.Array, pa.Array]:
    value = rows.value[order]
    if not rows.texts:
        return pa.array(value), pa.nulls(len(order), pa.string())
    place = np.full(len(rows), -1, np.int64)
    place[list(rows.texts)] = np.arange(len(rows.texts))
    place = place[order]
    texts = pa.array(rows.texts.values(), pa.string(), size=len(rows.texts))
    return pa.array(value, mask=place >= 0), texts.take(pa.array(place, mask=place < 0))
