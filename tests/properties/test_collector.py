"""A car's collector fires and gathers what conditions, windows and sampling are defined as, however samples come."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carcloud.onboard.collector import FIRED, STATE, Collector, Gathered, with_own_signals
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import KeptPlan, Queue
from carcloud.vehicle.batch import IdTable, Provenance, decode
from carcloud.vehicle.batching import Column
from carcloud.vehicle.conditions.condition import firings
from carcloud.vehicle.conditions.text import parse as read_condition
from carcloud.vehicle.order import canonical
from tests.conditions import CATALOGUE, GEAR, PEDAL, SPEED, START, Sample, changes

TABLE = with_own_signals(IdTable(((SPEED, "km/h"), (PEDAL, "percent"), (GEAR, None))))
PATHS = [path for path, _ in TABLE.signals]
END = START + 40_000_000

conditions = st.sampled_from(
    [
        f"{SPEED} > 50 km/h",
        f"rising({SPEED} > 50 km/h) or {PEDAL} >= 90 percent",
        f"{SPEED} > 50 km/h for at least 2 s",
        f'{GEAR} = "R"',
    ]
)
samplings = st.sampled_from([{}, {"every": "2 s"}, {"change": True}])
spans = st.sampled_from(["0 s", "1 s", "3500 ms", "9 s"])


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    paths = draw(st.lists(st.sampled_from([SPEED, PEDAL, GEAR]), min_size=1, max_size=3, unique=True))
    found: dict[str, object] = {
        "version": 1,
        "signals": [{"path": path, **draw(samplings)} for path in paths],
        "priority": draw(st.integers(1, 9)),
        "purpose": "research",
        "basis": "consent",
        "budget": draw(st.sampled_from(["1 kB", "1 MB"])),
        "until": "2099-01-01T00:00:00Z",
    }
    if (when := draw(st.one_of(st.none(), conditions))) is not None:
        found |= {"when": when, "before": draw(spans), "after": draw(spans), "interval": draw(spans)}
    return found


_times = st.integers(0, 60).map(lambda half: START + half * 500_000)
traces = st.lists(
    st.one_of(
        st.builds(Sample, st.just(SPEED), _times, st.sampled_from([0.0, 40.0, 60.0])),
        st.builds(Sample, st.just(PEDAL), _times, st.sampled_from([0.0, 95.0])),
        st.builds(Sample, st.just(GEAR), _times, st.sampled_from("PRD")),
    ),
    max_size=60,
    unique_by=lambda sample: (sample.path, sample.time_us),
)


class Car:
    """A car's plans and queue, in a folder of its own."""

    def __init__(self, folder: Path, plans: Sequence[dict[str, object]] = ()) -> None:
        self.queue = Queue(folder / "car.queue")
        for at, plan in enumerate(plans):
            name = f"plan{at}"
            self.queue.keep_plan(KeptPlan(name, canonical({"plan": name, **plan}), b"{}"))
        self.skipped: Counter[str] = Counter()
        self.collector = self.begin()

    def begin(self, **also: int) -> Collector:
        plans = Plans(self.queue, CATALOGUE, PATHS[:3], lambda: START / 1e6)
        assert not plans.unread
        return Collector(plans, self.queue, TABLE, Provenance.SIMULATED, self.skipped, gather=True, **also)

    def drive(self, trace: Sequence[Sample], cuts: Sequence[int], rest: bool = True) -> list[Gathered]:
        """Let the collector see a trace, cut at these times."""
        told: list[Gathered | None] = []
        begin = START - 1
        for cut in [*sorted(set(cuts)), END]:
            piece = [sample for sample in trace if begin <= sample.time_us < cut]
            self.collector.take(columns(piece))
            told.append(self.collector.advance(cut))
            begin = cut
        if rest:
            told.append(self.collector.rest())
        return [one for one in told if one is not None]


def columns(samples: Sequence[Sample]) -> list[Column]:
    found: list[Column] = []
    for path in dict.fromkeys(sample.path for sample in samples):
        mine = [sample for sample in samples if sample.path == path]
        texts = [str(sample.value) for sample in mine] if path == GEAR else None
        values = np.full(len(mine), np.nan) if texts else np.array([sample.value for sample in mine], np.float64)
        found.append(Column(PATHS.index(path), np.array([one.time_us for one in mine], np.int64), values, texts))
    return found


