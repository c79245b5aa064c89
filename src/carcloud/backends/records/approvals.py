"""What one person asked and another has to approve.

Rules:
* An approval is of one act on one object with one content, told apart by its digest, for the one who asked.
* It is used once, and ends by itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Column, Connection, Index, String, Table, Text, insert, select, update

from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import ConflictError, MissingError

ApprovalState = Literal["asked", "approved", "refused", "expired", "used"]

approvals = Table(
    "approvals",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(160), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("asked", Text, nullable=False),
    Column("asked_by", String(96), nullable=False),
    Column("asked_at", Instant, nullable=False),
    Column("decided_by", String(96)),
    Column("decided_at", Instant),
    Column("state", String(16), nullable=False),
    Column("ends_at", Instant, nullable=False),
)
Index("approvals_asked", approvals.c.asked_by, approvals.c.digest)


@dataclass(frozen=True)
class Approval:
    """What was asked, by whom, and what became of it. `asked`: what an approver is shown; `digest`: of just that."""

    id: str
    tenant: str
    action: str
    object: str
    digest: str
    asked: Mapping[str, Any]
    asked_by: str
    asked_at: datetime
    ends_at: datetime
    state: ApprovalState = "asked"
    decided_by: str | None = None
    decided_at: datetime | None = None


class Approvals:
    """What waits for a second person, and what became of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def standing(self, db: Connection, asked_by: str, digest: str, now: datetime) -> Approval | None:
        """Return what this one asked already and may still use, within a transaction."""
        mine = (approvals.c.asked_by == asked_by) & (approvals.c.digest == digest) & (approvals.c.ends_at >= now)
        open_ = approvals.c.state.in_(["asked", "approved"])
        row = db.execute(select(approvals).where(mine, open_).order_by(approvals.c.asked_at).with_for_update()).first()
        return None if row is None else _approval(row, now)

    def add(self, db: Connection, approval: Approval, now: datetime, most: int) -> None:
        """Ask, within a transaction; raise ConflictError where this one has too many questions open."""
        mine = (
            (approvals.c.asked_by == approval.asked_by) & (approvals.c.state == "asked") & (approvals.c.ends_at >= now)
        )
        if len(db.execute(select(approvals.c.id).where(mine).limit(most)).all()) >= most:
            raise ConflictError(f"{most} of your questions wait for an approval.", "Have some of them answered first.")
        row = vars(approval) | {"asked": json.dumps(dict(approval.asked), sort_keys=True)}
        db.execute(insert(approvals).values(**row))

    def use(self, db: Connection, id: str) -> bool:  # noqa: A002
        """Use up what was approved, within a transaction; tell whether it could be."""
        approved = (approvals.c.id == id) & (approvals.c.state == "approved")
        return db.execute(update(approvals).where(approved).values(state="used")).rowcount == 1

    def decide(self, db: Connection, id: str, state: ApprovalState, by: str, now: datetime) -> None:  # noqa: A002
        """Answer what was asked, within a transaction; raise ConflictError where it does not wait any more."""
        waits = (approvals.c.id == id) & (approvals.c.state == "asked") & (approvals.c.ends_at >= now)
        values = {"state": state, "decided_by": by, "decided_at": now}
        if db.execute(update(approvals).where(waits).values(**values)).rowcount != 1:
            raise ConflictError("This does not wait for an approval any more.", "Have it asked again.")

    def get(self, id: str, now: datetime) -> Approval:  # noqa: A002
        """Return one; raise MissingError."""
        rows = self._database.rows(select(approvals).where(approvals.c.id == id))
        if not rows:
            raise MissingError(f"No approval {id!r}.", "List them with GET /v1/approvals.")
        return _approval(rows[0], now)

    def newest(self, tenant: str, now: datetime, limit: int) -> list[Approval]:
        """Return a tenant's newest, whatever became of them."""
        query = select(approvals).where(approvals.c.tenant == tenant).order_by(approvals.c.asked_at.desc()).limit(limit)
        return [_approval(row, now) for row in self._database.rows(query)]


def _approval(row: Any, now: datetime) -> Approval:
    approval = Approval(**dict(row._mapping) | {"asked": json.loads(row.asked)})
    ended = approval.state in ("asked", "approved") and approval.ends_at < now
    return replace(approval, state="expired") if ended else approval
