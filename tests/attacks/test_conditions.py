"""Conditions written to cost much, and samples sent to make an evaluator forget its bounds; tried beside the zone."""

from __future__ import annotations

import time

import pytest

from carcloud.vehicle.conditions import condition, incremental
from carcloud.vehicle.conditions.condition import ConditionError
from carcloud.vehicle.conditions.incremental import Evaluator
from carcloud.vehicle.conditions.text import parse
from tests.conditions import CATALOGUE, SPEED, START

LIMIT_CPU_S = 2.0
"""Of this process's own time; each of them takes a tenth of a second or less where nothing is wrong."""


@pytest.mark.parametrize(
    "text",
    [
        "(" * 100_000,
        "(" * 4_000,
        "not " * 1_000 + "Vehicle.IsBraking",
        "Vehicle.IsBraking or " * 100 + "Vehicle.IsBraking",
        "(" * 40 + "Vehicle.IsBraking" + " within 1 s of Vehicle.IsBraking)" * 40,
        "1" + "+1" * 2_000 + " > Vehicle.Speed",
        "9" * 4_000 + " > Vehicle.Speed",
        "3 " + "k" * 4_000 + " > Vehicle.Speed",
        "3 km^9/km^9/km^9 > Vehicle.Speed",
        "Vehicle.Speed" + " * Vehicle.Speed" * 90 + " > 3",
        "a" * 4_000,
        "a." + "b" * 4_000 + " > 3",
        "count of Vehicle.Speed over 1000000 h > 3",
        "Vehicle.Speed > 1e999999 km/h",
        '"' * 4_001,
        "__import__('os').system('true')",
        "Vehicle.Speed.__class__.__mro__ > 3",
        " or ".join(f"mean of Vehicle.Speed over {second + 1} s > 3 km/h" for second in range(62)),
    ],
)
def test_text_written_to_cost_much_is_refused_with_its_place(text: str) -> None:
    parse("Vehicle.Speed > 50 km/h", CATALOGUE)
    began = time.process_time()
    with pytest.raises(ConditionError) as refused:
        parse(text, CATALOGUE)
    assert time.process_time() - began < LIMIT_CPU_S
    assert refused.value.at + refused.value.length <= len(text)
    assert len(str(refused.value)) < 1_000


def test_flood_of_samples_from_the_future_and_the_past_is_counted_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "LIMIT_WAITING", 1_000)
    monkeypatch.setattr(condition, "LIMIT_KEPT", 100)
    evaluator = Evaluator([parse("mean of Vehicle.Speed over 1 h > 50 km/h", CATALOGUE)])
    future = START + 10**15
    assert sum(evaluator.take(SPEED, future + flood, 60.0) for flood in range(5_000)) == 1_000
    assert evaluator.full == 4_000
    assert evaluator.advance(START) == []
    assert not evaluator.take(SPEED, START - 1, 60.0)
    assert [change.now for _, change in evaluator.advance(future + 10**12)] == [True, None, True, None]
    assert (evaluator.late, evaluator.full, evaluator.overfull(0)) == (1, 4_000, 9)
    assert evaluator.take(SPEED, future + 2 * 10**12, 60.0)
