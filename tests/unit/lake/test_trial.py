"""The dry run equals the car: the same samples through the lake's SQL and through what runs in the car."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carcloud.errors import InputError
from carcloud.lake.query import LakeQuery
from carcloud.lake.rows import SCHEMA
from carcloud.lake.tally import Result
from carcloud.lake.trial import Progress, attempt
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import Column
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.conditions.condition import firings
from carcloud.vehicle.conditions.incremental import Evaluator
from carcloud.vehicle.plans.harvest import Harvest, order
from carcloud.vehicle.plans.plan import Plan, parse
from carcloud.vehicle.plans.windows import Windows

SPEED, RATE, STATE = "Vehicle.Speed", "Vehicle.Rate", "Vehicle.State"
CATALOGUE = Catalogue([Signal(SPEED, "float", "km/h"), Signal(RATE, "float", "degrees/s"), Signal(STATE, "string")])
BEGIN_US = 1_763_900_000_000_000
DAY_US = 86_400_000_000
SECOND_US = 1_000_000
Samples = dict[str, tuple[np.ndarray[Any, Any], list[Any]]]


def drive(seed: int) -> Samples:
    """Return ten minutes of a car, with a gap in which it says nothing."""
    rng = np.random.default_rng(seed)
    at = BEGIN_US + np.cumsum(rng.integers(5_000, 15_000, 50_000))
    at = at[(at < BEGIN_US + 200 * SECOND_US) | (at > BEGIN_US + 330 * SECOND_US)]
    rate = 80 * np.sin(np.arange(len(at)) / 700) * rng.choice([0.5, 1.0, 1.5], len(at))
    slow = at[::50]
    states = [["P", "D", "R"][int(i)] for i in rng.integers(0, 3, len(slow))]
    return {
        RATE: (at, rate.tolist()),
        SPEED: (slow, np.round(rng.uniform(0, 90, len(slow)), 1).tolist()),
        STATE: (slow, states),
    }


def plan(name: str, **changed: Any) -> Plan:
    given = {
        "plan": name,
        "version": 1,
        "signals": [RATE, {"path": SPEED, "band": "20 km/h"}, {"path": STATE, "change": True}],
        "when": f"abs({RATE}) > 100 degrees/s",
        "before": "5 s",
        "after": "5 s",
        "interval": "20 s",
        "purpose": "operation",
        "basis": "contract",
        "budget": "40 kB",
        "until": "2099-01-01T00:00:00Z",
    } | changed
    return parse({key: value for key, value in given.items() if value is not None}, CATALOGUE)


PLANS = [
    plan("steering"),
    plan("slow", when=f"{SPEED} < 3 km/h", before="30 s", after="70 s", interval=None, priority=1, budget="1 MB"),
    plan("ever", signals=[{"path": RATE, "every": "2 s"}], when=None, before=None, after=None, interval=None),
]


@pytest.fixture
def lake(tmp_path: Path) -> LakeQuery:
    rows: list[dict[str, Any]] = []
    for car, samples in CARS.items():
        for path, (times, values) in samples.items():
            for at, value in zip(times.tolist(), values, strict=True):
                said = {"text": value} if isinstance(value, str) else {"value": value}
                day = str(np.datetime64(at, "us"))[:10]
                rows.append({"vehicle": car, "signal": path, "time": at, "chunk": 1, "day": day, **said})
    files = []
    fields = pa.schema([field for field in SCHEMA if field.name not in ("day", "tenant")])
    for day in {row["day"] for row in rows}:
        file = tmp_path / f"tenant=default/day={day}/part.parquet"
        file.parent.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist([row for row in rows if row["day"] == day], schema=fields), file)
        files.append(str(file))
    return LakeQuery(tmp_path / "tenant=default", lambda: (1, files), list, list)


CARS = {car: drive(seed) for seed, car in enumerate(("a1", "b2", "c3"))}


def tried(lake: LakeQuery, plans: list[Plan], **asked: Any) -> tuple[Result, list[Progress]]:
    async def ask(sql: str) -> pa.Table:
        return lake.run(sql, limit=None).table

    async def all_of() -> list[Progress | Result]:
        return [said async for said in attempt(plans, ask, **asked)]

    said = asyncio.run(all_of())
    (result,) = (one for one in said if isinstance(one, Result))
    return result, [one for one in said if isinstance(one, Progress)]


def driven(samples: Samples, plans: list[Plan]) -> tuple[list[list[int]], Harvest]:
    """Return when the plans fire in a car that hears these samples second by second, and what they bring in."""
    table = IdTable(((RATE, "degrees/s"), (SPEED, "km/h"), (STATE, None)))
    harvest = Harvest(plans, table, Provenance.MEASURED, Counter())
    conditions = [one.when for one in plans if one.when is not None]
    evaluator, asking = Evaluator(conditions), [at for at, one in enumerate(plans) if one.when is not None]
    windows = [Windows(one.before_us, one.after_us, None if one.when else BEGIN_US) for one in plans]
    changes: list[list[Any]] = [[] for _ in plans]
    told = [0] * len(plans)
    last = max(int(times[-1]) for times, _ in samples.values())
    ends = [*range(BEGIN_US, last, SECOND_US), last + 1, 2**62]
    for start, until in itertools.pairwise(ends):
        for path, (times, values) in samples.items():
            for row in np.flatnonzero((times >= start) & (times < until)).tolist():
                evaluator.take(path, int(times[row]), values[row])
        for index, change in evaluator.advance(min(until, last + 1)):
            changes[asking[index]].append(change)
        ready = []
        for at, one in enumerate(plans):
            moments = firings(changes[at], one.when.initial, one.interval_us) if one.when else []
            for moment in moments[told[at] :]:
                windows[at].fire(moment)
            told[at] = len(moments)
            until_us = min(until, last + 60 * SECOND_US) if one.when is None else until
            ready += [(order(one, at, piece), at, piece) for piece in windows[at].ready(until_us)]
        for _, at, piece in sorted(ready):
            columns = []
            for signal, (path, _) in enumerate(table.signals):
                times, values = samples[path]
                rows = np.flatnonzero((times >= piece.start_us) & (times <= piece.end_us))
                found = [values[row] for row in rows.tolist()]
                texts = found if path == STATE else None
                numbers = np.full(len(rows), np.nan) if texts is not None else np.array(found, np.float64)
                columns.append(Column(signal, times[rows], numbers, texts))
            harvest.take(at, piece, [column for column in columns if len(column)])
    return [
        firings(rows, one.when.initial, one.interval_us) if one.when else []
        for rows, one in zip(changes, plans, strict=True)
    ], harvest


def test_dry_run_says_what_the_car_does(lake: LakeQuery) -> None:
    result, progress = tried(lake, PLANS)
    assert (result.cars, progress[-1].done) == (3, 3)
    for car, samples in CARS.items():
        moments, harvest = driven(samples, PLANS)
        for at, found in enumerate(result.plans):
            assert [time for name, time in found.moments if name == car] == moments[at]
            (mine,) = (one for one in found.cars if one.vehicle == car)
            assert mine.bytes == pytest.approx(harvest.spent[at].sent.total(), rel=0.02)
            assert mine.cut_bytes == pytest.approx(harvest.spent[at].cut.total(), rel=0.02)
    steering, slow, ever = result.plans
    assert steering.firings > 3
    assert slow.firings > 3
    assert any(one.cut_bytes for one in steering.cars), "the budget cuts"
    assert steering.most_bytes > 40_000
    assert sum(day.bytes for day in ever.days.values()) > 0
    assert steering.known_share == pytest.approx(1 - 70 / 500, abs=0.05), "unknown when stale in the gap"
    assert ever.known_share is None


def test_some_cars_and_some_time_only(lake: LakeQuery) -> None:
    result, _ = tried(lake, PLANS[:1], vehicles=["b2"])
    assert (result.cars, {car for car, _ in result.plans[0].moments}) == (1, {"b2"})
    assert tried(lake, PLANS[:1], vehicles=[])[0].cars == 0
    assert tried(lake, PLANS[:1], vehicles=["b2' OR true --"])[0].cars == 0


def test_what_history_cannot_tell_is_named(lake: LakeQuery) -> None:
    fine = plan("fine", signals=[{"path": SPEED, "every": "100 ms"}, STATE], budget="1 GB")
    result, _ = tried(lake, [fine], doubts={RATE: ["the governance rounds it to 10 degrees/s"]})
    (found,) = result.plans
    assert found.unknown.keys() == {RATE, SPEED}
    assert "s, the plan asks one every 0.1 s" in found.unknown[SPEED][0]
    missing = Catalogue([*CATALOGUE.values(), Signal("Vehicle.Never", "float")])
    never = parse({**fine.document(), "signals": ["Vehicle.Never"]}, missing)
    assert tried(lake, [never])[0].plans[0].unknown == {"Vehicle.Never": ["history has no samples of it"]}


def test_too_many_plans_are_refused(lake: LakeQuery) -> None:
    with pytest.raises(InputError):
        tried(lake, PLANS * 4)
