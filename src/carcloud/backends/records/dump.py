"""The records as lines of JSON: one form for every database, taken from a running zone in one look.

Rules:
* All tables are read in one transaction that sees a single state of the database: SQLite's read transaction,
  PostgreSQL's REPEATABLE READ. Nobody who writes waits for it.
* What is sealed stays sealed, and instants stay integers: rows are what lies in the database.
* Who is signed in, and with which link one may, is left out: after a restore people sign in anew.

Source: sqlite.org/isolation; PostgreSQL manual, "Repeatable Read Isolation Level".
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import orjson
from sqlalchemy import BigInteger, Column, Connection, Date, MetaData, String, Table, delete, func, insert, select, text
from sqlalchemy.types import TypeDecorator

from carcloud.backends.records import audit as _audit
from carcloud.backends.records.database import SCHEMA_VERSION, Database, Instant, Sealed, metadata, schema_version
from carcloud.errors import ConflictError, InputError

FORMAT = 1
LEFT_OUT = frozenset({"schema_version", "sessions", "sign_in_links", "sign_ins_begun", "sign_in_attempts"})
ROWS_AT_ONCE = 500
BYTES = "base64"


class Snapshot:
    """One state of the records."""

    def __init__(self, db: Connection) -> None:
        self._db = db

    def leaves(self) -> int:
        """Return how many leaves of the audit log the index knows."""
        return _audit._size(self._db)

    def lines(self) -> Iterator[bytes]:
        """Yield the records: a head; each table's name and columns, and its rows; and how many rows there were."""
        yield _line({"format": FORMAT, "schema": SCHEMA_VERSION, "next": _sequences(self._db)})
        count = 0
        for table in _tables():
            yield _line({"table": str(table.name), "columns": [str(column.name) for column in table.c]})
            for row in self._db.execution_options(yield_per=ROWS_AT_ONCE).execute(select(table)):
                yield _line(list(row))
                count += 1
        yield _line({"rows": count})


@contextmanager
def snapshot(database: Database) -> Iterator[Snapshot]:
    """See one state of the records for a while; raise TryLaterError where they are away."""
    with database.looking() as db:
        yield Snapshot(db)


def check_empty(database: Database) -> None:
    """Raise ConflictError where the records hold something."""
    with database.transaction() as db:
        _check_empty(db)


def load(database: Database, lines: Iterable[bytes]) -> int:
    """Put dumped rows into records that are empty, all or none; return how many.

    Raises:
        ConflictError: the records hold something already.
        InputError: the lines are no records, end too early, or are of another schema.
    """
    with database.transaction(writing=True) as db:
        _check_empty(db)
        try:
            return _load(db, iter(lines))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"These are no records of a backup: {type(error).__name__}.") from None


def clear(database: Database) -> None:
    """Delete all rows of all our tables, and have the database overwrite them."""
    with database.transaction(writing=True) as db:
        for table in reversed(metadata.sorted_tables):
            if table is not schema_version:
                db.execute(delete(table))
    database.clean()


def _check_empty(db: Connection) -> None:
    for table in _tables():
        if db.execute(select(func.count()).select_from(table)).scalar():
            raise ConflictError("The records are not empty.", "Give an empty database in the configuration.")


def _load(db: Connection, lines: Iterator[bytes]) -> int:
    head = orjson.loads(next(lines, b""))
    if (head["format"], head["schema"]) != (FORMAT, SCHEMA_VERSION):
        do = "Restore with the carcloud that took the backup."
        raise InputError(f"The backup's records have schema {head['schema']}, this carcloud's {SCHEMA_VERSION}.", do)
    tables, count = {str(table.name): table for table in _tables()}, 0
    table, columns, rows = Table("none", MetaData()), list[str](), list[dict[str, Any]]()

    def put() -> None:
        if rows:
            db.execute(insert(table), rows)
            rows.clear()

    for line in lines:
        said = orjson.loads(line)
        if isinstance(said, list):
            rows.append(dict(zip(columns, map(_value, said), strict=True)))
            count += 1
            if len(rows) == ROWS_AT_ONCE:
                put()
            continue
        put()
        if "rows" in said:
            if said["rows"] != count:
                break
            _go_on(db, head["next"])
            return count
        table, columns = tables[said["table"]], said["columns"]
    raise InputError("The backup's records end too early.", "Take another backup.")


def _tables() -> list[Table]:
    """Return our tables with plain columns, those that others point at first."""
    plain = MetaData()
    return [
        Table(table.name, plain, *(Column(column.name, _plain(column.type)) for column in table.c))
        for table in metadata.sorted_tables
        if table.name not in LEFT_OUT and table is not schema_version
    ]


class _Day(TypeDecorator[str]):
    """A day as it is written."""

    impl = Date
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> date | None:
        """Turn a text into a day."""
        return None if value is None else date.fromisoformat(value)

    def process_result_value(self, value: date | None, dialect: Any) -> str | None:
        """Turn a day into a text."""
        return None if value is None else value.isoformat()


def _plain(kind: Any) -> Any:
    if isinstance(kind, Date):
        return _Day()
    if isinstance(kind, Instant):
        return BigInteger()
    return String() if isinstance(kind, Sealed) else kind


def _counting() -> Iterator[tuple[str, str]]:
    """Yield (table, column) of each column whose numbers the database gives out."""
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is not None and column.autoincrement is True:
            yield str(table.name), str(column.name)


def _sequences(db: Connection) -> dict[str, int]:
    """Return the last number given out by each: a number is never given twice."""
    found = {}
    for table, column in _counting():
        if db.dialect.name == "sqlite":
            known = db.execute(text("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'")).scalar()
            query = text("SELECT seq FROM sqlite_sequence WHERE name = :name")
            last = db.execute(query, {"name": table}).scalar() if known else None
        else:
            name = db.execute(text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": table, "c": column}).scalar()
            query = text(f"SELECT CASE WHEN is_called THEN last_value END FROM {name}")  # noqa: S608 (our own names)
            last = db.execute(query).scalar()
        found[table] = int(last or 0)
    return found


def _go_on(db: Connection, last: dict[str, int]) -> None:
    for table, column in _counting():
        number = last.get(table, 0)
        if db.dialect.name != "sqlite":
            name = db.execute(text("SELECT pg_get_serial_sequence(:t, :c)"), {"t": table, "c": column}).scalar()
            highest = db.execute(text(f"SELECT max({column}) FROM {table}")).scalar() or 0  # noqa: S608 (our own names)
            if highest := max(highest, number):
                db.execute(text("SELECT setval(:s, :n)"), {"s": name, "n": highest})
        elif metadata.tables[table].dialect_options["sqlite"]["autoincrement"]:
            db.execute(text("DELETE FROM sqlite_sequence WHERE name = :t"), {"t": table})
            db.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:t, :n)"), {"t": table, "n": number})


def _line(said: object) -> bytes:
    return orjson.dumps(said, default=_packed) + b"\n"


def _packed(value: Any) -> dict[str, str]:
    if isinstance(value, (bytes, memoryview)):
        return {BYTES: base64.b64encode(value).decode()}
    raise TypeError(f"{type(value).__name__} is no value of the records")


def _value(value: Any) -> Any:
    return base64.b64decode(value[BYTES]) if isinstance(value, dict) else value
