"""The tables of the records, and the rows as callers see them.

Rules:
* A VIN and a label are unique among a tenant's active vehicles, so that a revoked car can be enrolled again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, LargeBinary, String, Table, Text

from carcloud.backends.records.database import Instant, Sealed, metadata
from carcloud.vehicle.life import State

DEFAULT_TENANT = "default"


@dataclass(frozen=True)
class Vehicle:
    """An enrolled car. `id` is random and names it everywhere; the VIN stays in the records."""

    id: str
    tenant: str
    vin: str
    label: str | None
    state: State
    enrolled_at: datetime


@dataclass(frozen=True)
class Certificate:
    """A certificate the zone has issued to a vehicle; `serial` is lower-case hexadecimal."""

    serial: str
    vehicle: str
    issued_at: datetime
    not_after: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True)
class QuarantineEntry:
    """A payload the guards refused. `size` is the payload's bytes; `sealed` is encrypted, and None in listings."""

    id: str
    at: datetime
    vehicle: str
    cause: str
    detail: str
    size: int
    sealed: bytes | None = None
    tenant: str = DEFAULT_TENANT


def quarantine_id(vehicle: str, cause: str, payload: bytes) -> str:
    """Return the id under which this payload is kept: the same payload twice is one entry."""
    digest = hashlib.sha256()
    for part in (vehicle.encode(), cause.encode(), payload):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


vehicles = Table(
    "vehicles",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("vin", Sealed, nullable=False),
    Column("label", Text),
    Column("state", String(16), nullable=False),
    Column("enrolled_at", Instant, nullable=False),
)

_active = vehicles.c.state == "active"
Index("vehicles_vin", vehicles.c.tenant, vehicles.c.vin, unique=True, sqlite_where=_active, postgresql_where=_active)
Index(
    "vehicles_label", vehicles.c.tenant, vehicles.c.label, unique=True, sqlite_where=_active, postgresql_where=_active
)

certificates = Table(
    "certificates",
    metadata,
    Column("serial", String(64), primary_key=True),
    Column("vehicle", String(64), ForeignKey("vehicles.id"), nullable=False, index=True),
    Column("issued_at", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("revoked_at", Instant),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("vehicle", Text, nullable=False),
    Column("cause", String(32), nullable=False),
    Column("detail", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("tenant", String(64), nullable=False),
)

Index("quarantine_age", quarantine.c.at, quarantine.c.id, quarantine.c.size)  # trimming reads this and no payload

id_tables = Table(
    "id_tables", metadata, Column("hash", String(64), primary_key=True), Column("text", Text, nullable=False)
)

fold_positions = Table(
    "fold_positions",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("partition", Integer, primary_key=True),
    Column("position", BigInteger, nullable=False),
)

meta = Table("meta", metadata, Column("key", String(64), primary_key=True), Column("text", Text, nullable=False))
