"""Errands: runs and verdicts that somebody asked the zone for, and what became of each.

Rules:
* An errand waits, is carried out, and is then done, failed or stopped, which is for ever. One at a time is carried out.
* Whoever asks too often is refused; those that are over are forgotten when newer ones have come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import Column, Connection, Index, String, Table, Text, delete, func, insert, select, update

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import ConflictError, MissingError

ErrandKind = Literal["run", "gate"]
ErrandState = Literal["waiting", "running", "done", "failed", "stopped"]
OPEN = ("waiting", "running")

ACTION = "runResearch"
LIMIT_OPEN = 20
"""Errands of a tenant that wait or are carried out."""
LIMIT_KEPT = 200
"""Errands of a tenant that are known, of those that are over."""
LIMIT_ERROR = 500
"""Characters that are kept of why one failed."""
ERRAND_LOCK = 0x65727264  # any constant: on PostgreSQL one at a time counts errands and adds one

errands = Table(
    "errands",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("kind", String(8), nullable=False),
    Column("said", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("result", String(64), nullable=False),
    Column("error", Text, nullable=False),
    Column("made_by", String(96), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("ended_at", Instant),
)
Index("errands_tenant", errands.c.tenant, errands.c.made_at)


@dataclass(frozen=True)
class Errand:
    """An errand.

    Args:
        said: what was asked for, in plain JSON.
        result: the run's id as soon as it is known, or the verdict's digest; else empty.
        error: why it failed.
    """

    id: str
    tenant: str
    kind: ErrandKind
    said: Mapping[str, Any]
    made_by: str
    made_at: datetime
    state: ErrandState = "waiting"
    result: str = ""
    error: str = ""
    ended_at: datetime | None = field(default=None)


class Errands:
    """The errands of all tenants."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def ask(self, wanted: Errand) -> Errand:
        """Take an errand; where the same one is open already, return that. Raise ConflictError for too many."""
        mine = errands.c.tenant == wanted.tenant
        row = _row(wanted)
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, ERRAND_LOCK)
            here = select(errands).where(mine, errands.c.state.in_(OPEN))
            same = db.execute(here.where(errands.c.kind == wanted.kind, errands.c.said == row["said"])).first()
            if same is not None:
                return _errand(same)
            if db.execute(select(func.count()).select_from(here.subquery())).scalar_one() >= LIMIT_OPEN:
                raise ConflictError(f"{LIMIT_OPEN} runs and verdicts wait already.", "Wait for them, or stop some.")
            _forget_old(db, wanted.tenant)
            db.execute(insert(errands).values(**row))
            self._audit.note(db, _entry(wanted, wanted.made_by, "asked", wanted.made_at))
        return wanted

    def get(self, tenant: str, id: str) -> Errand:  # noqa: A002
        """Return an errand of a tenant; raise MissingError."""
        rows = self._database.rows(select(errands).where(errands.c.tenant == tenant, errands.c.id == id))
        if not rows:
            raise MissingError(f"No errand {id[:64]!r}.", "List them: GET /v1/errands.")
        return _errand(rows[0])

    def listed(self, tenant: str, limit: int = LIMIT_KEPT) -> list[Errand]:
        """Return a tenant's errands, the newest first."""
        query = select(errands).where(errands.c.tenant == tenant).order_by(errands.c.made_at.desc(), errands.c.id)
        return [_errand(row) for row in self._database.rows(query.limit(limit))]

    def next(self) -> Errand | None:
        """Return the oldest errand of any tenant that is open; one that was begun goes first."""
        query = select(errands).where(errands.c.state.in_(OPEN))
        rows = self._database.rows(query.order_by(errands.c.state, errands.c.made_at, errands.c.id).limit(1))
        return _errand(rows[0]) if rows else None

    def tell(self, found: Errand, result: str) -> None:
        """Say what an errand is making, as soon as that has a name."""
        with self._database.transaction(writing=True) as db:
            same = (errands.c.id == found.id) & errands.c.state.in_(OPEN)
            db.execute(update(errands).where(same).values(result=result))

    def move(self, found: Errand, state: ErrandState, at: datetime, **changes: Any) -> Errand:
        """Bring an open errand to another state; one that is over stays as it is."""
        ended = None if state in OPEN else at
        moved = {"state": state, "ended_at": ended, **changes}
        if "error" in moved:
            moved["error"] = str(moved["error"])[:LIMIT_ERROR]
        with self._database.transaction(writing=True) as db:
            db.execute(update(errands).where(errands.c.id == found.id, errands.c.state.in_(OPEN)).values(**moved))
        return self.get(found.tenant, found.id)

    def stop(self, tenant: str, id: str, actor: str, at: datetime) -> Errand:  # noqa: A002
        """Stop an errand that is open; one that is over stays as it is. Raise MissingError."""
        found = self.get(tenant, id)
        with self._database.transaction(writing=True) as db:
            same = (errands.c.id == found.id) & errands.c.state.in_(OPEN)
            if db.execute(update(errands).where(same).values(state="stopped", ended_at=at)).rowcount == 1:
                self._audit.note(db, _entry(found, actor, "stopped", at))
        return self.get(tenant, id)


def _forget_old(db: Connection, tenant: str) -> None:
    over = select(errands.c.id).where(errands.c.tenant == tenant, errands.c.state.not_in(OPEN))
    old = [row.id for row in db.execute(over.order_by(errands.c.made_at.desc()).offset(LIMIT_KEPT - 1))]
    if old:
        db.execute(delete(errands).where(errands.c.id.in_(old)))


def _row(one: Errand) -> dict[str, Any]:
    return vars(one) | {"said": orjson.dumps(one.said, option=orjson.OPT_SORT_KEYS).decode()}


def _errand(row: Any) -> Errand:
    said = dict(row._mapping)
    return replace(Errand(**said), said=orjson.loads(said["said"]))


def _entry(one: Errand, actor: str, change: str, at: datetime) -> Entry:
    facts = {"change": change, "kind": one.kind}
    return Entry(actor, ACTION, f"errand:{one.id}", "done", facts, tenant=one.tenant, at=at)
