"""Which orders about plans go to cars: for plans that are kept, were not withdrawn, and are not over; the latest.

Rules:
* It is asked when an order to take a plan is given, and again each time it is offered to its car.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from carcloud.backends.records import Records
from carcloud.backends.records.orders import Order
from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import ConflictError, MissingError
from carcloud.vehicle.commands import PLAN_DROP, PLAN_TAKE, REASONS

WITHDRAWN, OVER, SUPERSEDED = "withdrawn_plan", "expired_plan", "superseded_plan"


def plan_of(records: Records, tenant: str, parameters: Mapping[str, Any]) -> KeptPlan | None:
    """Return the plan that an order's parameters name, None where it is not kept."""
    digest = str(parameters["plan"])
    return records.plans.of(tenant, [digest]).get(digest)


def undeliverable(plan: KeptPlan | None, now: datetime) -> str | None:
    """Return why a plan does not go to a car, as one of the reasons of orders, or None where it does."""
    if plan is None or plan.withdrawn_at is not None:
        return WITHDRAWN
    return OVER if plan.until <= now else None


def superseded(orders: Sequence[Order], plans: Mapping[str, KeptPlan], now: datetime) -> list[Order]:
    """Return which of the open orders to a car, the oldest first, later ones replace.

    To take a version replaces all before about plans of its name; to drop one, all before about this version.

    Args:
        plans: those that the orders are about, by digest.
    """
    found: list[Order] = []
    names, digests = set[str](), set[str]()
    for order in reversed(orders):
        if (digest := about(order)) is None or (plan := plans.get(digest)) is None:
            continue
        if plan.name in names or digest in digests:
            found.append(order)
        elif order.command == PLAN_DROP:
            digests.add(digest)
        elif undeliverable(plan, now) is None:  # else it goes to no car itself
            names.add(plan.name)
    return found[::-1]


def about(order: Order) -> str | None:
    """Return the digest of the plan that an order is about, None where it is about none."""
    if order.command not in (PLAN_TAKE, PLAN_DROP):
        return None
    return str(orjson.loads(order.parameters)["plan"])


def check_deliverable(plan: KeptPlan | None, now: datetime) -> None:
    """Raise MissingError or ConflictError where a plan does not go to cars."""
    if plan is None:
        raise MissingError("No such plan is kept here.", "Add it first: carcloud plan add.")
    if (reason := undeliverable(plan, now)) is not None:
        message = f"Version {plan.version} of plan {plan.name} does not go to cars: {REASONS[reason]}."
        raise ConflictError(message, "Add another version, and deploy that.")
