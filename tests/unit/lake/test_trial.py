"""The dry run equals the car: the same samples through the lake's SQL and through what runs in the car."""

from __future__ import annotations

import asyncio
import json
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
from carcloud.lake.tally import OVERFULL, Result
from carcloud.lake.trial import Progress, attempt
from carcloud.onboard.collector import FIRED, Collector, Gathered, with_own_signals
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import KeptPlan, Queue
from carcloud.vehicle.batch import IdTable, Provenance, decode
from carcloud.vehicle.batching import Column
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.conditions import condition
from carcloud.vehicle.plans.plan import Plan, parse

SPEED, RATE, STATE = "Vehicle.Speed", "Vehicle.Rate", "Vehicle.State"
CATALOGUE = Catalogue([Signal(SPEED, "float", "km/h"), Signal(RATE, "float", "degrees/s"), Signal(STATE, "string")])
BEGIN_US = 1_763_900_000_000_000
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


class Driven:
    """A car that has the plans, hears these samples second by second, and comes to their end."""

    def __init__(self, samples: Samples, plans: list[Plan], folder: Path) -> None:
        queue = Queue(folder / "car.queue")
        for plan in plans:
            queue.keep_plan(KeptPlan(plan.name, plan.canonical(), b"{}"))
        table = with_own_signals(IdTable(((RATE, "degrees/s"), (SPEED, "km/h"), (STATE, None))))
        taken = Plans(queue, CATALOGUE, (RATE, SPEED, STATE))
        collector = Collector(taken, queue, table, Provenance.MEASURED, Counter(), gather=True)
        self.moments: dict[str, list[int]] = {plan.name: [] for plan in plans}
        self.bytes: Counter[str] = Counter()
        self.cut: Counter[str] = Counter()
        last = max(int(times[-1]) for times, _ in samples.values())
        for start in range(BEGIN_US, last + 1, SECOND_US):
            collector.take(_columns(samples, start, start + SECOND_US))
            self._keep(collector.advance(start + SECOND_US), table)
        self._keep(collector.rest(), table)
        queue.close()

    def _keep(self, gathered: Gathered | None, table: IdTable) -> None:
        if gathered is None:
            return
        for parcel in gathered.parcels:
            if parcel.plan:
                self.bytes[parcel.plan] += len(parcel.payload)
                continue
            batch = decode(parcel.payload)
            if table.signals[int(batch.signals[0])][0] == FIRED:
                for row, label in batch.texts.items():
                    self.moments[label.removesuffix("/1")].append(batch.base_us + int(batch.times[row]))
        for name, state in gathered.states.items():  # of plans that have changed
            self.cut[name] = sum(json.loads(state)["cut"].values())


def _columns(samples: Samples, start: int, end: int) -> list[Column]:
    found = []
    for signal, path in enumerate((RATE, SPEED, STATE)):
        times, values = samples[path]
        first, last = np.searchsorted(times, [start, end]).tolist()
        texts = values[first:last] if path == STATE else None
        numbers = np.full(last - first, np.nan) if texts is not None else np.array(values[first:last], np.float64)
        found.append(Column(signal, times[first:last], numbers, texts))
    return [column for column in found if len(column)]


def test_dry_run_says_what_the_car_does(lake: LakeQuery, tmp_path: Path) -> None:
    result, progress = tried(lake, PLANS)
    assert (result.cars, progress[-1].done) == (3, 3)
    for car, samples in CARS.items():
        driven = Driven(samples, PLANS, tmp_path / car)
        for found in result.plans:
            name = found.plan.name
            assert [time for vehicle, time in found.moments if vehicle == car] == driven.moments[name]
            (mine,) = (one for one in found.cars if one.vehicle == car)
            assert mine.bytes == pytest.approx(driven.bytes[name], rel=0.01), name
            assert mine.cut_bytes == pytest.approx(driven.cut[name], rel=0.01), name
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


def test_a_window_that_a_car_could_not_keep_is_named(lake: LakeQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    often = plan("often", when=f"mean of {RATE} over 10 s > 1 degrees/s or max of {SPEED} over 10 s > 99 km/h")
    assert tried(lake, [often])[0].plans[0].unknown == {}
    monkeypatch.setattr(condition, "LIMIT_KEPT", 1_000)  # 500 a window, and ten seconds have about 1,000 and 20
    often = plan("often", when=str(often.when and often.when.text))
    assert tried(lake, [often])[0].plans[0].unknown == {RATE: [OVERFULL]}


def test_too_many_plans_are_refused(lake: LakeQuery) -> None:
    with pytest.raises(InputError):
        tried(lake, PLANS * 4)
