"""The database under the records: SQLite or PostgreSQL, chosen by URL, and the schema all tables register in.

Rules:
* What a method has returned from is on disk: SQLite runs in WAL with synchronous FULL.
* Any thread and any number of processes may use the same records at once.
* A database that is locked, away or full raises TryLaterError; a stale schema is never guessed at.
* Instants are kept as integer microseconds since 1970 UTC and seen as aware UTC datetimes: the same in every database.
  One before 1970 or after 2199 is refused; one that lies there all the same is read as the nearest that is not.
* When a table changes, `SCHEMA_VERSION` rises and `_prepare_schema` says how old records are brought up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol, Self

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    Row,
    Select,
    Table,
    Text,
    create_engine,
    event,
    func,
    insert,
    make_url,
    select,
    text,
    update,
)
from sqlalchemy import exc as sql_errors
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator

from carcloud.errors import CarcloudError, ConflictError, InputError, TryLaterError

SCHEMA_VERSION = 2
"""1: vehicles, certificates, quarantine, id tables, positions. 2: tables were added, and VINs are sealed."""

BUSY_TIMEOUT_S = 5
SCHEMA_LOCK = 0x636172  # any constant: the advisory lock under which PostgreSQL's schema is made

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)
"""Instants lie from 1970 to this one: far from where a calendar ends, so that they can be reckoned with."""
_LATEST_US = (LATEST - _EPOCH) // _MICROSECOND


def instant(at: datetime) -> datetime:
    """Return an aware datetime in UTC, as the records can keep it.

    Raises:
        InputError: it is before 1970 or after 2199.
    """
    return _EPOCH + _microseconds(at) * _MICROSECOND


def _microseconds(at: datetime) -> int:
    found = (at - _EPOCH) // _MICROSECOND
    if not 0 <= found <= _LATEST_US:
        raise InputError("A date is before 1970 or after 2199.", "Give one between the two, in UTC.")
    return found


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as integer microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> int | None:
        """Turn an aware datetime into microseconds; raise InputError for one that nobody could reckon with."""
        return None if value is None else _microseconds(value)

    def process_result_value(self, value: int | None, dialect: Any) -> datetime | None:
        """Turn microseconds into an aware UTC datetime."""
        return None if value is None else _EPOCH + min(max(value, 0), _LATEST_US) * _MICROSECOND


class Vault(Protocol):
    """What keeps a column's texts closed to whoever has the database and not the key.

    The same text is always sealed to the same one, so that the database can still look for it.
    """

    def seal(self, text: str, tenant: str | None = None) -> str:
        """Return the text sealed, under the tenant's own key where one is named."""

    def open(self, sealed: str) -> str:
        """Return the text; raise ConflictError where another key sealed it."""


class Named(str):
    """A text of a tenant, which is sealed under the tenant's own key."""

    tenant: str

    def __new__(cls, text: str, tenant: str) -> Self:
        """Make it of a text and whose it is."""
        made = super().__new__(cls, text)
        made.tenant = tenant
        return made


class Sealed(TypeDecorator[str]):
    """A text that lies sealed in the database, by the vault the records were opened with; as it is where by none."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Seal a text."""
        if value is None or dialect.vault is None:
            return None if value is None else str(value)
        sealed: str = dialect.vault.seal(str(value), value.tenant if isinstance(value, Named) else None)
        return sealed

    def process_result_value(self, value: str | None, dialect: Any) -> str | None:
        """Open a text."""
        return value if value is None or dialect.vault is None else dialect.vault.open(value)


metadata = MetaData()

schema_version = Table("schema_version", metadata, Column("version", Integer, nullable=False))


