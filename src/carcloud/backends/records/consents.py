"""Consents: what a car's person agreed to, purpose by purpose; every change is a version, none is overwritten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, Column, Connection, Integer, String, Table, func, insert, select

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import MissingError

consents = Table(
    "consents",
    metadata,
    Column("vehicle", String(64), primary_key=True),
    Column("purpose", String(64), primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("given", Boolean, nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(96), nullable=False),
    Column("policy", String(64), nullable=False),
)


@dataclass(frozen=True)
class Consent:
    """One version of a consent: given, or withdrawn. `policy`: the hash of the governance it was given under."""

    vehicle: str
    purpose: str
    version: int
    given: bool
    at: datetime
    actor: str
    policy: str


class Consents:
    """The consents of every car."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def change(self, vehicle: str, purpose: str, given: bool, actor: str, policy: str) -> Consent:
        """Give or withdraw a consent, and note it for the audit log; what stands already is not written again.

        Raise MissingError where there is no such car.
        """
        vehicles = metadata.tables["vehicles"]
        with self._database.transaction(writing=True) as db:
            tenant = db.execute(select(vehicles.c.tenant).where(vehicles.c.id == vehicle)).scalar()
            if tenant is None:
                raise MissingError(f"No vehicle {vehicle!r}.", "List the enrolled ones with `carcloud vehicles`.")
            last = self._last(db, vehicle, purpose)
            if last is not None and last.given == given and last.policy == policy:
                return last
            version = 1 if last is None else last.version + 1
            consent = Consent(vehicle, purpose, version, given, datetime.now(UTC), actor, policy)
            db.execute(insert(consents).values(**vars(consent)))
            facts = {"purpose": purpose, "version": version, "policy": policy}
            action = "giveConsent" if given else "withdrawConsent"
            self._audit.note(db, Entry(actor, action, f"vehicle:{vehicle}", facts=facts, tenant=tenant))
        return consent

    def of(self, vehicle: str) -> list[Consent]:
        """Return every version of a car's consents, the newest first."""
        mine = select(consents).where(consents.c.vehicle == vehicle)
        return [Consent(**row._mapping) for row in self._database.rows(mine.order_by(consents.c.at.desc()))]

    def standing(self, vehicles: Iterable[str] | None = None) -> dict[str, frozenset[str]]:
        """Return the purposes that stand consented to, by car: of these cars, or of all that consented to any."""
        newest = select(consents.c.vehicle, consents.c.purpose, func.max(consents.c.version).label("version"))
        if vehicles is not None:
            newest = newest.where(consents.c.vehicle.in_(list(vehicles)))
        last = newest.group_by(consents.c.vehicle, consents.c.purpose).subquery()
        same: Any = (consents.c.vehicle == last.c.vehicle) & (consents.c.purpose == last.c.purpose)
        query = select(consents.c.vehicle, consents.c.purpose).join(last, same & (consents.c.version == last.c.version))
        found: dict[str, set[str]] = {}
        for row in self._database.rows(query.where(consents.c.given)):
            found.setdefault(row.vehicle, set()).add(row.purpose)
        return {vehicle: frozenset(purposes) for vehicle, purposes in found.items()}

    def _last(self, db: Connection, vehicle: str, purpose: str) -> Consent | None:
        mine = (consents.c.vehicle == vehicle) & (consents.c.purpose == purpose)
        row = db.execute(select(consents).where(mine).order_by(consents.c.version.desc()).limit(1)).first()
        return None if row is None else Consent(**row._mapping)
