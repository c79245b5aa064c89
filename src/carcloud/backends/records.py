"""The records: who is enrolled, which certificates hold, what is in quarantine, how far the folds have come.

A port with two backends, chosen by URL: SQLite (`sqlite:////data/records.db`), PostgreSQL (`postgresql://host/name`).

Rules:
* What a method has returned from is on disk: SQLite runs in WAL with synchronous FULL.
* Any thread and any number of processes may use the same records at once.
* A database that is locked, away or full raises TryLaterError; a stale schema is never guessed at.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    Row,
    Select,
    Table,
    create_engine,
    delete,
    event,
    func,
    insert,
    make_url,
    select,
    update,
)
from sqlalchemy import exc as sql_errors
from sqlalchemy.dialects import postgresql, sqlite

from carcloud.backends import records_tables as t
from carcloud.backends.records_tables import (
    DEFAULT_TENANT,
    SCHEMA_VERSION,
    Certificate,
    QuarantineEntry,
    State,
    Vehicle,
    quarantine_id,
)
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, TryLaterError

__all__ = ["DEFAULT_TENANT", "Certificate", "QuarantineEntry", "Records", "State", "Vehicle", "quarantine_id"]

LIMIT_QUARANTINE_BYTES = 256 * 1024 * 1024
QUARANTINE_AGE = timedelta(days=7)
ENTRY_OVERHEAD_BYTES = 512
"""What an entry weighs beside its payload, so that a million tiny entries are bounded too."""

BUSY_TIMEOUT_S = 5
SCHEMA_LOCK = 0x636172  # any constant: the advisory lock under which PostgreSQL's schema is made


class Records:
    """The records of one zone, open in this process. Open with `Records.open(url)`, give back with `close()`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(writing=True)
        self._insert: Callable[[Table], Any] = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    @classmethod
    def open(cls, url: str) -> Records:
        """Open the records and create their schema where there is none.

        Raises:
            InputError: the URL names no database of ours.
            ConflictError: the schema was written by a newer carcloud.
            TryLaterError: the database is locked or away.
        """
        engine = _engine(url)
        records = cls(engine)
        try:
            records._prepare_schema()
        except sql_errors.DatabaseError as error:
            engine.dispose()
            raise InputError(f"These are no records: {_reason(error)}.", "Give another file or database.") from None
        except CarcloudError:
            engine.dispose()
            raise
        return records

    def close(self) -> None:
        """Give back every connection."""
        self._engine.dispose()

    # vehicles

    def add_vehicle(self, vehicle: Vehicle, certificate: Certificate | None = None) -> None:
        """Enrol a vehicle, with its first certificate, at once or not at all.

        Raises:
            ConflictError: an active vehicle has this id, VIN or label.
        """
        with self._transaction(writing=True) as db:
            try:
                db.execute(insert(t.vehicles).values(**vars(vehicle)))
            except sql_errors.IntegrityError:
                raise _taken(vehicle) from None
            if certificate is not None:
                db.execute(insert(t.certificates).values(**vars(certificate)))

    def vehicle(self, id: str) -> Vehicle:  # noqa: A002
        """Return a vehicle in any state; raise MissingError."""
        return self._one_vehicle(select(t.vehicles).where(t.vehicles.c.id == id), f"No vehicle {id!r}.")

    def vehicle_by_label(self, label: str, tenant: str = DEFAULT_TENANT) -> Vehicle:
        """Return the active vehicle of this label; raise MissingError."""
        return self._one_vehicle(_active(tenant).where(t.vehicles.c.label == label), f"No vehicle labelled {label!r}.")

    def vehicle_by_vin(self, vin: str, tenant: str = DEFAULT_TENANT) -> Vehicle:
        """Return the active vehicle of this VIN; raise MissingError."""
        return self._one_vehicle(_active(tenant).where(t.vehicles.c.vin == vin), "No vehicle has this VIN.")

    def vehicles(self, limit: int = 100, after: str | None = None, state: State | None = None) -> list[Vehicle]:
        """Return vehicles in the order of their ids, from behind `after`."""
        query = select(t.vehicles).order_by(t.vehicles.c.id).limit(limit)
        if after is not None:
            query = query.where(t.vehicles.c.id > after)
        if state is not None:
            query = query.where(t.vehicles.c.state == state)
        return [Vehicle(**row._mapping) for row in self._all(query)]

    def count_vehicles(self, state: State = "active") -> int:
        """Return how many vehicles are in this state."""
        return int(self._all(select(func.count()).where(t.vehicles.c.state == state))[0][0])

    def revoke_vehicle(self, id: str, at: datetime) -> Vehicle:  # noqa: A002
        """Revoke a vehicle and all its certificates; revoking twice changes nothing. Raise MissingError."""
        mine = (t.certificates.c.vehicle == id) & t.certificates.c.revoked_at.is_(None)
        with self._transaction(writing=True) as db:
            db.execute(update(t.vehicles).where(t.vehicles.c.id == id).values(state="revoked"))
            db.execute(update(t.certificates).where(mine).values(revoked_at=at))
        return self.vehicle(id)

    # certificates

    def add_certificate(self, certificate: Certificate) -> None:
        """Record a certificate issued to an enrolled vehicle. Raise ConflictError, or MissingError for its vehicle."""
        self.vehicle(certificate.vehicle)
        with self._transaction(writing=True) as db:
            try:
                db.execute(insert(t.certificates).values(**vars(certificate)))
            except sql_errors.IntegrityError:
                do = "Issue a new one; a serial is used once."
                raise ConflictError(f"Certificate {certificate.serial} is recorded already.", do) from None

    def certificate(self, serial: str) -> Certificate:
        """Return a certificate by its serial; raise MissingError."""
        rows = self._all(select(t.certificates).where(t.certificates.c.serial == serial))
        if not rows:
            raise MissingError(f"No certificate {serial} was issued by this zone.")
        return Certificate(**rows[0]._mapping)

    def standing(self, serial: str) -> tuple[Certificate, Vehicle]:
        """Return a certificate and the vehicle it was issued to, in one look; raise MissingError."""
        both = select(t.certificates, t.vehicles).join(t.vehicles).where(t.certificates.c.serial == serial)
        rows = self._all(both)
        if not rows:
            raise MissingError(f"No certificate {serial} was issued by this zone.")
        width = len(t.certificates.c)
        return Certificate(*rows[0][:width]), Vehicle(*rows[0][width:])

    def certificates(self, vehicle: str) -> list[Certificate]:
        """Return a vehicle's certificates, the newest first."""
        query = select(t.certificates).where(t.certificates.c.vehicle == vehicle)
        return [Certificate(**row._mapping) for row in self._all(query.order_by(t.certificates.c.issued_at.desc()))]

    # quarantine

    def put_quarantine(self, entries: Iterable[QuarantineEntry]) -> None:
        """Keep refused payloads; an entry that is there already stays as it is. All at once or none."""
        rows = [vars(entry) | {"detail": _storable(entry.detail)} for entry in entries]
        if rows:
            with self._transaction(writing=True) as db:
                db.execute(self._insert(t.quarantine).on_conflict_do_nothing(), rows)

    def quarantine_entries(self, limit: int = 100, cause: str | None = None) -> list[QuarantineEntry]:
        """Return the newest entries first, without their payloads."""
        columns = [column for column in t.quarantine.c if column.name != "sealed"]
        query = select(*columns).order_by(t.quarantine.c.at.desc(), t.quarantine.c.id.desc()).limit(limit)
        if cause is not None:
            query = query.where(t.quarantine.c.cause == cause)
        return [QuarantineEntry(**row._mapping) for row in self._all(query)]

    def quarantine_entry(self, id: str) -> QuarantineEntry:  # noqa: A002
        """Return one entry with its sealed payload; raise MissingError."""
        rows = self._all(select(t.quarantine).where(t.quarantine.c.id == id))
        if not rows:
            raise MissingError(f"No quarantine entry {id!r}.", "Entries are kept for 7 days; list them to see which.")
        return QuarantineEntry(**rows[0]._mapping)

    def trim_quarantine(self, now: datetime, limit_bytes: int = LIMIT_QUARANTINE_BYTES) -> int:
        """Drop entries older than 7 days, then the oldest beyond `limit_bytes`. Return how many were dropped."""
        weight = t.quarantine.c.size + ENTRY_OVERHEAD_BYTES
        newest_first = (t.quarantine.c.at.desc(), t.quarantine.c.id.desc())
        kept = select(t.quarantine.c.id, func.sum(weight).over(order_by=newest_first).label("bytes")).subquery()
        surplus = select(kept.c.id).where(kept.c.bytes > limit_bytes)
        with self._transaction(writing=True) as db:
            aged = db.execute(delete(t.quarantine).where(t.quarantine.c.at < now - QUARANTINE_AGE)).rowcount
            return aged + db.execute(delete(t.quarantine).where(t.quarantine.c.id.in_(surplus))).rowcount

    # id tables, positions, meta

    def put_table(self, hash: str, text: str) -> None:  # noqa: A002
        """Keep an id table a car announced, under its hash in hexadecimal."""
        with self._transaction(writing=True) as db:
            db.execute(self._insert(t.id_tables).values(hash=hash, text=text).on_conflict_do_nothing())

    def table(self, hash: str) -> str | None:  # noqa: A002
        """Return the JSON text of an id table, or None."""
        rows = self._all(select(t.id_tables.c.text).where(t.id_tables.c.hash == hash))
        return rows[0][0] if rows else None

    def tables(self) -> dict[str, str]:
        """Return every id table: hash → JSON text."""
        return {row.hash: row.text for row in self._all(select(t.id_tables))}

    def set_position(self, name: str, partition: int, position: int) -> None:
        """Record how far a fold has stored its effect; the stream may be purged to the lowest of them."""
        statement = self._insert(t.fold_positions).values(name=name, partition=partition, position=position)
        self._upsert(statement, ["name", "partition"], {"position": position})

    def positions(self) -> dict[tuple[str, int], int]:
        """Return every fold's position: (name, partition) → stream position."""
        return {(row.name, row.partition): row.position for row in self._all(select(t.fold_positions))}

    def put_meta(self, key: str, text: str) -> None:
        """Record a setting of the zone."""
        self._upsert(self._insert(t.meta).values(key=key, text=text), ["key"], {"text": text})

    def get_meta(self, key: str) -> str | None:
        """Return a setting of the zone, or None."""
        rows = self._all(select(t.meta.c.text).where(t.meta.c.key == key))
        return rows[0][0] if rows else None

    # the database

    def _upsert(self, statement: Any, key: list[str], changes: dict[str, object]) -> None:
        with self._transaction(writing=True) as db:
            db.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))

    def _one_vehicle(self, query: Select[Any], missing: str) -> Vehicle:
        rows = self._all(query)
        if not rows:
            raise MissingError(missing, "List the enrolled ones with `carcloud vehicles`.")
        return Vehicle(**rows[0]._mapping)

    def _all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self._transaction() as db:
            return db.execute(query).all()

    @contextmanager
    def _transaction(self, *, writing: bool = False) -> Iterator[Connection]:
        try:
            with (self._writing if writing else self._engine).begin() as db:
                yield db
        except sql_errors.IntegrityError as error:
            raise ConflictError(f"The records hold this already: {_reason(error)}.") from None
        except (sql_errors.OperationalError, sql_errors.InterfaceError, sql_errors.TimeoutError) as error:
            do = "Try again; if it stays so, see that the database runs and its disk has space."
            raise TryLaterError(f"The records cannot be reached: {_reason(error)}.", do) from error

    def _prepare_schema(self) -> None:
        with self._transaction(writing=True) as db:
            if db.dialect.name == "postgresql":
                db.execute(select(func.pg_advisory_xact_lock(SCHEMA_LOCK)))
            t.schema_version.create(db, checkfirst=True)
            found = db.execute(select(t.schema_version.c.version)).scalar()
            if found is not None and found > SCHEMA_VERSION:
                message = f"The records have schema {found}; this carcloud knows schemas up to {SCHEMA_VERSION}."
                raise ConflictError(message, "Update carcloud, or restore the backup made before the update.")
            t.metadata.create_all(db)
            if found is None:
                db.execute(insert(t.schema_version).values(version=SCHEMA_VERSION))


