"""What a car is wanted to be, against what it reports: made from its orders and the twin, and kept nowhere else.

Rules:
* Of the orders that set one actuator the newest that was not rejected counts; where all were, the newest says why.
* converged: the car did it, and its newest report agrees, or what was ordered goes back by itself.
* waiting: the order is open, or it is done and no report agrees yet, while its time is not over.
* refused: car or order signer rejected it. expired: it was not delivered, or no word came, in its time.
* failed: the car could not; or it did, and reports otherwise when the order's time is over (reason `changed`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import orjson

from carcloud.backends.records.orders import NO_RESULT, OPEN, Order
from carcloud.vehicle.settable import SETTABLE, Settable, Value

State = Literal["converged", "waiting", "refused", "expired", "failed"]
CHANGED = "changed"
_ENDED: dict[str, State] = {"rejected": "refused", "failed": "failed", "expired": "expired"}


@dataclass(frozen=True)
class Desired:
    """One actuator of a car: what is wanted, what is reported, None where nothing is known, and how far it is.

    order: the id of the order; at: when it was given; until: when its time is over.
    reason: why it was refused, expired or failed.
    """

    path: str
    wanted: Value
    reported: Any
    state: State
    reason: str | None
    order: str
    at: datetime
    until: datetime


def sources(paths: Iterable[str] = SETTABLE) -> list[str]:
    """Return the signals by which cars say what came of settings of these actuators."""
    return [SETTABLE[path].source for path in paths]


def desired(orders: Iterable[Order], reported: Mapping[str, Any], now: datetime) -> list[Desired]:
    """Return what a car is wanted to be, by path.

    Args:
        orders: the car's, in any order; `records.orders.newest` has all that is needed.
        reported: the newest values of `sources`, where there are any.
    """
    given = list(orders)
    return [found for one in SETTABLE.values() if (found := _of(one, given, reported, now)) is not None]


def _of(one: Settable, orders: list[Order], reported: Mapping[str, Any], now: datetime) -> Desired | None:
    mine = [order for order in orders if order.command in one.names]
    if not mine:
        return None
    order = max(mine, key=lambda order: (order.state != "rejected", order.queued_at, order.id))
    wanted = one.value(order.command, orjson.loads(order.parameters))
    if wanted is None:
        return None
    seen = reported.get(one.source)
    value = None if seen is None else one.read(seen)
    state, reason = _state(one, order, wanted, value, now)
    return Desired(one.path, wanted, value, state, reason, order.id, order.queued_at, order.expires_at)


def _state(one: Settable, order: Order, wanted: Value, reported: Any, now: datetime) -> tuple[State, str | None]:
    if order.state in _ENDED:
        return _ENDED[order.state], order.reason
    if order.state in OPEN:
        lost = "not_delivered" if order.state == "queued" else NO_RESULT  # as the courier is about to say
        return ("waiting", None) if now < order.expires_at else ("expired", lost)
    if one.momentary or reported == wanted:
        return "converged", None
    return ("waiting", None) if now < order.expires_at else ("failed", CHANGED)
