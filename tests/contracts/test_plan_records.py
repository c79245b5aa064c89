"""The plans in the records, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from carcloud.backends.records import Records
from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import ConflictError, MissingError

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PLAN = KeptPlan("default", "steering", 1, "a" * 64, b'{"plan":"steering"}', NOW, "person:emma", NOW)


def test_a_plan_never_changes_and_its_newest_version_is_found_first(records: Records) -> None:
    second = replace(PLAN, version=2, digest="b" * 64)
    assert records.plans.add(PLAN, second) == [PLAN, second]
    assert records.plans.add(replace(PLAN, made_by="person:fred")) == [PLAN], "the same once more"
    with pytest.raises(ConflictError, match="says something else"):
        records.plans.add(replace(PLAN, version=3, digest="c" * 64), replace(PLAN, digest="d" * 64))
    assert records.plans.get("default", "steering") == second
    assert records.plans.get("default", "steering", 1) == PLAN
    assert records.plans.of("default", ["a" * 64, "f" * 64]) == {"a" * 64: PLAN}
    assert records.plans.listed("default") == [second, PLAN]


def test_plans_are_a_tenants_own(records: Records) -> None:
    records.plans.add(PLAN)
    with pytest.raises(MissingError):
        records.plans.get("other", "steering")
    assert records.plans.of("other", [PLAN.digest]) == {}
    assert records.plans.listed("other") == []
    records.plans.add(replace(PLAN, tenant="other", digest="e" * 64))
    assert records.plans.get("default", "steering") == PLAN


def test_withdrawing_is_for_ever_and_noted_once(records: Records) -> None:
    records.plans.add(PLAN)
    gone = records.plans.withdraw("default", "steering", None, "person:fred", NOW)
    assert gone.withdrawn_at == NOW
    later = datetime(2026, 11, 24, tzinfo=UTC)
    assert records.plans.withdraw("default", "steering", 1, "person:fred", later) == gone
    assert records.plans.add(PLAN) == [gone]
    noted = [(act.actor, act.action, act.object) for act in records.audit.pending(10)]
    assert noted == [(who, "changePlans", "plan:steering") for who in ("person:emma", "person:fred")]
    with pytest.raises(MissingError):
        records.plans.withdraw("default", "steering", 2, "person:fred", NOW)
