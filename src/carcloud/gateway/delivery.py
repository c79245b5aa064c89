"""Which plans go to cars: those that are kept, were not withdrawn, and are not over.

Rules:
* It is asked when an order to take a plan is given, and again each time it is offered to its car.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from carcloud.backends.records import Records
from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import ConflictError, MissingError
from carcloud.vehicle.commands import REASONS

WITHDRAWN, OVER = "withdrawn_plan", "expired_plan"


def plan_of(records: Records, tenant: str, parameters: Mapping[str, Any]) -> KeptPlan | None:
    """Return the plan that an order's parameters name, None where it is not kept."""
    digest = str(parameters["plan"])
    return records.plans.of(tenant, [digest]).get(digest)


def undeliverable(plan: KeptPlan | None, now: datetime) -> str | None:
    """Return why a plan does not go to a car, as one of the reasons of orders, or None where it does."""
    if plan is None or plan.withdrawn_at is not None:
        return WITHDRAWN
    return OVER if plan.until <= now else None


def check_deliverable(plan: KeptPlan | None, now: datetime) -> None:
    """Raise MissingError or ConflictError where a plan does not go to cars."""
    if plan is None:
        raise MissingError("No such plan is kept here.", "Add it first: carcloud plan add.")
    if (reason := undeliverable(plan, now)) is not None:
        message = f"Version {plan.version} of plan {plan.name} does not go to cars: {REASONS[reason]}."
        raise ConflictError(message, "Add another version, and deploy that.")
