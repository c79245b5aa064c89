"""The dry run finds in history what the car did that made it, whatever its plans, gaps, silences and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_collector import Car, columns

from carcloud.lake.tally import Result
from carcloud.lake.trial import attempt
from carcloud.vehicle.plans.plan import Plan, parse
from tests.conditions import CATALOGUE, GEAR, PEDAL, SPEED, START, Sample

HOUR_S = 3600
BEGIN = START // 86_400_000_000 * 86_400_000_000 + 20 * HOUR_S * 1_000_000
"""Some hours before a day ends, since budgets are a day's."""
COLUMNS = pa.schema(
    {"vehicle": pa.string(), "signal": pa.string(), "time": pa.timestamp("us", "UTC"), "value": pa.float64()}
    | {"text": pa.string(), "chunk": pa.int64(), "day": pa.string()}
)


def _at(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us // 1_000_000, UTC):%FT%T}.{time_us % 1_000_000:06}Z"


conditions = st.sampled_from(
    [
        f"{SPEED} > 50 km/h",
        f"{SPEED} > 50 km/h for at least 2 s",
        f"{SPEED} is unknown",
        f"mean of {SPEED} over 30 s > 40 km/h",
        f"falling {SPEED} > 20 km/h",
        f"count of {PEDAL} over 10 s < 1",
        f'{GEAR} = "R"',
    ]
)
samplings = st.sampled_from([{}, {"every": "10 s"}, {"change": True}])
lengths = st.sampled_from(["0 s", "5 s", "90 s", "200 s"])
ends = st.sampled_from(["2099-01-01T00:00:00Z", _at(BEGIN + 1_801_000_000)])


@st.composite
def plans(draw: st.DrawFn) -> dict[str, object]:
    paths = draw(st.lists(st.sampled_from([SPEED, PEDAL, GEAR]), min_size=1, max_size=3, unique=True))
    wanted = [{"path": path, **draw(samplings)} for path in paths]
    if draw(st.booleans()):
        wanted = [{"path": SPEED, "band": "7 km/h"}]
    found = said(wanted, priority=draw(st.integers(1, 9)), until=draw(ends))
    if (when := draw(st.one_of(st.none(), conditions))) is not None:
        found |= {"when": when, "before": draw(lengths), "after": draw(lengths), "interval": draw(lengths)}
    return found


def said(wanted: list[dict[str, object]], **more: object) -> dict[str, object]:
    given = {"version": 1, "signals": wanted, "purpose": "research", "basis": "consent", "budget": "1 MB"}
    return given | {"until": "2099-01-01T00:00:00Z"} | more


@st.composite
def traces(draw: st.DrawFn) -> list[Sample]:
    """Return what a car said in some drives, with silences about as long as those that mean something."""
    found, at = dict[tuple[str, int], Sample](), BEGIN
    for _ in range(draw(st.integers(1, 4))):
        for pause_ms, path in draw(st.lists(st.tuples(st.sampled_from([0, 100, 1000, 5000]), paths), max_size=40)):
            at += pause_ms * 1000
            value = draw(st.sampled_from("PRD" if path == GEAR else [0.0, 10.0, 45.0, 52.0, 60.0, 95.0]))
            found[path, at] = Sample(path, at, value)
        at += draw(st.sampled_from([10, 59, 60, 61, 600, 3550, 3600, 3605, 3660, 3720, 3760, 7300])) * 1_000_000
    return list(found.values())


paths = st.sampled_from([SPEED, SPEED, PEDAL, GEAR])


def drives(*starts_s: int) -> list[Sample]:
    """Return drives of a minute at 52 km/h that begin so many seconds after the first."""
    return [Sample(SPEED, BEGIN + (start + at) * 1_000_000, 52.0) for start in starts_s for at in range(60)]


@settings(max_examples=60, deadline=None)
@given(st.lists(plans(), min_size=1, max_size=3), traces(), st.integers(1, 50))
@example([said([{"path": SPEED}], when=f"{SPEED} is unknown")], drives(0, 120), 7)
@example([said([{"path": SPEED, "band": "7 km/h"}])], drives(0, HOUR_S + 30, 2 * HOUR_S + 100), 7)
@example([said([{"path": SPEED}], until=_at(BEGIN + 90_000_000))], drives(0, 60), 7)
def test_dry_run_is_what_the_car_did(tmp_path_factory, asked, trace, at_once) -> None:
    if trace:
        assert _tried(asked, trace) == _driven(tmp_path_factory.mktemp("car"), asked, trace, at_once)


def _driven(folder: Path, asked: Sequence[dict[str, object]], trace: Sequence[Sample], at_once: int) -> list[object]:
    car = Car(folder, asked)
    for start in range(0, len(trace), at_once):
        car.collector.take(columns(trace[start : start + at_once]))
        car.collector.advance(trace[min(start + at_once, len(trace)) - 1].time_us)
    car.collector.rest()
    car.queue.close()
    spent = zip(car.collector._standings, car.collector._harvest.spent, strict=True)
    return [(one.fired, {day: count for day, count in spent.samples.items() if count}) for one, spent in spent]


def _tried(asked: Sequence[dict[str, object]], trace: Sequence[Sample]) -> list[object]:
    rows = [
        {"signal": one.path, "time": one.time_us, "chunk": at, ("text" if one.path == GEAR else "value"): one.value}
        for at, one in enumerate(trace)
    ]
    samples = [{"vehicle": "a1", "day": _at(row["time"])[:10], **row} for row in rows]
    plans = [parse({"plan": f"plan{at}", **one}, CATALOGUE) for at, one in enumerate(asked)]
    with duckdb.connect(config={"threads": 1}) as lake:
        lake.register("samples", pa.Table.from_pylist(samples, COLUMNS))
        found = asyncio.run(_result(lake, plans))
    return [(one.firings, {day: told.samples for day, told in one.days.items() if told.samples}) for one in found.plans]


async def _result(lake: duckdb.DuckDBPyConnection, asked: Sequence[Plan]) -> Result:
    async def ask(sql: str) -> pa.Table:
        return lake.sql(sql).to_arrow_table()

    (result,) = [one async for one in attempt(asked, ask) if isinstance(one, Result)]
    return result
