"""Who may come in by GB/T 32960: cars by their VIN, and platforms that carry many, by name and password.

Rules:
* A VIN is a terminal's of one tenant only: the protocol's frames name no tenant.
* VINs lie sealed in the table of vehicles and nowhere else; a terminal is its vehicle's id.
* A terminal of the 2025 edition activates once with a chip and a key. Another chip or key is refused until the terminal
  is removed and added again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy import exc as sql_errors

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, Named, metadata
from carcloud.backends.records.tables import Vehicle, vehicles
from carcloud.errors import ConflictError, MissingError
from carcloud.vehicle.life import LIVE

TERMINAL_LOCK = 0x67627432  # any constant: on PostgreSQL one terminal at a time is looked for and added

terminals = Table(
    "terminals",
    metadata,
    Column("vehicle", String(64), ForeignKey("vehicles.id"), primary_key=True),
    Column("added_at", Instant, nullable=False),
    Column("chip", String(32)),
    Column("key", LargeBinary),
    Column("activated_at", Instant),
)
terminal_platforms = Table(
    "terminal_platforms",
    metadata,
    Column("name", String(12), primary_key=True),
    Column("tenant", String(64), nullable=False, index=True),
    Column("password", Text, nullable=False),
    Column("added_at", Instant, nullable=False),
)


@dataclass(frozen=True)
class Terminal:
    """A car that comes in by GB/T 32960. `chip`, `key`: what it activated with, if it did; hexadecimal, and DER."""

    vehicle: Vehicle
    added_at: datetime
    chip: str | None = None
    key: bytes | None = None
    activated_at: datetime | None = None


@dataclass(frozen=True)
class Platform:
    """Another platform that may bring the tenant's cars. `password`: its hash."""

    name: str
    tenant: str
    password: str
    added_at: datetime


