"""Claims: what a car that has no certificate yet may join with, once.

Rules:
* A claim's token is nowhere in the records: they hold the public key that is made from it.
* A claim is used at most once, whoever asks at the same time; the car's first certificate is recorded with that.
* A vehicle has at most one open claim; a new one ends the older.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, ForeignKey, String, Table, insert, select, update

from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.tables import vehicles

LIMIT_ASKED = 100
"""Claims of one vehicle that are looked at, the newest first."""

claims = Table(
    "claims",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("vehicle", String(64), ForeignKey("vehicles.id"), nullable=False, index=True),
    Column("verifier", String(64), nullable=False),
    Column("serial_hash", String(64)),
    Column("made_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("used_at", Instant),
    Column("withdrawn_at", Instant),
)


@dataclass(frozen=True)
class Claim:
    """One claim. `verifier`: the token's public key, hexadecimal. `serial_hash`: SHA-256 of a control unit's serial."""

    id: str
    vehicle: str
    verifier: str
    serial_hash: str | None
    made_at: datetime
    ends_at: datetime
    used_at: datetime | None = None
    withdrawn_at: datetime | None = None


class Claims:
    """The claims of a zone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, vehicle: str) -> list[Claim]:
        """Return a vehicle's claims, the newest first."""
        query = select(claims).where(claims.c.vehicle == vehicle).order_by(claims.c.made_at.desc()).limit(LIMIT_ASKED)
        return [Claim(**row._mapping) for row in self._database.rows(query)]

    def open(self, tenant: str, now: datetime, limit: int) -> list[Claim]:
        """Return a tenant's claims that can be used now, those that end first at the beginning."""
        mine = vehicles.c.tenant == tenant
        query = select(claims).join(vehicles).where(mine, _open(), claims.c.ends_at > now)
        query = query.order_by(claims.c.ends_at).limit(limit)
        return [Claim(**row._mapping) for row in self._database.rows(query)]


def put(db: Connection, claim: Claim) -> None:
    """Record a new claim within a transaction; it ends what else was open for its vehicle."""
    withdraw(db, claims.c.vehicle == claim.vehicle, claim.made_at)
    db.execute(insert(claims).values(**vars(claim)))


def use(db: Connection, claim: Claim, at: datetime) -> bool:
    """Use a claim up within a transaction; tell whether it was still open."""
    mine: Any = (claims.c.id == claim.id) & _open() & (claims.c.ends_at > at)
    return bool(db.execute(update(claims).where(mine).values(used_at=at)).rowcount)


def withdraw(db: Connection, which: ColumnElement[bool], at: datetime) -> None:
    """End open claims within a transaction."""
    db.execute(update(claims).where(which, _open()).values(withdrawn_at=at))


def _open() -> ColumnElement[bool]:
    return claims.c.used_at.is_(None) & claims.c.withdrawn_at.is_(None)
