"""What is still to be written into the audit log, noted with the act itself: neither is without the other.

Rules:
* Whoever acts notes it in the same transaction (`note`), or, where the records hold no part of the act, before it
  counts as done (`add`).
* `facts` go into the log as they are: no personal datum belongs there. `details` may be personal: the log holds only a
  salted hash of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, Text, insert

from carcloud.backends.records.database import Database, Instant, metadata

Outcome = Literal["allowed", "denied", "done", "failed"]

pending = Table(
    "audit_pending",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("at", Instant, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("actor", String(96), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(160), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("facts", Text, nullable=False),
    Column("details", Text),
    sqlite_autoincrement=True,
)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Entry:
    """One act, as the audit log will hold it.

    actor: who did it: `person:ID`, `token:ID`, `vehicle:ID`, `process:NAME`, or `machine` for whoever uses the command
        line beside the zone.
    action: what, as a word of the policies, such as `revokeVehicle`. object: on what, such as `vehicle:ID`.
    """

    actor: str
    action: str
    object: str
    outcome: Outcome = "done"
    facts: Mapping[str, Any] = field(default_factory=dict)
    details: Mapping[str, Any] | None = None
    tenant: str = "default"
    at: datetime = field(default_factory=_now)


class Audit:
    """The acts that wait to be written into the log."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, *entries: Entry) -> None:
        """Note acts that the records hold no other part of."""
        with self._database.transaction(writing=True) as db:
            self.note(db, *entries)

    def note(self, db: Connection, *entries: Entry) -> None:
        """Note acts within the transaction that does them."""
        if entries:
            db.execute(insert(pending), [_row(entry) for entry in entries])


def _row(entry: Entry) -> dict[str, Any]:
    details = None if entry.details is None else orjson.dumps(entry.details).decode()
    return vars(entry) | {"facts": orjson.dumps(entry.facts).decode(), "details": details}
