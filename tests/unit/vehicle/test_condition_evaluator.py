"""The incremental evaluator at its edges: what it refuses, keeps, and tells when."""

from __future__ import annotations

import pytest

from carcloud.vehicle.conditions import incremental
from carcloud.vehicle.conditions.condition import Change, Condition, firings
from carcloud.vehicle.conditions.incremental import Evaluator
from carcloud.vehicle.conditions.text import parse
from tests.conditions import CATALOGUE, GEAR, SPEED

S = 1_000_000


def read(text: str) -> Condition:
    return parse(text, CATALOGUE)


def test_steady_speed_fires_once_it_has_lasted() -> None:
    condition = read("Vehicle.Speed > 50 km/h for at least 2 s")
    evaluator = Evaluator([condition])
    for second in range(5):
        assert evaluator.take(SPEED, second * S, 60.0 if second else 40.0)
    assert evaluator.advance(S) == [(0, Change(0, False, False))]
    told = [change for _, change in evaluator.advance(5 * S)]
    assert told == [Change(3 * S, True, True)]
    assert firings(told, condition.initial) == [3 * S]


def test_deadline_is_told_without_a_sample() -> None:
    evaluator = Evaluator([read("Vehicle.Speed is unknown stale after 10 s")])
    evaluator.take(SPEED, 0, 1.0)
    assert evaluator.advance(10 * S) == [(0, Change(0, False, False))]
    assert evaluator.advance(10 * S + 1) == [(0, Change(10 * S, True, True))]


def test_late_unfit_and_unasked_samples_are_told_apart() -> None:
    evaluator = Evaluator([read('Vehicle.Speed > 50 km/h and Vehicle.Gear = "D"')])
    evaluator.advance(S)
    assert not evaluator.take(SPEED, S - 1, 60.0)
    assert evaluator.take(SPEED, S, 60.0)
    assert not evaluator.take(SPEED, S, float("nan"))
    assert not evaluator.take(SPEED, S, "60")
    assert not evaluator.take(GEAR, S, 4.0)
    assert evaluator.take("Vehicle.Other", S, float("nan"))
    assert (evaluator.late, evaluator.unfit, evaluator.full) == (1, 3, 0)


def test_watermark_never_goes_back() -> None:
    evaluator = Evaluator([read("Vehicle.Speed > 50 km/h")])
    evaluator.advance(5 * S)
    assert evaluator.advance(S) == []
    assert not evaluator.take(SPEED, 2 * S, 60.0)


def test_full_window_accepts_no_more_until_the_oldest_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "LIMIT_WINDOW", 3)
    evaluator = Evaluator([read("mean of Vehicle.Speed over 10 s > 2 km/h")])
    for second, speed in enumerate([1.0, 1.0, 1.0, 100.0]):
        evaluator.take(SPEED, second * S, speed)
    assert [change for _, change in evaluator.advance(5 * S)] == [Change(0, False, False)]
    assert evaluator.full == 1
    evaluator.take(SPEED, 10 * S, 100.0)
    assert evaluator.advance(11 * S) == [(0, Change(10 * S, True, True))]


def test_samples_waiting_for_the_watermark_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "LIMIT_WAITING", 2)
    evaluator = Evaluator([read("Vehicle.Speed > 50 km/h")])
    assert [evaluator.take(SPEED, second, 60.0) for second in range(3)] == [True, True, False]
    assert evaluator.full == 1


def test_conditions_that_age_differently_share_a_signal() -> None:
    evaluator = Evaluator([read("Vehicle.Speed is known stale after 1 s"), read("Vehicle.Speed is known")])
    evaluator.take(SPEED, 0, 1.0)
    assert evaluator.advance(100 * S) == [
        (0, Change(0, True, True)),
        (1, Change(0, True, True)),
        (0, Change(S, False, False)),
        (1, Change(60 * S, False, False)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "max of Vehicle.Speed over 1 s > 2 km/h for at least 1 s",
        "max of Vehicle.Speed over 1 h > 20 km/h or Vehicle.Speed > 4 km/h for at least 100 ms",
        "(Vehicle.Speed > 4 km/h for at least 1 h) or Vehicle.Speed > 5 km/h for at least 100 ms",
    ],
)
def test_memory_stays_where_a_signal_goes_on(text: str) -> None:
    evaluator = Evaluator([read(text)])
    sizes = set()
    for second in range(50):
        for tenth in range(10):
            evaluator.take(SPEED, second * S + tenth * S // 10, float(tenth))
        evaluator.advance((second + 1) * S)
        sizes.add((len(evaluator._waiting), len(evaluator._timers)))
    assert max(waiting + timers for waiting, timers in sizes) < 10
