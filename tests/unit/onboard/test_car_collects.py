"""What a car's collector does when things go wrong, and what it says about its plans."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from carcloud.onboard.collector import FIRED, STATE, Collector, Gathered, with_own_signals
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import KeptPlan, Queue
from carcloud.vehicle.batch import IdTable, Provenance, decode
from carcloud.vehicle.batching import Column
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.conditions import condition
from carcloud.vehicle.order import canonical

SPEED, HEAT, NET = "Vehicle.Speed", "Vehicle.Heat", "Vehicle.Net"
CATALOGUE = Catalogue([Signal(SPEED, "float", "km/h"), Signal(HEAT, "float", "Celsius"), Signal(NET, "boolean")])
TABLE = with_own_signals(IdTable(((SPEED, "km/h"), (HEAT, "Celsius"), (NET, None))))
PATHS = [path for path, _ in TABLE.signals]
START = 1_790_000_040_000_000 // 60_000_000 * 60_000_000
S = 1_000_000

FAST = {
    "plan": "fast",
    "version": 3,
    "signals": [SPEED],
    "when": f"{SPEED} > 50 km/h",
    "before": "5 s",
    "after": "5 s",
    "priority": 2,
    "purpose": "research",
    "basis": "consent",
    "budget": "1 MB",
    "until": "2099-01-01T00:00:00Z",
}


class Car:
    def __init__(self, file, *plans: dict[str, object], gather: bool = True) -> None:
        self.queue, self.skipped, self.gather = Queue(file), Counter[str](), gather
        for plan in plans:
            self.queue.keep_plan(KeptPlan(str(plan["plan"]), canonical(plan), b"{}"))
        self.start()

    def start(self) -> Car:
        """Start the agent: what was in its memory is gone."""
        self.clock_s = START / S
        self.plans = Plans(self.queue, CATALOGUE, PATHS[:3], lambda: self.clock_s)
        self.collector = Collector(self.plans, self.queue, TABLE, Provenance.MEASURED, self.skipped, gather=self.gather)
        return self

    def second(self, at: float, **values: float) -> list[Gathered]:
        """Say something, and let the clock be a second further."""
        names = {"speed": 0, "heat": 1, "net": 2}
        time = START + int(at * S)
        self.collector.take(
            [Column(names[name], np.array([time]), np.array([float(value)])) for name, value in values.items()]
        )
        return self.kept(self.collector.advance(time + S))

    def kept(self, gathered: Gathered | None) -> list[Gathered]:
        if gathered is None:
            return []
        self.queue.append(self.queue.admit(gathered.parcels), None, gathered.states)
        return [gathered]


def told(gathered: Sequence[Gathered]) -> list[tuple[str, float, float | str]]:
    """Return (path, second, value) of all that was gathered."""
    rows: list[tuple[str, float, float | str]] = []
    for parcel in (parcel for one in gathered for parcel in one.parcels):
        batch = decode(parcel.payload)
        for row, signal in enumerate(np.repeat(batch.signals, batch.counts).tolist()):
            at = (batch.base_us + int(batch.times[row]) - START) / S
            rows.append((PATHS[signal], at, batch.texts.get(row, float(batch.values[row]))))
    return rows


def speeds(gathered: Sequence[Gathered]) -> list[float]:
    return [at for path, at, _ in told(gathered) if path == SPEED]


def fired(gathered: Sequence[Gathered]) -> list[tuple[float, str]]:
    return [(at, str(value)) for path, at, value in told(gathered) if path == FIRED]


def stands(gathered: Sequence[Gathered]) -> dict[str, list[int]]:
    return json.loads(str([value for path, _, value in told(gathered) if path == STATE][-1]))


def drive(car: Car, seconds: range, fast: Sequence[int] = ()) -> list[Gathered]:
    return [one for at in seconds for one in car.second(at, speed=80.0 if at in fast else 20.0)]


def test_a_window_comes_with_what_was_before_its_firing(tmp_path) -> None:
    car = Car(tmp_path / "car.queue", FAST)
    got = drive(car, range(40), fast=(10, 11))
    assert fired(got) == [(10, "fast/3")]
    assert speeds(got) == list(range(5, 16))
    parcels = [(one.plan, one.priority) for gathered in got for one in gathered.parcels]
    assert set(parcels) == {("fast", 2), ("", 1)}


def test_where_all_is_sent_plans_only_tell_when_they_fire(tmp_path) -> None:
    car = Car(tmp_path / "car.queue", FAST, gather=False)
    got = drive(car, range(130), fast=(10, 30))
    assert fired(got) == [(10, "fast/3"), (30, "fast/3")]
    assert speeds(got) == []
    assert stands(got) == {"fast": [3, 2, 0, 0, 0]}


def test_how_plans_stand_is_told_when_it_changes_and_once_a_minute_at_most(tmp_path) -> None:
    car = Car(tmp_path / "car.queue", FAST)
    got = drive(car, range(300), fast=(10, 20, 100))
    times = [at for path, at, _ in told(got) if path == STATE]
    assert len(times) in (3, 4)
    assert all(later - earlier >= 60 for earlier, later in itertools.pairwise(times))
    used = sum(len(one.payload) for gathered in got for one in gathered.parcels if one.plan)
    assert stands(got) == {"fast": [3, 3, used, 0, used]}
    assert stands(car.kept(car.collector.rest()) or got) == stands(got)


def test_budgets_are_of_a_day_and_what_they_cut_is_counted(tmp_path) -> None:
    car = Car(tmp_path / "car.queue", FAST | {"budget": "1 kB"})
    day = 86_400
    got = drive(car, range(0, 900), fast=range(10, 900, 30))
    used, cut = stands([*got, *car.kept(car.collector.rest())])["fast"][2:4]
    assert 800 < used <= 1000 < cut
    assert len(fired(got)) == 30, "also what is cut has fired"
    later = drive(car, range(2 * day, 2 * day + 60), fast=(2 * day + 10,))
    assert speeds(later) == list(range(2 * day + 5, 2 * day + 16))
    assert stands(later)["fast"][3] == 0


def test_a_plan_whose_time_is_over_fires_no_more(tmp_path) -> None:
    until = "2026-09-21T14:14:30Z"
    assert START == 1_790_000_040 * S
    car = Car(tmp_path / "car.queue", FAST | {"until": until})
    assert fired(drive(car, range(60), fast=(10, 40))) == [(10, "fast/3")]
    car.clock_s += 7200
    assert stands(drive(car, range(60, 140))) == {}
    assert (car.plans.current(), car.collector.held) == ([], frozenset())


def test_a_window_that_is_too_full_is_counted_and_harms_no_other_plan(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(condition, "LIMIT_KEPT", 20)
    mean = FAST | {"plan": "mean", "when": f"mean of {SPEED} over 1 min > 10 km/h", "upload": f"{SPEED} < 1 km/h"}
    car = Car(tmp_path / "car.queue", FAST, mean)
    assert fired(drive(car, range(70), fast=(10, 60))) == [(0, "mean/3"), (10, "fast/3"), (60, "fast/3")]
    assert car.skipped["plan mean: times that a window of its condition was too full"] == 3
    assert not [key for key in car.skipped if "fast" in key]


def test_samples_that_come_too_late_are_refused_and_counted(tmp_path) -> None:
    car = Car(tmp_path / "car.queue", FAST)
    drive(car, range(10))
    car.second(4, speed=90)
    assert car.skipped == {f"{SPEED}: too late for the plans": 1}
    assert fired(drive(car, range(10, 20))) == []


def test_a_clock_that_jumps_harms_nothing(tmp_path) -> None:
    always = FAST | {"plan": "all", "when": None, "before": None, "after": None}
    always = {key: value for key, value in always.items() if value is not None}
    car = Car(tmp_path / "car.queue", FAST, always)
    drive(car, range(20))
    year = 365 * 86_400
    assert len(fired(drive(car, range(year, year + 20), fast=(year + 10,)))) == 1
    back = drive(car, range(100, 240), fast=(130,))
    assert fired(back) == [(130, "fast/3")]
    assert set(range(125, 136)) <= set(speeds(back))
    assert car.skipped == {"times the clock jumped back": 1, f"{SPEED}: too late for the plans": 1}
    assert fired(drive(car, range(239, 200, -1), fast=range(200, 240))) == [], "a minute is no jump"
    past = drive(car, range(-1_700_000_000, -1_700_000_000 + 130))
    assert len(speeds(past)) > 60
    now = drive(car, range(10_000, 10_130))
    assert len(speeds(now)) > 60, "from 1970 to today is one step"


def test_a_live_car_that_was_killed_goes_on_with_the_rest_of_its_window(tmp_path) -> None:
    car = Car(tmp_path / "car.queue", FAST | {"interval": "20 s"})
    first = drive(car, range(13), fast=(10, 11, 12))
    assert fired(first) == [(10, "fast/3")]
    second = drive(car.start(), range(13, 60), fast=(13, 14, 33))
    assert fired(second) == [(33, "fast/3")], "the interval is remembered"
    assert speeds(second) == [13, 14, 15, *range(28, 39)]
    assert car.skipped == {"plan fast: windows cut short by a stop": 1}
    assert stands(second)["fast"][:2] == [3, 1]
    assert stands(car.kept(car.collector.rest()))["fast"][:2] == [3, 2]


def test_batches_wait_for_their_upload_condition(tmp_path) -> None:
    car = Car(tmp_path / "car.queue", FAST | {"upload": f"{NET} = true"})
    assert car.queue.number(9, 1 << 30) == []
    car.second(0, net=0)
    drive(car, range(1, 40), fast=(10,))
    assert car.collector.held == {"fast"}
    held = car.queue.held_batches
    assert (held, len(car.queue.number(9, 1 << 30))) == (1, car.queue.batches - held)
    car.start()
    assert car.queue.held_batches == 1, "also before the car has said anything"
    car.second(40, net=1)
    assert (car.collector.held, car.queue.held_batches) == (frozenset(), 0)
    car.second(300, speed=1)
    assert car.collector.held == {"fast"}, "what is stale is unknown"


def test_plans_come_and_go_while_the_car_drives(tmp_path) -> None:
    car = Car(tmp_path / "car.queue")
    assert drive(car, range(30), fast=(10,)) == []
    text = canonical(FAST)
    car.plans.hear(text)
    [digest] = car.plans._heard
    car.plans.take(digest)
    got = drive(car, range(30, 60), fast=(40,))
    assert fired(got) == [(40, "fast/3")]
    other = canonical(FAST | {"plan": "other"})
    car.plans.hear(other)
    car.plans.take(next(name for name in car.plans._heard if name != digest))
    got = drive(car, range(60, 100), fast=(70, 71))
    assert sorted(fired(got)) == [(70, "fast/3"), (70, "other/3")]
    assert len(speeds(got)) == 11, "each sample once"
    car.plans.drop(digest)
    got = drive(car, range(100, 240), fast=(110,))
    assert fired(got) == [(110, "other/3")]
    assert list(stands(got)) == ["other"]


def test_a_full_ring_lets_the_oldest_go_and_says_so(tmp_path, monkeypatch) -> None:
    car = Car(tmp_path / "car.queue", FAST | {"before": "5 min"})
    car.collector._ring.limit_bytes = 30_000
    drive(car, range(200))
    assert car.collector._ring.bytes <= 30_000
    assert car.skipped["samples that the ring had no room for"] > 100


@pytest.mark.parametrize("signals", [(SPEED,), (SPEED, FIRED)])
def test_own_signals_join_the_id_table_once(signals) -> None:
    table = with_own_signals(IdTable(tuple((path, None) for path in signals)))
    assert sorted(path for path, _ in table.signals) == sorted({SPEED, FIRED, STATE})
