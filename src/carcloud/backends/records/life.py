"""States of vehicles: changed one step at a time, with the act noted beside it.

Rules:
* The step is asked of `carcloud.vehicle.life`, and done with what hangs on it in one transaction: certificates end,
  open claims and open orders end, suspicions are settled, the act is noted for the audit log.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from carcloud.backends.records import tables as t
from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.claims import Claim, claims, put, use, withdraw
from carcloud.backends.records.database import Database
from carcloud.backends.records.grants import reset
from carcloud.backends.records.orders import end_open
from carcloud.backends.records.suspicions import settle
from carcloud.backends.records.tables import Certificate, Vehicle
from carcloud.backends.records.tenants import suspended
from carcloud.errors import ConflictError, MissingError
from carcloud.vehicle.life import ADMITTED, STATES, Act, State, after, ends_certificates

IDS_AT_ONCE = 1000
MACHINE = "machine"


class Life:
    """Steps in the lives of vehicles."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def change(self, vehicle: str, act: Act, at: datetime, *entries: Entry) -> Vehicle:
        """Do one act to a vehicle, with all that hangs on it, and note it.

        Raises:
            MissingError: no such vehicle.
            ConflictError: the act cannot be done in its state.
        """
        with self._database.transaction(writing=True) as db:
            changed = step(db, vehicle, act, at)
            orders = (
                end_open(db, vehicle, at, entries[0].actor if entries else MACHINE) if ends_certificates(act) else ()
            )
            self._audit.note(db, *entries, *orders)
        return changed

    def rekey(self, vehicle: str, claim: Claim, by: str, *entries: Entry) -> Vehicle:
        """End a car's certificates, orders and every grant on it; let it join anew with a claim. Raise as `change`."""
        with self._database.transaction(writing=True) as db:
            changed = step(db, vehicle, "rekey", claim.made_at)
            put(db, claim)
            ended = [*reset(db, vehicle, claim.made_at, by), *end_open(db, vehicle, claim.made_at, by)]
            self._audit.note(db, *entries, *ended)
        return changed

    def join(self, claim: Claim, certificate: Certificate, *entries: Entry) -> Vehicle:
        """Use a claim up and record the certificate that was issued for it.

        Raises:
            ConflictError: the claim was used, withdrawn or over when it came to it, or its car is not claimable.
        """
        with self._database.transaction(writing=True) as db:
            if not use(db, claim, certificate.issued_at):
                raise ConflictError("The claim was used already.", "Ask the zone's operator for a new one.")
            changed = step(db, claim.vehicle, "enrol", certificate.issued_at)
            db.execute(insert(t.certificates).values(**vars(certificate)))
            self._audit.note(db, *entries)
        return changed

    def renew(self, serial: str, certificate: Certificate, *entries: Entry) -> Vehicle:
        """Record a certificate that was issued on the strength of another, of this serial, which must still hold.

        Raises:
            ConflictError: the other was revoked, or its vehicle is not active, when it came to it.
        """
        c = t.certificates.c
        with self._database.transaction(writing=True) as db:
            query = select(t.vehicles).join(t.certificates).where(c.serial == serial, c.revoked_at.is_(None))
            row = db.execute(query.with_for_update()).one_or_none()
            if row is None or row.id != certificate.vehicle or row.state != "active":
                raise ConflictError("The certificate that asks does not hold any more.", "Ask the zone's operator.")
            db.execute(insert(t.certificates).values(**vars(certificate)))
            self._audit.note(db, *entries)
        return Vehicle(**row._mapping)

    def counts(self, tenant: str) -> dict[State, int]:
        """Return how many vehicles of a tenant are in each state."""
        many = func.count().label("many")
        query = select(t.vehicles.c.state, many).where(t.vehicles.c.tenant == tenant).group_by(t.vehicles.c.state)
        found = {row.state: int(row.many) for row in self._database.rows(query)}
        return {state: found.get(state, 0) for state in STATES}

    def tenants(self, ids: Collection[str]) -> dict[str, str]:
        """Return whose vehicles of these ids are."""
        wanted, found = sorted(ids), dict[str, str]()
        for first in range(0, len(wanted), IDS_AT_ONCE):
            some = t.vehicles.c.id.in_(wanted[first : first + IDS_AT_ONCE])
            rows = self._database.rows(select(t.vehicles.c.id, t.vehicles.c.tenant).where(some))
            found |= {row.id: row.tenant for row in rows}
        return found

    def outside(self) -> set[str]:
        """Return the ids of all vehicles that may not come in, those of suspended tenants too."""
        out = t.vehicles.c.state.not_in(ADMITTED) | t.vehicles.c.tenant.in_(suspended())
        query = select(t.vehicles.c.id).where(out)
        return {row[0] for row in self._database.rows(query)}

    def ending(self, tenant: str, before: datetime, limit: int) -> list[Certificate]:
        """Return the last certificates of cars that come in, where it ends before a time; the earliest first."""
        c, v = t.certificates.c, t.vehicles.c
        last = func.max(c.not_after)
        query = (
            select(c.vehicle)
            .join(t.vehicles)
            .where(v.tenant == tenant, v.state.in_(ADMITTED), c.revoked_at.is_(None))
            .group_by(c.vehicle)
            .having(last < before)
            .order_by(last)
            .limit(limit)
        )
        names = [row[0] for row in self._database.rows(query)]
        rows = self._database.rows(select(t.certificates).where(c.vehicle.in_(names), c.revoked_at.is_(None)))
        newest: dict[str, Certificate] = {}
        for row in sorted(rows, key=lambda row: row.not_after):
            newest[row.vehicle] = Certificate(**row._mapping)
        return [newest[name] for name in names if name in newest]


def step(db: Connection, vehicle: str, act: Act, at: datetime) -> Vehicle:
    """Do one act to a vehicle within a transaction that writes; raise as `Life.change` does."""
    row = db.execute(select(t.vehicles).where(t.vehicles.c.id == vehicle).with_for_update()).one_or_none()
    if row is None:
        raise MissingError(f"No vehicle {vehicle!r}.", "List the enrolled ones with `carcloud vehicles`.")
    found = Vehicle(**row._mapping)
    state = after(act, found.state)
    db.execute(update(t.vehicles).where(t.vehicles.c.id == vehicle).values(state=state))
    if ends_certificates(act):
        mine = (t.certificates.c.vehicle == vehicle) & t.certificates.c.revoked_at.is_(None)
        db.execute(update(t.certificates).where(mine).values(revoked_at=at))
        withdraw(db, claims.c.vehicle == vehicle, at)
    if act not in ("enrol", "quarantine"):
        settle(db, vehicle, at)
    return Vehicle(found.id, found.tenant, found.vin, found.label, state, found.enrolled_at)
