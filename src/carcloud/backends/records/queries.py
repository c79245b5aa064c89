"""Saved queries: conditions over features that somebody named, with a line that says what they find.

Rules:
* A query of a name is one of a tenant; saving it again changes it. Each change is noted.
* What a query asks was read and checked before it came here; this keeps words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Column, Index, String, Table, Text, delete, func, insert, select

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import ConflictError, MissingError

ACTION = "runResearch"
LIMIT_QUERIES = 1_000
"""Queries that a tenant may save."""
QUERY_LOCK = 0x71756572  # any constant: on PostgreSQL one at a time saves a query

queries = Table(
    "queries",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("text", Text, nullable=False),
    Column("about", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("other", String(64), nullable=False),
    Column("digest", String(32), nullable=False),
    Column("made_by", String(96), nullable=False),
    Column("made_at", Instant, nullable=False),
)
Index("queries_made_at", queries.c.tenant, queries.c.made_at)


@dataclass(frozen=True)
class SavedQuery:
    """A query as it was saved. text: the condition. other: the feature that says whom it is about besides.

    digest: of what it asks.
    """

    tenant: str
    name: str
    text: str
    about: str
    tags: tuple[str, ...]
    other: str
    digest: str
    made_by: str
    made_at: datetime


class Queries:
    """The saved queries of all tenants."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def save(self, query: SavedQuery) -> None:
        """Save a query, in the place of one of its name.

        Raises:
            ConflictError: there are too many.
        """
        mine = queries.c.tenant == query.tenant
        row = vars(query) | {"tags": orjson.dumps(query.tags).decode()}
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, QUERY_LOCK)
            stood = db.execute(delete(queries).where(mine, queries.c.name == query.name)).rowcount
            if db.execute(select(func.count()).select_from(queries).where(mine)).scalar_one() >= LIMIT_QUERIES:
                raise ConflictError(f"{LIMIT_QUERIES} queries are saved already.", "Drop one of them first.")
            db.execute(insert(queries).values(**row))
            self._audit.note(db, _entry(query, "changed" if stood else "saved", query.made_by, query.made_at))

    def get(self, tenant: str, name: str) -> SavedQuery:
        """Return a saved query; raise MissingError."""
        found = self._database.rows(select(queries).where(queries.c.tenant == tenant, queries.c.name == name))
        if not found:
            raise MissingError(f"No query {name[:64]!r} is saved.", "List them: carcloud research queries.")
        return _query(found[0])

    def listed(self, tenant: str) -> list[SavedQuery]:
        """Return a tenant's saved queries by their names."""
        rows = self._database.rows(select(queries).where(queries.c.tenant == tenant).order_by(queries.c.name))
        return [_query(row) for row in rows]

    def drop(self, tenant: str, name: str, actor: str, at: datetime) -> None:
        """Drop a saved query; raise MissingError where there is none."""
        found = self.get(tenant, name)
        with self._database.transaction(writing=True) as db:
            gone = db.execute(delete(queries).where(queries.c.tenant == tenant, queries.c.name == name)).rowcount
            if gone:
                self._audit.note(db, _entry(found, "dropped", actor, at))


def _query(row: Any) -> SavedQuery:
    said = dict(row._mapping)
    return SavedQuery(**said | {"tags": tuple(orjson.loads(said["tags"]))})


def _entry(query: SavedQuery, change: str, actor: str, at: datetime) -> Entry:
    facts = {"change": change, "digest": query.digest}
    return Entry(actor, ACTION, f"query:{query.name}", "done", facts, tenant=query.tenant, at=at)
