"""The outbox of orders: each waits here until the car has said what became of it, or its time is over.

Rules:
* queued → delivered → accepted → done | failed; or rejected; or expired. A state never goes back, whatever is repeated.
* An order that ended without the car's word (`expired`, `no_result`) still takes the car's word when it comes.
* Every change is noted for the audit log in the same transaction.
* A position is never part of an order's result: it comes with the samples, and is governed as they are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    Column,
    Connection,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Table,
    Text,
    bindparam,
    case,
    false,
    func,
    insert,
    or_,
    select,
    update,
)

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import MissingError

OrderState = Literal["queued", "delivered", "accepted", "rejected", "done", "failed", "expired"]
OPEN: tuple[OrderState, ...] = ("queued", "delivered", "accepted")
ENDED: tuple[OrderState, ...] = ("rejected", "done", "failed", "expired")
NO_RESULT = "no_result"
ORDERS_AT_ONCE = 1000
_ENDS: dict[str, tuple[OrderState, str]] = {
    "queued": ("rejected", "not_authorised"),
    "delivered": ("expired", NO_RESULT),
}
"""How an open order ends where its car changes hands, or may come in no more."""

authorisations = Table(
    "order_authorisations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("text", LargeBinary, nullable=False),
    Column("signatures", Text, nullable=False),
    Column("given_at", Instant, nullable=False),
)

orders = Table(
    "orders",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("authorisation", String(64), ForeignKey("order_authorisations.id"), nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("vehicle", String(64), nullable=False),
    Column("command", String(32), nullable=False),
    Column("parameters", Text, nullable=False),
    Column("role", String(16), nullable=False),
    Column("keys", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("reason", String(32)),
    Column("expires_at", Instant, nullable=False),
    Column("queued_at", Instant, nullable=False),
    Column("delivered_at", Instant),
    Column("accepted_at", Instant),
    Column("ended_at", Instant),
)
Index("orders_vehicle", orders.c.vehicle, orders.c.queued_at)
Index("orders_state", orders.c.state, orders.c.expires_at)


@dataclass(frozen=True)
class Order:
    """An order to one car. `parameters`: JSON; `keys`: ids of the keys that authorised it, comma separated."""

    id: str
    authorisation: str
    tenant: str
    vehicle: str
    command: str
    parameters: str
    role: str
    keys: str
    state: OrderState
    reason: str | None
    expires_at: datetime
    queued_at: datetime
    delivered_at: datetime | None = None
    accepted_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Given:
    """An authorisation as it was given: its id, the text that was signed, and who signed it, as JSON."""

    id: str
    text: bytes
    signatures: str
    given_at: datetime


class Orders:
    """The outbox."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def add(self, given: Given, wanted: Sequence[Order], actor: str) -> list[Order]:
        """Queue the orders of an authorisation, noted in the actor's name; again changes nothing. Return them."""
        with self._database.transaction(writing=True) as db:
            known = select(authorisations.c.id).where(authorisations.c.id == given.id)
            if db.execute(known).one_or_none() is None:
                db.execute(insert(authorisations).values(**vars(given)))
                db.execute(insert(orders), [vars(order) for order in wanted])
                self._audit.note(db, *(_sent(order, actor) for order in wanted))
        return self._found(select(orders).where(orders.c.authorisation == given.id).order_by(orders.c.vehicle))

    def order(self, id: str) -> Order:  # noqa: A002
        """Return one order; raise MissingError."""
        found = self._found(select(orders).where(orders.c.id == id))
        if not found:
            raise MissingError(f"No order {id[:40]!r}.", "List them: carcloud order list.")
        return found[0]

    def listed(
        self,
        tenant: str,
        vehicle: str | None = None,
        state: OrderState | None = None,
        limit: int = 100,
        before: datetime | None = None,
        among: Mapping[frozenset[str], Sequence[str]] | None = None,
        since: datetime | None = None,
        seen: Callable[[Order], bool] | None = None,
    ) -> list[Order]:
        """Return orders, the newest first, queued before an instant, and at or after `since`.

        Args:
            among: commands → cars. seen: says of each of these whether it is returned.
        """
        query = select(orders).where(orders.c.tenant == tenant).order_by(orders.c.queued_at.desc(), orders.c.id)
        if vehicle is not None:
            query = query.where(orders.c.vehicle == vehicle)
        if state is not None:
            query = query.where(orders.c.state == state)
        if before is not None:
            query = query.where(orders.c.queued_at < before)
        if among is not None:
            groups = [
                orders.c.vehicle.in_(list(cars)) & orders.c.command.in_(list(commands))
                for commands, cars in among.items()
            ]
            query = query.where(or_(false(), *groups))
        if since is not None:
            query = query.where(orders.c.queued_at >= since)
        if seen is None:
            return self._found(query.limit(limit))
        found: list[Order] = []
        for start in itertools.count(0, ORDERS_AT_ONCE):
            some = self._found(query.limit(ORDERS_AT_ONCE).offset(start))
            found += filter(seen, some)
            if len(some) < ORDERS_AT_ONCE or len(found) >= limit:
                break
        return found[:limit]

    def newest(self, tenant: str, vehicle: str) -> list[Order]:
        """Return of each command a car was ordered the newest order, and the newest that was not rejected."""
        kind = case((orders.c.state == "rejected", 1), else_=0)
        place = func.row_number().over(
            partition_by=(orders.c.command, kind), order_by=(orders.c.queued_at.desc(), orders.c.id.desc())
        )
        mine = (orders.c.tenant == tenant) & (orders.c.vehicle == vehicle)
        numbered = select(orders, place.label("place")).where(mine).subquery()
        found = select(*(numbered.c[column.name] for column in orders.c)).where(numbered.c.place == 1)
        return self._found(found.order_by(numbered.c.queued_at.desc(), numbered.c.id))

    def newest_about(self, tenant: str, commands: Sequence[str], limit: int) -> list[Order]:
        """Return the newest order of each car, command and parameters by these commands, the newest first."""
        place = func.row_number().over(
            partition_by=(orders.c.vehicle, orders.c.command, orders.c.parameters),
            order_by=(orders.c.queued_at.desc(), orders.c.id.desc()),
        )
        mine = (orders.c.tenant == tenant) & orders.c.command.in_(list(commands))
        numbered = select(orders, place.label("place")).where(mine).subquery()
        found = select(*(numbered.c[column.name] for column in orders.c)).where(numbered.c.place == 1)
        return self._found(found.order_by(numbered.c.queued_at.desc(), numbered.c.id).limit(limit))

    def open(self, vehicle: str) -> list[Order]:
        """Return what a car still has to be told, in the order it was queued."""
        query = select(orders).where(orders.c.vehicle == vehicle, orders.c.state.in_(OPEN))
        return self._found(query.order_by(orders.c.queued_at, orders.c.id))

    def waiting(self, limit: int = 1_000_000) -> set[str]:
        """Return the vehicles that still have to be told something."""
        query = select(orders.c.vehicle).where(orders.c.state.in_(OPEN)).distinct().limit(limit)
        return {row[0] for row in self._database.rows(query)}

    def given(self, id: str) -> Given:  # noqa: A002
        """Return an authorisation; raise MissingError."""
        rows = self._database.rows(select(authorisations).where(authorisations.c.id == id))
        if not rows:
            raise MissingError(f"No authorisation {id[:64]!r}.")
        return Given(**rows[0]._mapping)

    def advance(self, id: str, state: OrderState, reason: str | None, at: datetime, actor: str) -> Order | None:  # noqa: A002
        """Move an order on, and note it. Return it as it then is; None where it stands there, or is past that."""
        before: Any = orders.c.state.in_(OPEN[: OPEN.index(state)] if state in OPEN else OPEN)
        if state in ENDED and state != "expired":
            before |= (orders.c.state == "expired") & (orders.c.reason == NO_RESULT)
        change = update(orders).where(orders.c.id == id, before)
        with self._database.transaction(writing=True) as db:
            changed = db.execute(change.values(state=state, reason=reason, **_moments(state, at))).rowcount
            if not changed:
                return None
            order = Order(**db.execute(select(orders).where(orders.c.id == id)).one()._mapping)
            if state != "delivered":
                self._audit.note(db, _came(order, actor))
        return order

    def overdue(self, now: datetime, limit: int = 1000) -> list[Order]:
        """Return open orders whose time is over."""
        query = select(orders).where(orders.c.state.in_(OPEN), orders.c.expires_at < now)
        return self._found(query.order_by(orders.c.expires_at).limit(limit))

    def _found(self, query: Any) -> list[Order]:
        return [Order(**row._mapping) for row in self._database.rows(query)]


