"""What a dry run asks of the lake: its cars, when conditions change, and the samples of some stretches."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.batching import Column
from carcloud.vehicle.conditions.columnar import sql
from carcloud.vehicle.conditions.condition import Change, Condition
from carcloud.vehicle.plans.windows import PIECE_US

LIMIT_CARS = 20_000
CARS_AT_ONCE = 20
GROUP_ROWS = 20_000_000
GAP_US = 5_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Extent(NamedTuple):
    """Of one car's samples that plans ask about: the first and the last time, in µs, and how many."""

    first_us: int
    last_us: int
    rows: int


@dataclass(frozen=True)
class Minutes:
    """Minutes since 1970 in which there are samples that plans collect, rising, and how many each has."""

    numbers: NDArray[np.int64]
    counts: NDArray[np.int64]

    def rows(self, minute: int) -> int:
        """Return how many samples a minute has."""
        at = int(np.searchsorted(self.numbers, minute))
        return int(self.counts[at]) if at < len(self.numbers) and self.numbers[at] == minute else 0


class History:
    """The lake's samples of some signals."""

    def __init__(
        self,
        ask: Callable[[str], Awaitable[pa.Table]],
        paths: Sequence[str],
        vehicles: Sequence[str] | None,
        since_us: int | None,
        until_us: int | None,
    ) -> None:
        self._ask, self._paths = ask, paths
        where = [f"signal IN ({_list(paths)})"]
        if vehicles is not None:
            where.append(f"vehicle IN ({_list(vehicles)})" if vehicles else "false")
        for us, than in ((since_us, ">="), (until_us, "<")):
            if us is not None:
                where += [f"time {than} {_time(us)}", f"day {than.rstrip('=')}= '{_day(us)}'"]
        self._where = " AND ".join(where)

    async def cars(self) -> dict[str, Extent]:
        """Return the cars that have any of the signals, in the order of their ids."""
        found = await self._ask(
            "SELECT vehicle, min(epoch_us(time)) AS first, max(epoch_us(time)) AS last, count(*) AS rows "  # noqa: S608
            f"FROM samples WHERE {self._where} GROUP BY vehicle ORDER BY vehicle LIMIT {LIMIT_CARS + 1}"
        )
        if found.num_rows > LIMIT_CARS:
            raise InputError(f"More than {LIMIT_CARS} cars have such samples.", "Name some of them.")
        rows = zip(*(found.column(name).to_pylist() for name in ("vehicle", "first", "last", "rows")), strict=True)
        return {car: Extent(first, last, count) for car, first, last, count in rows}

    async def signals(self) -> set[str]:
        """Return which of the signals have any samples."""
        found = await self._ask(f"SELECT DISTINCT signal FROM samples WHERE {self._where}")  # noqa: S608
        return set(found.column("signal").to_pylist())

    def groups(self, cars: dict[str, Extent]) -> Iterator[tuple[int, list[str]]]:
        """Yield cars to be asked about at once, and how many are done with them."""
        group, rows, done = list[str](), 0, 0
        for car, extent in cars.items():
            if group and (len(group) == CARS_AT_ONCE or rows + extent.rows > GROUP_ROWS):
                done += len(group)
                yield done, group
                group, rows = [], 0
            group.append(car)
            rows += extent.rows
        if group:
            yield done + len(group), group

    async def firings(self, condition: Condition, group: Sequence[str]) -> dict[str, list[Change]]:
        """Return the changes of a condition, car by car; fewer cars at once where they are too many for one answer."""
        mine = f"{self._where} AND vehicle IN ({_list(group)})"
        source = f"(SELECT vehicle, signal, time, value, text, chunk FROM samples WHERE {mine})"  # noqa: S608
        try:
            found = await self._ask(sql(condition, source))
        except InputError:
            if len(group) == 1:
                raise
            middle = len(group) // 2
            return await self.firings(condition, group[:middle]) | await self.firings(condition, group[middle:])
        changes: dict[str, list[Change]] = {}
        rows = zip(*(found.column(name).to_pylist() for name in ("vehicle", "time_us", "now", "after")), strict=True)
        for car, time_us, now, after in rows:
            changes.setdefault(car, []).append(Change(time_us, now, after))
        return changes

    async def overfull(self, condition: Condition, group: Sequence[str]) -> set[str]:
        """Return the signals of which a car has more samples in a window of a condition than it could keep there."""
        counts = [
            "SELECT signal, count(*) OVER (PARTITION BY vehicle ORDER BY epoch_us(time) "  # noqa: S608
            f"RANGE BETWEEN {us - 1} PRECEDING AND CURRENT ROW) AS kept "
            f"FROM samples WHERE {self._where} AND vehicle IN ({_list(group)}) AND signal IN ({_list([path])})"
            for path, us in sorted({(path, us) for _, path, us in condition.windows})
        ]
        if not counts:
            return set()
        found = await self._ask(
            f"SELECT DISTINCT signal FROM ({' UNION ALL '.join(counts)}) WHERE kept > {condition.share}"  # noqa: S608
        )
        return set(found.column("signal").to_pylist())

    async def minutes(self, group: Sequence[str]) -> dict[str, Minutes]:
        """Return the minutes with samples, car by car."""
        found = await self._ask(
            f"SELECT vehicle, epoch_us(time) // {PIECE_US} AS minute, count(*) AS rows FROM samples "  # noqa: S608
            f"WHERE {self._where} AND vehicle IN ({_list(group)}) GROUP BY ALL ORDER BY vehicle, minute"
        )
        cars = found.column("vehicle").to_numpy(zero_copy_only=False)
        numbers, counts = (found.column(name).to_numpy().astype(np.int64) for name in ("minute", "rows"))
        starts = np.flatnonzero(np.concatenate(([True], cars[1:] != cars[:-1]))) if len(cars) else np.empty(0, int)
        ends = [*starts[1:].tolist(), len(cars)]
        there = {
            cars[start]: Minutes(numbers[start:end], counts[start:end])
            for start, end in zip(starts.tolist(), ends, strict=False)
        }
        return {car: there.get(car, Minutes(numbers[:0], counts[:0])) for car in group}

    async def columns(self, car: str, table: IdTable, spans: Sequence[tuple[int, int]]) -> list[Column]:
        """Return a car's samples of some stretches, both ends in them, a column a signal, in the order of time."""
        joined = _joined(spans)
        times = " OR ".join(f"time BETWEEN {_time(start)} AND {_time(end)}" for start, end in joined)
        days = f"day BETWEEN '{_day(joined[0][0])}' AND '{_day(joined[-1][1])}'"
        found = await self._ask(
            "SELECT signal, epoch_us(time) AS t, value, text FROM samples "  # noqa: S608
            f"WHERE {self._where} AND vehicle = '{car}' AND {days} AND ({times}) ORDER BY signal, time, chunk"
        )
        names = found.column("signal").to_numpy(zero_copy_only=False)
        at = found.column("t").to_numpy().astype(np.int64)
        columns = []
        for place, (path, _) in enumerate(table.signals):
            start, end = np.searchsorted(names, path, "left"), np.searchsorted(names, path, "right")
            if end > start:
                part = found.slice(int(start), int(end - start))
                columns.append(_column(place, at[start:end], part))
        return columns


def _column(place: int, times_us: NDArray[np.int64], rows: pa.Table) -> Column:
    texts = rows.column("text")
    if texts.null_count == len(texts):
        return Column(place, times_us, rows.column("value").to_numpy().astype(np.float64))
    found = [text or "" for text in texts.to_pylist()]
    return Column(place, times_us, np.full(len(found), math.nan), found)


def _joined(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return stretches in order, those that lie close together as one."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1] + GAP_US:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((start, end))
    return found


def _list(names: Sequence[str]) -> str:
    return ", ".join("'" + name.replace("'", "''") + "'" for name in names)


def _time(us: int) -> str:
    return f"TIMESTAMPTZ '{(EPOCH + timedelta(microseconds=us)).isoformat()}'"


def _day(us: int) -> str:
    return f"{EPOCH + timedelta(microseconds=us):%Y-%m-%d}"
