"""What people asked for about their data, until when it must be answered, and what became of it.

Rules:
* A request is kept without who asked: the reference is the controller's own file, where the person is known.
* A car is named by its random id; erasing the car leaves its requests, which prove that they were answered in time.
* It is closed once, and never opened again. A refusal says why.
* What no request can be is refused here, by whichever door it comes.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal, get_args

from sqlalchemy import Column, Date, String, Table, insert, select, update

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import ConflictError, InputError, MissingError

RequestKind = Literal["access", "rectification", "erasure", "restriction", "portability", "objection"]
REQUEST_KINDS: tuple[RequestKind, ...] = get_args(RequestKind)
Outcome = Literal["done", "refused"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
LIMIT_REFERENCE, LIMIT_WHY = 64, 2000
FIRST_YEAR = 2020

requests = Table(
    "requests",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("about", String(64)),
    Column("reference", String(64), nullable=False),
    Column("received", Date, nullable=False),
    Column("due", Date, nullable=False),
    Column("noted_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("outcome", String(16)),
)


def new_id() -> str:
    """Return an id for a new request."""
    return secrets.token_hex(8)


@dataclass(frozen=True)
class Request:
    """One request. `about`: the car's id, where it concerns one; `reference`: the controller's own file.

    `received`, `due`: days, the last of which is still in time. `outcome` is None until it is closed.
    """

    tenant: str
    kind: RequestKind
    about: str | None
    reference: str
    received: date
    due: date
    noted_at: datetime
    id: str = field(default_factory=new_id)
    closed_at: datetime | None = None
    outcome: Outcome | None = None

    def late(self, today: date) -> bool:
        """Tell whether it is open beyond its last day, or was closed after it."""
        return (self.closed_at.date() if self.closed_at else today) > self.due


class Requests:
    """The requests of a zone's people."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def add(self, request: Request, actor: str) -> None:
        """Take a request down.

        Raises:
            InputError: it came on a day that is to come or long gone, or its reference is too long.
            MissingError: it names a car that the tenant never had.
        """
        if request.received.year < FIRST_YEAR or request.received > request.noted_at.date():
            raise InputError(f"{request.received} is no day on which it can have come.", "Give a day up to today.")
        if len(request.reference) > LIMIT_REFERENCE:
            raise InputError("The reference is too long.", f"Give at most {LIMIT_REFERENCE} characters.")
        cars, ledger = metadata.tables["vehicles"], metadata.tables["erasures"]
        with self._database.transaction(writing=True) as db:
            if request.about is not None:
                ours = select(cars.c.id).where(cars.c.id == request.about, cars.c.tenant == request.tenant)
                gone = select(ledger.c.id).where(ledger.c.vehicle == request.about, ledger.c.tenant == request.tenant)
                if db.execute(ours).first() is None and db.execute(gone).first() is None:
                    do = "List the enrolled ones with `carcloud vehicles`."
                    raise MissingError(f"No vehicle {request.about!r}.", do)
            db.execute(insert(requests).values(**vars(request)))
            facts = {"kind": request.kind, "received": str(request.received), "due": str(request.due)}
            if request.about is not None:
                facts["vehicle"] = request.about
            details = {"reference": request.reference} if request.reference else None
            object_ = f"request:{request.id}"
            self._audit.note(db, Entry(actor, "addRequest", object_, "done", facts, details, request.tenant))

    def close(self, tenant: str, id_: str, outcome: Outcome, actor: str, now: datetime, why: str = "") -> Request:
        """Say what became of a request; `why` is kept beside the log, never in it.

        Raises:
            InputError: it is refused without a reason, or `why` is too long.
            MissingError: this tenant has no such request.
            ConflictError: it is closed already.
        """
        if outcome == "refused" and not why.strip():
            raise InputError("A refusal needs a reason.", "Say why: the person has a right to it.")
        if len(why) > LIMIT_WHY:
            raise InputError("The reason is too long.", f"Give at most {LIMIT_WHY} characters.")
        mine = (requests.c.id == id_) & (requests.c.tenant == tenant)
        with self._database.transaction(writing=True) as db:
            row = db.execute(select(requests).where(mine)).first()
            if row is None:
                raise MissingError(f"No request {id_!r}.", "List them: carcloud request list.")
            if row.outcome is not None:
                raise ConflictError(f"The request {id_} is closed: {row.outcome}.", "Take a new one down.")
            db.execute(update(requests).where(mine).values(closed_at=now, outcome=outcome))
            found = Request(**row._mapping)
            facts = {"kind": found.kind, "outcome": outcome, "late": now.date() > found.due}
            details = {"why": why} if why else None
            self._audit.note(db, Entry(actor, "closeRequest", f"request:{id_}", "done", facts, details, tenant))
        return replace(found, closed_at=now, outcome=outcome)

    def all(self, tenant: str | None = None) -> list[Request]:
        """Return a tenant's requests, or everybody's, the first due first."""
        query = select(requests).order_by(requests.c.due, requests.c.id)
        if tenant is not None:
            query = query.where(requests.c.tenant == tenant)
        return [Request(**row._mapping) for row in self._database.rows(query)]
