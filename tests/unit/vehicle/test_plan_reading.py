"""Plans: what a document says, its one form, and every problem told with its place."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.document import load
from carcloud.vehicle.plans.plan import LIMIT_SIGNALS, PlanError, check, parse
from carcloud.vehicle.plans.sampling import Sampling

SPEED, ANGLE, GEAR, STATE = "Vehicle.Speed", "Vehicle.Angle", "Vehicle.Gear", "Vehicle.State"
CATALOGUE = Catalogue(
    [
        Signal(SPEED, "float", "km/h"),
        Signal(ANGLE, "float", "degrees"),
        Signal(GEAR, "int8"),
        Signal(STATE, "string"),
    ]
)
NOW = datetime(2026, 11, 23, tzinfo=UTC)
TEXT = f"""
plan: steering
version: 2
signals:
  - {SPEED}
  - {{path: {ANGLE}, curve: 0.01 rad}}
  - {{path: {GEAR}, band: 2}}
  - {{path: {STATE}, change: true}}
when: {SPEED} > 10 m/s for at least 2 s
before: 5 s
after: 1.5 min
interval: 90 s
priority: 2
purpose: operation
basis: contract
budget: 5 MB
until: 2027-06-30T02:00:00+02:00
upload: {SPEED} = 0 km/h
"""


def document(**changed: Any) -> dict[str, Any]:
    given: dict[str, Any] = load(TEXT) | changed
    return {key: value for key, value in given.items() if value is not None}


def problems(**changed: Any) -> list[PlanError]:
    purposes = {"operation": "contract", "research": "consent"}

    def keeps(path: str, purpose: str) -> str | None:
        return "The governance drops it." if (path, purpose) == (GEAR, "research") else None

    return check(document(**changed), CATALOGUE, purposes, keeps, NOW)[1]


def test_document_is_read_and_its_one_form_says_the_same() -> None:
    plan = parse(document(), CATALOGUE)
    assert (plan.name, plan.version, plan.priority, plan.budget_bytes) == ("steering", 2, 2, 5_000_000)
    assert (plan.before_us, plan.after_us, plan.interval_us) == (5_000_000, 90_000_000, 90_000_000)
    assert plan.signals[1].sampling == Sampling("curve", pytest.approx(0.5729577951308232))
    assert [one.sampling.kind for one in plan.signals] == ["all", "curve", "band", "change"]
    assert plan.until == datetime(2027, 6, 30, tzinfo=UTC)
    again = parse(json.loads(plan.canonical()), CATALOGUE)
    assert again == plan
    assert again.digest == plan.digest
    assert parse(document(budget="5000 kB", before="5000 ms"), CATALOGUE).digest == plan.digest
    assert parse(document(budget="4 MB"), CATALOGUE).digest != plan.digest


def test_plan_without_a_condition_is_for_always() -> None:
    plan = parse(document(when=None, before=None, after=None, interval=None, upload=None), CATALOGUE)
    assert plan.when is None
    assert parse(json.loads(plan.canonical()), CATALOGUE) == plan


@pytest.mark.parametrize(
    ("key", "changed"),
    [
        ("plan", {"plan": "a plan"}),
        ("plan", {"plan": None}),
        ("version", {"version": 0}),
        ("version", {"version": True}),
        ("signals", {"signals": []}),
        ("signals", {"signals": [SPEED] * (LIMIT_SIGNALS + 1)}),
        ("signals", {"signals": [f"Vehicle.S{i}" for i in range(10_000)]}),
        ("signals[0]", {"signals": ["Vehicle.Sped"]}),
        ("signals[1]", {"signals": [SPEED, SPEED]}),
        ("signals[0].band", {"signals": [{"path": SPEED, "band": "2 degrees"}]}),
        ("signals[0].band", {"signals": [{"path": SPEED, "band": 2}]}),
        ("signals[0].band", {"signals": [{"path": GEAR, "band": "2 km"}]}),
        ("signals[0].curve", {"signals": [{"path": STATE, "curve": 1}]}),
        ("signals[0].curve", {"signals": [{"path": GEAR, "curve": 0}]}),
        ("signals[0].every", {"signals": [{"path": SPEED, "every": "0 s"}]}),
        ("signals[0].change", {"signals": [{"path": SPEED, "change": False}]}),
        ("signals[0].often", {"signals": [{"path": SPEED, "often": 3}]}),
        ("signals[0]", {"signals": [{"path": SPEED, "change": True, "every": "1 s"}]}),
        ("signals[0]", {"signals": [GEAR], "purpose": "research", "basis": "consent"}),
        ("before", {"before": "601 s"}),
        ("before", {"before": 5}),
        ("after", {"after": "2 h"}),
        ("after", {"when": None, "before": None, "interval": None}),
        ("interval", {"interval": "two days"}),
        ("priority", {"priority": 10}),
        ("purpose", {"purpose": "curiosity"}),
        ("basis", {"basis": "consent"}),
        ("budget", {"budget": None}),
        ("budget", {"budget": "1 B"}),
        ("budget", {"budget": "1 TB"}),
        ("budget", {"budget": "5000 GB"}),
        ("until", {"until": "2026-11-22T00:00:00Z"}),
        ("until", {"until": "2126-11-22T00:00:00Z"}),
        ("until", {"until": "2027-01-01"}),
        ("until", {"until": None}),
        ("when", {"when": f"{SPEED} > 10 degrees"}),
        ("upload", {"upload": 3}),
        ("colour", {"colour": "red"}),
    ],
)
def test_problem_is_told_at_its_key(key: str, changed: dict[str, Any]) -> None:
    found = problems(**changed)
    assert [one.key for one in found] == [key]
    assert found[0].do


def test_problem_of_a_condition_has_its_place() -> None:
    (found,) = problems(when=f"{SPEED} > 10 degrees")
    assert found.at is not None
    assert "degrees" in f"{SPEED} > 10 degrees"[found.at : found.at + (found.length or 0)]


def test_all_problems_are_told_at_once() -> None:
    assert [one.key for one in problems(version=0, budget="1 B", plan="")] == ["plan", "version", "budget"]
    with pytest.raises(PlanError):
        parse(document(version=0), CATALOGUE)
    assert problems() == []
    assert [one.key for one in check("plan", CATALOGUE)[1]] == [""]


def test_plan_larger_than_the_wire_holds_is_refused() -> None:
    long = Catalogue([Signal(f"Vehicle.{'S' * 200}{at}", "float") for at in range(100)])
    found = check(document(signals=list(long), when=None, upload=None, before=None, after=None, interval=None), long)[1]
    assert [one.key for one in found] == [""]