class Database:
    """A database open in this process. Open with `open(url)`, give back with `close()`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = engine.execution_options(writing=True)
        self.insert: Callable[[Table], Any] = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    @property
    def kind(self) -> str:
        """Return which database it is: sqlite or postgresql."""
        return self._engine.dialect.name

    @classmethod
    def open(cls, url: str, vault: Vault | None = None) -> Self:
        """Open the records and create their schema where there is none. `vault` seals what names people and cars.

        Raises:
            InputError: the URL names no database of ours.
            ConflictError: the schema was written by a newer carcloud.
            TryLaterError: the database is locked or away.
        """
        engine = _engine(url)
        engine.dialect.vault = vault  # type: ignore[attr-defined]
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

    def upsert(self, statement: Any, key: list[str], changes: dict[str, object]) -> None:
        """Insert a row, or change the one of this key."""
        with self.transaction(writing=True) as db:
            db.execute(statement.on_conflict_do_update(index_elements=key, set_=changes))

    def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """Return all rows of a query."""
        with self.transaction() as db:
            return db.execute(query).all()

    @contextmanager
    def transaction(self, *, writing: bool = False) -> Iterator[Connection]:
        """Do several things at once or not at all; what a writing one did is on disk when it ends.

        Raises:
            ConflictError: the records hold it already.
            InputError: the database cannot hold what is given, such as NUL in a text.
            TryLaterError: the database is locked, away or full.
        """
        with self._reached(), (self._writing if writing else self._engine).begin() as db:
            yield db

    @contextmanager
    def _reached(self) -> Iterator[None]:
        """Turn the vendor's errors into ours."""
        try:
            yield
        except sql_errors.IntegrityError as error:
            raise ConflictError(f"The records hold this already: {_reason(error)}.") from None
        except sql_errors.DataError as error:
            raise InputError(f"The records cannot hold this: {_reason(error)}.", "Send plain text.") from None
        except (sql_errors.OperationalError, sql_errors.InterfaceError, sql_errors.TimeoutError) as error:
            do = "Try again; if it stays so, see that the database runs and its disk has space."
            raise TryLaterError(f"The records cannot be reached: {_reason(error)}.", do) from error
        except sql_errors.StatementError as error:
            if isinstance(error.orig, CarcloudError):  # a value that a column refuses
                raise error.orig from None
            raise

    @contextmanager
    def looking(self) -> Iterator[Connection]:
        """See a single state of the database, however long it takes; raise TryLaterError where it is away."""
        repeatable = self._engine.dialect.name == "postgresql"
        options = {"isolation_level": "REPEATABLE READ"} if repeatable else {}
        with self._reached(), self._engine.connect().execution_options(**options) as db, db.begin():
            yield db

    def alone(self, db: Connection, lock: int) -> None:
        """Let one writing transaction at a time go on from here, until it ends. SQLite's writers are alone anyway."""
        if db.dialect.name == "postgresql":
            db.execute(select(func.pg_advisory_xact_lock(lock)))

    def clean(self) -> bool:
        """Have the database overwrite what was deleted; tell whether it could, which a reader may hold up."""
        with self._reached(), self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            if db.dialect.name != "sqlite":
                db.exec_driver_sql("VACUUM")
                return True
            busy, _, _ = db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
            return not busy

    def _prepare_schema(self) -> None:
        with self.transaction(writing=True) as db:
            self.alone(db, SCHEMA_LOCK)
            schema_version.create(db, checkfirst=True)
            found = db.execute(select(schema_version.c.version)).scalar()
            if found is not None and found > SCHEMA_VERSION:
                message = f"The records have schema {found}; this carcloud knows schemas up to {SCHEMA_VERSION}."
                raise ConflictError(message, "Update carcloud, or restore the backup made before the update.")
            metadata.create_all(db)
            if found is None:
                db.execute(insert(schema_version).values(version=SCHEMA_VERSION))
            elif found < SCHEMA_VERSION:
                _seal_vins(db)
                db.execute(update(schema_version).values(version=SCHEMA_VERSION))


def _seal_vins(db: Connection) -> None:
    """Bring records of schema 1 up, whose VINs lay open."""
    if db.dialect.name == "postgresql":
        db.execute(text("ALTER TABLE vehicles ALTER COLUMN vin TYPE TEXT"))
    vehicles = metadata.tables["vehicles"]
    for id_, tenant, vin in db.execute(text("SELECT id, tenant, vin FROM vehicles")).all():
        db.execute(update(vehicles).where(vehicles.c.id == id_).values(vin=Named(vin, tenant)))


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
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
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
