"""Where a car's plans stand, by the orders about them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from carcloud.backends.records.orders import Order
from carcloud.backends.records.plans import KeptPlan
from carcloud.gateway.collection import standing
from carcloud.vehicle.order import canonical

NOW = datetime(2026, 11, 24, tzinfo=UTC)
UNTIL = NOW + timedelta(days=30)
PLANS = {
    f"{version}" * 64: KeptPlan("default", "fast", version, f"{version}" * 64, b'{"budget": "1 MB"}', UNTIL, "", NOW)
    for version in (1, 2)
}


@pytest.mark.parametrize(
    ("given", "stand"),
    [
        ([("take", 1, "done", None), ("take", 2, "queued", None)], {1: "active", 2: "waiting"}),
        ([("take", 1, "rejected", "superseded_plan"), ("take", 2, "done", None)], {1: "dropped", 2: "active"}),
        (
            [("take", 1, "done", None), ("drop", 1, "rejected", "superseded_plan"), ("take", 2, "done", None)],
            {1: "dropped", 2: "active"},
        ),
        (
            [("take", 1, "done", None), ("drop", 1, "expired", "no_result"), ("take", 2, "done", None)],
            {1: "dropped", 2: "active"},
        ),
        ([("take", 1, "done", None), ("drop", 1, "expired", "not_delivered")], {1: "active"}),
        (
            [("take", 1, "done", None), ("take", 2, "done", None), ("take", 1, "done", None)],
            {1: "active", 2: "dropped"},
        ),
    ],
)
def test_where_versions_stand(given: list[tuple[str, int, object, str | None]], stand: dict[int, str]) -> None:
    orders = []
    for second, (command, version, state, reason) in enumerate(given):
        at = NOW - timedelta(seconds=60 - second)
        parameters = canonical({"plan": f"{version}" * 64}).decode()
        known = "fleet", "k", state, reason, UNTIL, at, at, at, at
        orders.insert(0, Order(str(second), "a", "default", "car", f"plan-{command}", parameters, *known))  # type: ignore[arg-type]
    assert {one.version: one.state for one in standing(orders, PLANS, {}, NOW)} == stand