def said(gathered: Sequence[Gathered]) -> list[tuple[str, str, int, float | str]]:
    """Return (plan, path, time, value) of everything gathered, but how the plans stand."""
    rows: list[tuple[str, str, int, float | str]] = []
    for parcel in (parcel for one in gathered for parcel in one.parcels):
        batch, row = decode(parcel.payload), 0
        for signal, count in zip(batch.signals.tolist(), batch.counts.tolist(), strict=True):
            for _ in range(count):
                value = batch.texts.get(row, float(batch.values[row]))
                rows.append((parcel.plan, PATHS[signal], batch.base_us + int(batch.times[row]), value))
                row += 1
    return [row for row in rows if row[1] != STATE]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(documents(), min_size=1, max_size=3), traces, st.lists(_times, max_size=6))
def test_plans_fire_and_gather_by_definition(tmp_path_factory: pytest.TempPathFactory, plans, trace, cuts) -> None:
    car = Car(tmp_path_factory.mktemp("car"), plans)
    found = said(car.drive(trace, cuts))
    for at, plan in enumerate(plans):
        fired = [time for _, path, time, value in found if path == FIRED and value == f"plan{at}/1"]
        if "when" in plan:
            assert fired == due(plan, trace)
    got = [row[1:] for row in found if row[1] != FIRED]
    assert len(got) == len(set(got)), "a sample travels once"
    assert not car.skipped
    if all(plan["budget"] == "1 MB" for plan in plans):
        asked = {row for plan in plans for row in wanted(plan, trace)}
        assert set(got) <= asked
        assert {row for plan in plans for row in wanted(plan, trace, exactly=True)} <= set(got)


def due(plan, trace) -> list[int]:
    condition = read_condition(str(plan["when"]), CATALOGUE)
    return firings(changes(condition, trace), condition.initial, seconds(plan["interval"]))


def wanted(plan, trace, exactly: bool = False) -> set[tuple[str, int, float | str]]:
    """Return the samples in a plan's windows; `exactly`: of signals that are not thinned out."""
    paths = {one["path"] for one in plan["signals"] if not exactly or len(one) == 1}
    windows = [(START - 1, END)]
    if "when" in plan:
        windows = [(t - seconds(plan["before"]), t + seconds(plan["after"])) for t in due(plan, trace)]
    return {
        (sample.path, sample.time_us, sample.value)
        for sample in trace
        if sample.path in paths and any(start <= sample.time_us <= end for start, end in windows)
    }


def seconds(text) -> int:
    number, unit = str(text).split()
    return int(number) * {"s": 1_000_000, "ms": 1_000}[unit]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(documents(), min_size=1, max_size=3), traces, st.lists(_times, max_size=8))
def test_the_same_is_gathered_however_the_samples_are_cut(tmp_path_factory, plans, trace, cuts) -> None:
    one, other = (Car(tmp_path_factory.mktemp("car"), plans) for _ in "ab")
    assert payloads(one.drive(trace, cuts)) == payloads(other.drive(trace, []))


def payloads(gathered: Sequence[Gathered]) -> list[tuple[str, bytes]]:
    return [(parcel.plan, parcel.payload) for one in gathered for parcel in one.parcels if parcel.plan]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(documents(), min_size=1, max_size=3), traces, st.lists(_times, min_size=1, max_size=6), st.integers(0, 6)
)
def test_a_recording_driven_again_after_a_kill_gathers_the_rest_and_nothing_twice(
    tmp_path_factory, plans, trace, cuts, kept
) -> None:
    whole = Car(tmp_path_factory.mktemp("car"), plans)
    expected = whole.drive(trace, cuts)
    car = Car(tmp_path_factory.mktemp("car"), plans)
    first = car.drive(trace, cuts, rest=False)[:kept]  # what reached the disk before the kill
    for one in first:
        car.queue.append(one.parcels, None, one.states)
    car.collector = car.begin(muted_us=first[-1].until_us) if first else car.begin()
    again = car.drive(trace, cuts)
    assert sorted(said([*first, *again])) == sorted(said(expected))
    assert payloads([*first, *again]) == payloads(expected)
    assert stands([*first, *again]) == stands(expected)


def stands(gathered: Sequence[Gathered]) -> dict[str, list[int]]:
    """Return how the plans stand in the end, without what waits in the queue."""
    told = {}
    for parcel in (parcel for one in gathered for parcel in one.parcels):
        batch = decode(parcel.payload)
        if PATHS[int(batch.signals[0])] == STATE:
            told = json.loads(batch.texts[0])
    return {name: row[:4] for name, row in told.items()}
