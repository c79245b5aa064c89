"""The incremental evaluator at its edges: what it refuses, keeps, and tells when."""

from __future__ import annotations

import pytest

from carcloud.vehicle.conditions import condition, incremental
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


@pytest.mark.parametrize(("kind", "speed"), [("mean", 1.0), ("count", 1.0), ("max", -1.0)])
def test_a_window_that_is_too_full_is_unknown_until_it_is_not(
    monkeypatch: pytest.MonkeyPatch, kind: str, speed: float
) -> None:
    monkeypatch.setattr(condition, "LIMIT_KEPT", 3)
    evaluator = Evaluator([read(f"{kind} of Vehicle.Speed over 10 s > -100{'' if kind == 'count' else ' km/h'}")])
    for second in range(5):
        evaluator.take(SPEED, second * S, second * speed)
    told = [change for _, change in evaluator.advance(20 * S)]
    assert [change for change in told if change.time_us >= 0] == [
        *([] if kind == "count" else [Change(0, True, True)]),
        Change(3 * S, None, None),  # the fourth has no room, and leaves at 13 s
        Change(13 * S, True, True),
        *([] if kind == "count" else [Change(14 * S, None, None)]),
    ]
    assert evaluator.overfull(0) == 1


def test_a_window_that_is_too_full_does_no_harm_to_other_conditions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(condition, "LIMIT_KEPT", 3)
    others = [read("Vehicle.Speed > 2 km/h"), read("mean of Vehicle.Speed over 2 s > 2 km/h")]
    alone, together = Evaluator(others), Evaluator([*others, read("mean of Vehicle.Speed over 1 h > 2 km/h")])
    for evaluator in (alone, together):
        for second in range(10):
            assert evaluator.take(SPEED, second * S, float(second))
    assert alone.advance(20 * S) == [told for told in together.advance(20 * S) if told[0] < 2]
    assert [together.overfull(index) for index in range(3)] == [0, 0, 2]


@pytest.mark.parametrize("over", ["", " over 10 s"])
def test_a_change_beyond_any_number_is_unknown(over: str) -> None:
    evaluator = Evaluator([read(f"Vehicle.Speed changed by 1 km/h{over}")])
    evaluator.take(SPEED, 0, -1.7e308)
    evaluator.take(SPEED, S, 1.7e308)
    evaluator.take(SPEED, 2 * S, 1.6e308)
    told = [(change.time_us, change.now) for _, change in evaluator.advance(3 * S)]
    assert (S, True) not in told
    assert (2 * S, True) in told if not over else all(now is not True for _, now in told)


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
