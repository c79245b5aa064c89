"""docs/conditions.md tells what is so: its examples are conditions, its mistakes are answered as it says."""

import re
from pathlib import Path

import pytest

from carcloud.vehicle import catalogue
from carcloud.vehicle.conditions import check, condition, incremental, literals, measure, text
from carcloud.vehicle.conditions.condition import STALE_US, Change, ConditionError, firings
from carcloud.vehicle.conditions.incremental import Evaluator

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/conditions.md").read_text()
CORE = catalogue.parse((ROOT / "src/carcloud/vehicle/core.yaml").read_bytes(), "core.yaml")
EXAMPLES = [line for block in re.findall(r"```condition\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
MISTAKES = re.findall(r"^\| `(.+?)` \| (.+?) \|$", PAGE.split("## What is refused")[1], re.MULTILINE)
S = 1_000_000


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_is_a_condition(example: str) -> None:
    assert text.parse(example, CORE).paths


@pytest.mark.parametrize(("written", "said"), MISTAKES)
def test_mistake_is_answered_as_the_page_says(written: str, said: str) -> None:
    with pytest.raises(ConditionError) as caught:
        text.parse(written, CORE)
    assert str(caught.value).startswith(said.removesuffix("…"))


def test_every_word_of_the_language_is_on_the_page() -> None:
    for word in text.KEYWORDS:
        assert re.search(rf"`[^`]*\b{word}\b[^`]*`", PAGE), word


def test_example_worked_out_by_hand_is_right() -> None:
    lasting = text.parse("Vehicle.Speed > 50 km/h for at least 2 s", CORE)
    evaluator = Evaluator([lasting])
    for second in range(5):
        evaluator.take("Vehicle.Speed", second * S, 60.0 if second else 40.0)
    told = [change for _, change in evaluator.advance(5 * S)]
    assert told == [Change(0, False, False), Change(3 * S, True, True)]
    assert firings(told, lasting.initial) == [3 * S]


def test_limits_on_the_page_are_true() -> None:
    rows = dict(re.findall(r"^\| (.+?) \| ([\w, ]+?) \|$", PAGE.split("## Limits")[1], re.MULTILINE))
    assert rows["characters of a condition"] == f"{text.LIMIT_TEXT:,}"
    assert next(value for name, value in rows.items() if name.startswith("parts")) == str(check.LIMIT_NODES)
    assert rows["depth, and sentences in a row"] == str(text.LIMIT_DEPTH)
    assert rows["longest window"] == f"{literals.LIMIT_WINDOW_US // 3600 // S} h"
    assert rows["longest time until a value is stale"] == f"{literals.LIMIT_STALE_US // 86400 // S} d"
    assert rows["power in a unit"] == str(measure.LIMIT_POWER)
    assert f"without it, {STALE_US // S} s" in PAGE
    assert f"at most {incremental.LIMIT_WAITING:,} samples wait" in PAGE
    assert f"at most {condition.LIMIT_KEPT:,} samples" in PAGE
    assert rows["windows, two of them for `changed by … over`"] == str(check.LIMIT_WINDOWS)