def end_open(db: Connection, vehicle: str, at: datetime, actor: str) -> list[Entry]:
    """End what a car still had to be told, within a transaction that writes; return what is to be noted of it.

    What it was never given is rejected; of what it was given nobody knows, and its word still counts.
    """
    mine = (orders.c.vehicle == vehicle) & orders.c.state.in_(OPEN)
    ended = []
    for row in db.execute(select(orders).where(mine).order_by(orders.c.queued_at, orders.c.id).with_for_update()).all():
        order = Order(**row._mapping)
        state, reason = _ENDS["queued" if order.state == "queued" else "delivered"]
        db.execute(update(orders).where(orders.c.id == order.id).values(state=state, reason=reason, ended_at=at))
        ended.append(_came(replace(order, state=state, reason=reason), actor))
    return ended


def _moments(state: OrderState, at: datetime) -> dict[str, Any]:
    """Return when an order came so far: who says that it is done has had it before."""
    passed = {"delivered": 1, "accepted": 2, "rejected": 1, "done": 2, "failed": 2, "expired": 0}[state]
    moments: dict[str, Any] = {
        name: func.coalesce(orders.c[name], bindparam(f"{name}_now", at, type_=Instant))
        for name in ("delivered_at", "accepted_at")[:passed]
    }
    return moments | ({"ended_at": at} if state in ENDED else {})


def _facts(order: Order) -> dict[str, Any]:
    return {"command": order.command, "role": order.role, "keys": order.keys, "vehicle": order.vehicle}


def _sent(order: Order, actor: str) -> Entry:
    facts = _facts(order) | {"authorisation": order.authorisation}
    return Entry(actor, "sendOrder", f"order:{order.id}", "done", facts, tenant=order.tenant, at=order.queued_at)


def _came(order: Order, actor: str) -> Entry:
    outcome: Literal["allowed", "denied", "done", "failed"] = {  # type: ignore[assignment]
        "accepted": "allowed",
        "rejected": "denied",
        "done": "done",
    }.get(order.state, "failed")
    facts = _facts(order) | {"state": order.state, "reason": order.reason}
    return Entry(actor, "orderResult", f"order:{order.id}", outcome, facts, tenant=order.tenant)