def _active(tenant: str) -> Select[Any]:
    return select(t.vehicles).where(t.vehicles.c.tenant == tenant, t.vehicles.c.state == "active")


def _taken(vehicle: Vehicle) -> ConflictError:
    name = f" or label {vehicle.label!r}" if vehicle.label is not None else ""
    message = f"A vehicle with this VIN{name} is enrolled already."
    return ConflictError(message, "Revoke that one first (`carcloud revoke VEHICLE`), or give another.")


def _storable(detail: str) -> str:
    """Replace what a database refuses in a text: NUL and lone surrogates."""
    return detail.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


def _reason(error: sql_errors.SQLAlchemyError) -> str:
    original = getattr(error, "orig", None)
    return str(original if original is not None else error).strip().splitlines()[0].rstrip(".")


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
    except sql_errors.ArgumentError:
        raise _not_ours() from None
    if parsed.drivername == "sqlite" and parsed.database:
        return _sqlite(Path(parsed.database))
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        return _postgresql(url)
    raise _not_ours()


def _not_ours() -> InputError:
    do = "Use sqlite:////absolute/path/records.db or postgresql://user:password@host/name."
    return InputError("The records' URL names neither an SQLite file nor a PostgreSQL database.", do)


def _sqlite(path: Path) -> Engine:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise InputError(f"Cannot open {path}: {error.strerror}.", "Give a file in a folder you may write.") from None
    engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _configure_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself: _begin_sqlite does
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(db: Connection) -> None:
    # A reader that turns writer is refused at once; so a writer takes the lock when it begins, and waits for it.
    db.exec_driver_sql("BEGIN IMMEDIATE" if db.get_execution_options().get("writing") else "BEGIN")


def _postgresql(url: str) -> Engine:
    limits = f"-c statement_timeout={2000 * BUSY_TIMEOUT_S} -c lock_timeout={1000 * BUSY_TIMEOUT_S}"
    try:
        return create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            connect_args={"connect_timeout": BUSY_TIMEOUT_S, "options": limits},
            pool_pre_ping=True,
        )
    except ModuleNotFoundError:
        raise InputError("PostgreSQL needs its driver.", "Install it: pip install 'carcloud[postgres]'.") from None