class Terminals:
    """The terminals of a zone, and the platforms."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def mark(self, vehicle: Vehicle, at: datetime, *entries: Entry) -> None:
        """Let an enrolled car come in by GB/T 32960.

        Raises:
            MissingError: no such vehicle. ConflictError: its VIN comes in so already, here or for another tenant.
        """
        with self._database.transaction(writing=True) as db:
            if db.execute(select(vehicles.c.id).where(vehicles.c.id == vehicle.id)).one_or_none() is None:
                raise MissingError(f"No vehicle {vehicle.id!r}.", "List the enrolled ones with `carcloud vehicles`.")
            self._database.alone(db, TERMINAL_LOCK)
            put(db, vehicle, at)
            self._audit.note(db, *entries)

    def find(self, vin: str) -> Terminal | None:
        """Return the terminal of this VIN whose vehicle is claimable, active or quarantined."""
        with self._database.looking() as db:
            return _find(db, vin)

    def get(self, vehicle: str) -> Terminal | None:
        """Return a vehicle's terminal, if it is one."""
        found = self._read(vehicles.c.id == vehicle)
        return found[0] if found else None

    def all(self, tenant: str | None = None) -> list[Terminal]:
        """Return a tenant's terminals, None: of all, in the order of their vehicles."""
        return self._read(vehicles.c.tenant == tenant if tenant is not None else vehicles.c.id != "")

    def among(self, ids: Collection[str]) -> set[str]:
        """Return which of these vehicles are terminals that may come in."""
        wanted = sorted(ids)
        query = select(terminals.c.vehicle).join(vehicles).where(vehicles.c.state == "active")
        return {row[0] for row in self._database.rows(query)} & set(wanted)

    def remove(self, vehicle: str, *entries: Entry) -> None:
        """Let a car come in by GB/T 32960 no more; what else it is stays. Raise MissingError."""
        with self._database.transaction(writing=True) as db:
            if not db.execute(delete(terminals).where(terminals.c.vehicle == vehicle)).rowcount:
                raise MissingError(f"{vehicle!r} is no terminal.", "List them with `carcloud gbt32960 list`.")
            self._audit.note(db, *entries)

    def activate(self, vehicle: str, chip: str, key: bytes, at: datetime, *entries: Entry) -> bool:
        """Keep the chip and key a terminal activates with; tell whether they are its own: the first, or the same."""
        mine = terminals.c.vehicle == vehicle
        with self._database.transaction(writing=True) as db:
            row = db.execute(select(terminals).where(mine).with_for_update()).one_or_none()
            if row is None or row.key is not None:
                return row is not None and (row.chip, bytes(row.key)) == (chip, key)
            if db.execute(select(terminals.c.vehicle).where(terminals.c.chip == chip)).first() is not None:
                return False
            db.execute(update(terminals).where(mine).values(chip=chip, key=key, activated_at=at))
            self._audit.note(db, *entries)
        return True

    def add_platform(self, platform: Platform, *entries: Entry) -> None:
        """Let a platform come in. Raise ConflictError where the name is taken."""
        with self._database.transaction(writing=True) as db:
            try:
                db.execute(insert(terminal_platforms).values(**vars(platform)))
            except sql_errors.IntegrityError:
                raise ConflictError(f"There is a platform {platform.name} already.", "Give another name.") from None
            self._audit.note(db, *entries)

    def platform(self, name: str) -> Platform | None:
        """Return a platform by its name, or None."""
        query = select(terminal_platforms).where(terminal_platforms.c.name == name)
        rows = self._database.rows(query)
        return Platform(**rows[0]._mapping) if rows else None

    def platforms(self, tenant: str | None = None) -> list[Platform]:
        """Return a tenant's platforms, None: of all, by name."""
        query = select(terminal_platforms).order_by(terminal_platforms.c.name)
        if tenant is not None:
            query = query.where(terminal_platforms.c.tenant == tenant)
        return [Platform(**row._mapping) for row in self._database.rows(query)]

    def remove_platform(self, name: str, tenant: str, *entries: Entry) -> None:
        """Let a tenant's platform come in no more. Raise MissingError."""
        mine = (terminal_platforms.c.name == name) & (terminal_platforms.c.tenant == tenant)
        with self._database.transaction(writing=True) as db:
            if not db.execute(delete(terminal_platforms).where(mine)).rowcount:
                raise MissingError(f"No platform {name!r}.", "List them with `carcloud gbt32960 platform list`.")
            self._audit.note(db, *entries)

    def _read(self, which: ColumnElement[bool]) -> list[Terminal]:
        query = select(terminals, vehicles).join(vehicles).where(which).order_by(vehicles.c.id)
        return [_terminal(row) for row in self._database.rows(query)]


def put(db: Connection, vehicle: Vehicle, at: datetime) -> None:
    """Mark a vehicle as a terminal within a transaction; raise ConflictError where its VIN is one already."""
    if _find(db, vehicle.vin) is not None:
        do = "List the terminals with `carcloud gbt32960 list`, and remove that one first."
        raise ConflictError("This VIN comes in by GB/T 32960 already.", do)
    db.execute(delete(terminals).where(terminals.c.vehicle == vehicle.id))
    db.execute(insert(terminals).values(vehicle=vehicle.id, added_at=at))


def _find(db: Connection, vin: str) -> Terminal | None:
    whose = select(vehicles.c.tenant).join(terminals, terminals.c.vehicle == vehicles.c.id).distinct()
    names = [Named(vin, tenant) for tenant in db.execute(whose).scalars()]
    if not names:
        return None
    mine = vehicles.c.vin.in_(names) & vehicles.c.state.in_(LIVE)
    row = db.execute(select(terminals, vehicles).join(vehicles).where(mine).limit(1)).one_or_none()
    return None if row is None else _terminal(row)


def _terminal(row: Row[Any]) -> Terminal:
    values: tuple[Any, ...] = tuple(row)
    width = len(terminals.c)
    return Terminal(Vehicle(*values[width:]), *values[1:width])
