"""Where the plans of a car stand: by the orders to take and drop them, and by what the car says itself.

Rules:
* What a car says of its plans by its samples counts more than orders whose results were lost.
* A plan that the car has taken is superseded by a later one of its name.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

import orjson

from carcloud.backends.records.orders import OPEN, Order
from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import InputError
from carcloud.gateway.delivery import SUPERSEDED
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.commands import PLAN_TAKE
from carcloud.vehicle.plans.measures import size_bytes

SAID = "Vehicle.Collection.Plans"
"""The signal by which a car says {name: [version, fired, bytes today, bytes cut today, bytes waiting]}."""
FIELDS = 5
LIMIT_SAID, LIMIT_COUNT = 64, 2**53
"""Plans that are read of what a car says, and how great a count may be."""
Standing = Literal["waiting", "active", "refused", "dropped", "expired"]


@dataclass(frozen=True)
class CarPlan:
    """A plan on a car. `order`: the newest order about it, `reason`: why that was not done.

    bytes_today, cut, waiting_bytes: as the car said last, at `said_at`; None: it has not said.
    """

    name: str
    version: int
    digest: str | None
    state: Standing
    reason: str | None = None
    order: str | None = None
    until: datetime | None = None
    budget_bytes: int | None = None
    fired: int | None = None
    bytes_today: int | None = None
    cut: int | None = None
    waiting_bytes: int | None = None


def read_said(value: object) -> dict[str, list[int]]:
    """Read what a car says of its plans; what is none is left out, for anything may come from a car."""
    try:
        found = json.loads(value) if isinstance(value, str) else {}
    except (ValueError, RecursionError):
        return {}
    rows = found.items() if isinstance(found, dict) else ()
    told = ((name, row) for name, row in rows if TOKEN.fullmatch(name) and isinstance(row, list) and _counts(row))
    return dict(itertools.islice(told, LIMIT_SAID))


def standing(
    orders: Sequence[Order],
    plans: Mapping[str, KeptPlan],
    said: Mapping[str, list[int]],
    now: datetime,
    said_at: datetime | None = None,
) -> list[CarPlan]:
    """Return where each plan of a car stands, by name, the newest version first.

    Args:
        orders: those to take and drop plans, the newest first. plans: the plans they name, by digest.
        said_at: when the car said how its plans stand; None: it has not.
    """
    found: dict[str, CarPlan] = {}
    taken: set[str] = set()
    for order in orders:
        digest = str(orjson.loads(order.parameters).get("plan"))
        plan = plans.get(digest)
        if plan is None:
            continue
        state = _state(order, plan, now)
        if state == "active" and plan.name in taken:
            state = "dropped"
        if order.command == PLAN_TAKE and order.state == "done":
            taken.add(plan.name)
        if digest in found:
            continue
        if state == "active" and _denies(said, said_at, plan, order):
            state = "dropped"
        known = plan.name, plan.version, digest, state, order.reason, order.id, plan.until
        found[digest] = CarPlan(*known, _budget(plan))
    listed = [_with(one, said.get(one.name)) for one in found.values()]
    known_ones = {(one.name, one.version) for one in listed}
    others = [(name, row) for name, row in said.items() if (name, row[0]) not in known_ones]
    listed += [_with(CarPlan(name, row[0], None, "active"), row) for name, row in others]
    return sorted(listed, key=lambda one: (one.name, -one.version))


def _state(order: Order, plan: KeptPlan, now: datetime) -> Standing:
    take = order.command == PLAN_TAKE
    if order.state in OPEN:
        return "waiting"
    if order.reason == SUPERSEDED:
        return "dropped"
    if order.state == "done":
        return "dropped" if not take else "expired" if plan.until <= now else "active"
    if not take:
        return "active"  # it could not be dropped
    return "expired" if order.state == "expired" or order.reason == "expired_plan" else "refused"


def _denies(said: Mapping[str, list[int]], at: datetime | None, plan: KeptPlan, order: Order) -> bool:
    """Tell whether the car, after it took a plan, said that it has it no more."""
    if at is None or order.ended_at is None or at <= order.ended_at:
        return False
    return said.get(plan.name, [None])[0] != plan.version


def _with(one: CarPlan, row: list[int] | None) -> CarPlan:
    if row is None or row[0] != one.version:
        return one
    state: Standing = one.state if one.state in ("waiting", "expired") else "active"
    return replace(one, state=state, fired=row[1], bytes_today=row[2], cut=row[3], waiting_bytes=row[4])


def _budget(plan: KeptPlan) -> int | None:
    from_text: Any = orjson.loads(plan.document).get("budget")
    try:
        return size_bytes(from_text)
    except InputError:
        return None


def _counts(row: list[Any]) -> bool:
    return len(row) == FIELDS and all(type(value) is int and 0 <= value < LIMIT_COUNT for value in row)
