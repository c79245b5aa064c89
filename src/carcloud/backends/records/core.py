"""The records: who is enrolled, which certificates hold, what is in quarantine, how far the folds have come.

A port with two backends, chosen by URL: SQLite (`sqlite:////data/records.db`), PostgreSQL (`postgresql://host/name`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Select, delete, func, insert, select
from sqlalchemy import exc as sql_errors

from carcloud.backends.records import tables as t
from carcloud.backends.records.approvals import Approvals
from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.claims import Claim, Claims, put
from carcloud.backends.records.database import Database, Named
from carcloud.backends.records.digest_keys import DigestKeys
from carcloud.backends.records.erasures import Erasures
from carcloud.backends.records.errands import Errands
from carcloud.backends.records.export_files import ExportFiles
from carcloud.backends.records.exports import Exports
from carcloud.backends.records.grants import Grants
from carcloud.backends.records.life import Life
from carcloud.backends.records.orders import Orders
from carcloud.backends.records.passes import Passes
from carcloud.backends.records.people import People
from carcloud.backends.records.plans import Plans
from carcloud.backends.records.pseudonyms import Pseudonyms
from carcloud.backends.records.queries import Queries
from carcloud.backends.records.recordings import Recordings
from carcloud.backends.records.replicas import Replicas
from carcloud.backends.records.requests import Requests
from carcloud.backends.records.runs import Runs
from carcloud.backends.records.suspicions import Suspicions
from carcloud.backends.records.tables import (
    DEFAULT_TENANT,
    Certificate,
    QuarantineEntry,
    Vehicle,
)
from carcloud.backends.records.tenants import Tenants, check_room
from carcloud.backends.records.terminals import Terminals
from carcloud.backends.records.terminals import put as put_terminal
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.vehicle.life import LIVE, State
from carcloud.vehicle.pseudonym import PREFIX, is_pseudonym

LIMIT_QUARANTINE_BYTES = 256 * 1024 * 1024
QUARANTINE_AGE = timedelta(days=7)
ENTRY_OVERHEAD_BYTES = 512
"""What an entry weighs beside its payload, so that a million tiny entries are bounded too."""

ENROLMENT_LOCK = 0x656E726F  # any constant: on PostgreSQL one car at a time is looked for and added


class Records(Database):
    """The records of one zone, open in this process. Open with `Records.open(url)`, give back with `close()`."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.audit = Audit(self)
        self.people, self.passes, self.approvals = People(self), Passes(self), Approvals(self)
        self.claims = Claims(self)
        self.life = Life(self, self.audit)
        self.suspicions = Suspicions(self, self.audit)
        self.grants = Grants(self, self.audit)
        self.exports = Exports(self)
        self.export_files = ExportFiles(self, self.audit)
        self.erasures = Erasures(self, self.audit)
        self.pseudonyms = Pseudonyms(self)
        self.digest_keys = DigestKeys(self)
        self.orders = Orders(self, self.audit)
        self.plans = Plans(self, self.audit)
        self.recordings = Recordings(self, self.audit)
        self.queries = Queries(self, self.audit)
        self.runs = Runs(self, self.audit)
        self.errands = Errands(self, self.audit)
        self.requests = Requests(self, self.audit)
        self.replicas = Replicas(self, self.audit)
        self.tenants = Tenants(self, self.audit)
        self.terminals = Terminals(self, self.audit)

    # vehicles

    def add_vehicle(
        self,
        vehicle: Vehicle,
        certificate: Certificate | None = None,
        claim: Claim | None = None,
        entries: Sequence[Entry] = (),
        terminal: bool = False,
    ) -> None:
        """Enrol a vehicle, with its first certificate or claim and what is noted of it, at once or not at all.

        terminal: let it come in by GB/T 32960.

        Raises:
            InputError: the id could be taken for a pseudonym.
            ConflictError: a vehicle that is claimable, active or quarantined has this id, VIN or label; or the
                tenant is suspended, or may have no further car.
        """
        if is_pseudonym(vehicle.id):
            raise InputError(f"No car's id begins with {PREFIX}.", "Give it another.")
        vin = Named(vehicle.vin, vehicle.tenant)
        same = t.vehicles.c.vin == vin
        if vehicle.label is not None:
            same |= t.vehicles.c.label == vehicle.label
        taken = select(t.vehicles.c.id).where(t.vehicles.c.tenant == vehicle.tenant, t.vehicles.c.state.in_(LIVE), same)
        with self.transaction(writing=True) as db:
            self.alone(db, ENROLMENT_LOCK)
            if db.execute(taken.limit(1)).one_or_none() is not None:
                raise _taken(vehicle)
            check_room(db, vehicle.tenant)
            try:
                db.execute(insert(t.vehicles).values(**vars(vehicle) | {"vin": vin}))
            except sql_errors.IntegrityError:
                raise _taken(vehicle) from None
            if certificate is not None:
                db.execute(insert(t.certificates).values(**vars(certificate)))
            if claim is not None:
                put(db, claim)
            if terminal:
                put_terminal(db, vehicle, vehicle.enrolled_at)
            self.audit.note(db, *entries)

    def vehicle(self, id: str) -> Vehicle:  # noqa: A002
        """Return a vehicle in any state; raise MissingError."""
        return self._one_vehicle(select(t.vehicles).where(t.vehicles.c.id == id), f"No vehicle {id!r}.")

    def vehicle_by_label(self, label: str, tenant: str = DEFAULT_TENANT) -> Vehicle:
        """Return the vehicle of this label that is not revoked or retired; raise MissingError."""
        return self._one_vehicle(_live(tenant).where(t.vehicles.c.label == label), f"No vehicle labelled {label!r}.")

    def vehicle_by_vin(self, vin: str, tenant: str = DEFAULT_TENANT) -> Vehicle:
        """Return the vehicle of this VIN that is not revoked or retired; raise MissingError."""
        mine = _live(tenant).where(t.vehicles.c.vin == Named(vin, tenant))
        return self._one_vehicle(mine, "No vehicle has this VIN.")

    def vehicles(
        self,
        limit: int = 100,
        after: str | None = None,
        state: State | None = None,
        tenant: str | None = None,
        among: Collection[str] | None = None,
    ) -> list[Vehicle]:
        """Return vehicles in the order of their ids, from behind `after`; None: in any state, of any tenant, all."""
        query = select(t.vehicles).order_by(t.vehicles.c.id).limit(limit)
        if after is not None:
            query = query.where(t.vehicles.c.id > after)
        if state is not None:
            query = query.where(t.vehicles.c.state == state)
        if tenant is not None:
            query = query.where(t.vehicles.c.tenant == tenant)
        if among is not None:
            query = query.where(t.vehicles.c.id.in_(list(among)))
        return [Vehicle(**row._mapping) for row in self.rows(query)]

    def count_vehicles(self, state: State = "active") -> int:
        """Return how many vehicles are in this state."""
        return int(self.rows(select(func.count()).where(t.vehicles.c.state == state))[0][0])

    # certificates

    def add_certificate(self, certificate: Certificate, *entries: Entry) -> None:
        """Record a certificate issued to an enrolled vehicle. Raise ConflictError, or MissingError for its vehicle."""
        self.vehicle(certificate.vehicle)
        with self.transaction(writing=True) as db:
            try:
                db.execute(insert(t.certificates).values(**vars(certificate)))
            except sql_errors.IntegrityError:
                do = "Issue a new one; a serial is used once."
                raise ConflictError(f"Certificate {certificate.serial} is recorded already.", do) from None
            self.audit.note(db, *entries)

    def certificate(self, serial: str) -> Certificate:
        """Return a certificate by its serial; raise MissingError."""
        rows = self.rows(select(t.certificates).where(t.certificates.c.serial == serial))
        if not rows:
            raise MissingError(f"No certificate {serial} was issued by this zone.")
        return Certificate(**rows[0]._mapping)

    def standing(self, serial: str) -> tuple[Certificate, Vehicle]:
        """Return a certificate and the vehicle it was issued to, in one look; raise MissingError."""
        both = select(t.certificates, t.vehicles).join(t.vehicles).where(t.certificates.c.serial == serial)
        rows = self.rows(both)
        if not rows:
            raise MissingError(f"No certificate {serial} was issued by this zone.")
        width = len(t.certificates.c)
        return Certificate(*rows[0][:width]), Vehicle(*rows[0][width:])

    def certificates(self, vehicle: str) -> list[Certificate]:
        """Return a vehicle's certificates, the newest first."""
        query = select(t.certificates).where(t.certificates.c.vehicle == vehicle)
        return [Certificate(**row._mapping) for row in self.rows(query.order_by(t.certificates.c.issued_at.desc()))]

    # quarantine

    def put_quarantine(self, entries: Iterable[QuarantineEntry]) -> None:
        """Keep refused payloads; an entry that is there already stays as it is. All at once or none."""
        rows = [vars(entry) | {"detail": _storable(entry.detail)} for entry in entries]
        if rows:
            with self.transaction(writing=True) as db:
                db.execute(self.insert(t.quarantine).on_conflict_do_nothing(), rows)

    def quarantine_entries(
        self, limit: int = 100, cause: str | None = None, vehicle: str | None = None, tenant: str | None = None
    ) -> list[QuarantineEntry]:
        """Return the newest entries first, without their payloads; None: of any tenant."""
        columns = [column for column in t.quarantine.c if column.name != "sealed"]
        query = select(*columns).order_by(t.quarantine.c.at.desc(), t.quarantine.c.id.desc()).limit(limit)
        if cause is not None:
            query = query.where(t.quarantine.c.cause == cause)
        if vehicle is not None:
            query = query.where(t.quarantine.c.vehicle == vehicle)
        if tenant is not None:
            query = query.where(t.quarantine.c.tenant == tenant)
        return [QuarantineEntry(**row._mapping) for row in self.rows(query)]

    def quarantine_entry(self, id: str) -> QuarantineEntry:  # noqa: A002
        """Return one entry with its sealed payload; raise MissingError."""
        rows = self.rows(select(t.quarantine).where(t.quarantine.c.id == id))
        if not rows:
            raise MissingError(f"No quarantine entry {id!r}.", "Entries are kept for 7 days; list them to see which.")
        return QuarantineEntry(**rows[0]._mapping)

    def trim_quarantine(self, now: datetime, limit_bytes: int = LIMIT_QUARANTINE_BYTES) -> int:
        """Drop entries older than 7 days, then the oldest beyond `limit_bytes`. Return how many were dropped."""
        weight = t.quarantine.c.size + ENTRY_OVERHEAD_BYTES
        newest_first = (t.quarantine.c.at.desc(), t.quarantine.c.id.desc())
        kept = select(t.quarantine.c.id, func.sum(weight).over(order_by=newest_first).label("bytes")).subquery()
        surplus = select(kept.c.id).where(kept.c.bytes > limit_bytes)
        with self.transaction(writing=True) as db:
            aged = db.execute(delete(t.quarantine).where(t.quarantine.c.at < now - QUARANTINE_AGE)).rowcount
            return aged + db.execute(delete(t.quarantine).where(t.quarantine.c.id.in_(surplus))).rowcount

    # id tables, positions, meta

    def put_table(self, hash: str, text: str) -> None:  # noqa: A002
        """Keep an id table a car announced, under its hash in hexadecimal."""
        with self.transaction(writing=True) as db:
            db.execute(self.insert(t.id_tables).values(hash=hash, text=text).on_conflict_do_nothing())

    def table(self, hash: str) -> str | None:  # noqa: A002
        """Return the JSON text of an id table, or None."""
        rows = self.rows(select(t.id_tables.c.text).where(t.id_tables.c.hash == hash))
        return rows[0][0] if rows else None

    def tables(self) -> dict[str, str]:
        """Return every id table: hash → JSON text."""
        return {row.hash: row.text for row in self.rows(select(t.id_tables))}

    def set_position(self, name: str, partition: int, position: int) -> None:
        """Record how far a fold has stored its effect; the stream may be purged to the lowest of them."""
        statement = self.insert(t.fold_positions).values(name=name, partition=partition, position=position)
        self.upsert(statement, ["name", "partition"], {"position": position})

    def positions(self) -> dict[tuple[str, int], int]:
        """Return every fold's position: (name, partition) → stream position."""
        return {(row.name, row.partition): row.position for row in self.rows(select(t.fold_positions))}

    def forget_position(self, name: str) -> None:
        """Forget how far a fold came that is no more: the stream waits for it no longer."""
        with self.transaction(writing=True) as db:
            db.execute(delete(t.fold_positions).where(t.fold_positions.c.name == name))

    def put_meta(self, key: str, text: str) -> None:
        """Record a setting of the zone."""
        self.upsert(self.insert(t.meta).values(key=key, text=text), ["key"], {"text": text})

    def get_meta(self, key: str) -> str | None:
        """Return a setting of the zone, or None."""
        rows = self.rows(select(t.meta.c.text).where(t.meta.c.key == key))
        return rows[0][0] if rows else None

    def _one_vehicle(self, query: Select[Any], missing: str) -> Vehicle:
        rows = self.rows(query)
        if not rows:
            raise MissingError(missing, "List the enrolled ones with `carcloud vehicles`.")
        return Vehicle(**rows[0]._mapping)


def _live(tenant: str) -> Select[Any]:
    return select(t.vehicles).where(t.vehicles.c.tenant == tenant, t.vehicles.c.state.in_(LIVE))


def _taken(vehicle: Vehicle) -> ConflictError:
    name = f" or label {vehicle.label!r}" if vehicle.label is not None else ""
    message = f"A vehicle with this VIN{name} is enrolled already."
    return ConflictError(message, "Revoke that one first (`carcloud revoke VEHICLE`), or give another.")


def _storable(detail: str) -> str:
    """Replace what a database refuses in a text: NUL and lone surrogates."""
    return detail.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")
