"""Suspicions that a car's identity is used twice, kept until someone has acted on them.

Rules:
* A vehicle has at most one open suspicion; what is seen again only moves its last time and its count.
* Releasing, revoking, retiring or rekeying the car settles it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, ForeignKey, Integer, String, Table, Text, insert, select, update

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.tables import vehicles

suspicions = Table(
    "suspicions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("vehicle", String(64), ForeignKey("vehicles.id"), nullable=False, index=True),
    Column("why", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("last", Instant, nullable=False),
    Column("times", Integer, nullable=False),
    Column("settled_at", Instant),
)


@dataclass(frozen=True)
class Suspicion:
    """A car that seems to be two. `times`: how often it was seen since."""

    vehicle: str
    why: str
    since: datetime
    last: datetime
    times: int
    settled_at: datetime | None = None


class Suspicions:
    """The suspicions of a zone."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def raise_(self, vehicle: str, why: str, at: datetime, entry: Entry) -> bool:
        """Record that a car seems to be two; tell whether that is news, which is noted for the audit log."""
        mine = (suspicions.c.vehicle == vehicle) & suspicions.c.settled_at.is_(None)
        with self._database.transaction(writing=True) as db:
            again = update(suspicions).where(mine).values(last=at, times=suspicions.c.times + 1)
            if db.execute(again).rowcount:
                return False
            db.execute(insert(suspicions).values(vehicle=vehicle, why=why, since=at, last=at, times=1))
            self._audit.note(db, entry)
            return True

    def open(self, limit: int, tenant: str | None = None) -> list[Suspicion]:
        """Return the suspicions that nobody has acted on, the newest first; of a tenant, or None: of all."""
        query = select(suspicions).where(suspicions.c.settled_at.is_(None))
        if tenant is not None:
            query = query.join(vehicles).where(vehicles.c.tenant == tenant)
        return self._read(query.order_by(suspicions.c.since.desc()).limit(limit))

    def of(self, vehicle: str, limit: int = 100) -> list[Suspicion]:
        """Return a vehicle's suspicions, settled ones too, the newest first."""
        query = select(suspicions).where(suspicions.c.vehicle == vehicle)
        return self._read(query.order_by(suspicions.c.since.desc()).limit(limit))

    def _read(self, query: object) -> list[Suspicion]:
        rows = self._database.rows(query)  # type: ignore[arg-type]
        return [Suspicion(row.vehicle, row.why, row.since, row.last, row.times, row.settled_at) for row in rows]


def settle(db: Connection, vehicle: str, at: datetime) -> None:
    """Settle a vehicle's open suspicions within a transaction."""
    mine = (suspicions.c.vehicle == vehicle) & suspicions.c.settled_at.is_(None)
    db.execute(update(suspicions).where(mine).values(settled_at=at))
