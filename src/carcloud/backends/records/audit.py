"""What is still to be written into the audit log, noted with the act itself: neither is without the other; and where
in the log each act stands.

Rules:
* Whoever acts notes it in the same transaction (`note`), or, where the records hold no part of the act, before it
  counts as done (`add`).
* `facts` go into the log as they are: no personal datum belongs there. `details` may be personal: the log holds only a
  salted hash of them, so that they can be erased and the leaf stays provable.
* The log's process alone settles: index, details, the fold's position and what waits no more, at once or not at all.
* Acts have a row each. Receipts of chunks, ten a second, have one for many: chunks in a row on leaves in a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)

from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.tables import fold_positions
from carcloud.errors import InputError

Outcome = Literal["allowed", "denied", "done", "failed"]
FOLD = "audit"
LIMITS = {"tenant": 64, "actor": 96, "action": 64, "object": 160, "outcome": 16}
LIMIT_FACTS_BYTES = 60_000
"""A leaf has at most 65,535 bytes; what is beside the facts takes less than 5,535, however it is written."""

LIMIT_DETAILS_BYTES = 256 * 1024

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

leaves = Table(
    "audit_leaves",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", Instant, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("actor", String(96), nullable=False),
    Column("action", String(64), nullable=False),
    Column("object", String(160), nullable=False),
    Column("outcome", String(16), nullable=False),
)
for _name in ("actor", "action", "object"):
    Index(f"audit_leaves_{_name}", leaves.c[_name], leaves.c.number)

details = Table(
    "audit_details",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("salt", LargeBinary, nullable=False),
    Column("details", Text, nullable=False),
)

chunks = Table(
    "audit_chunks",
    metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("chunk", BigInteger, nullable=False, index=True),
    Column("count", BigInteger, nullable=False),
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


@dataclass(frozen=True)
class Pending:
    """An act that waits. `facts` and `details` are JSON."""

    id: int
    at: datetime
    tenant: str
    actor: str
    action: str
    object: str
    outcome: str
    facts: str
    details: str | None


@dataclass(frozen=True)
class Leaf:
    """Where an act stands in the log, and what one may look for."""

    number: int
    at: datetime
    tenant: str
    actor: str
    action: str
    object: str
    outcome: str


@dataclass(frozen=True)
class Details:
    """What an act's leaf holds the salted hash of; `text` is JSON."""

    number: int
    salt: bytes
    text: str


@dataclass(frozen=True)
class Run:
    """Receipts of chunks in a row, on leaves in a row: the first leaf, the first chunk, and how many."""

    number: int
    chunk: int
    count: int


@dataclass(frozen=True)
class Wanted:
    """Which acts are looked for: each word that is given must be the act's, and `since` <= at < `until`."""

    tenant: str | None = None
    actor: str | None = None
    action: str | None = None
    object: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None


class Audit:
    """The acts that wait to be written into the log, and the index of those that are in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, *entries: Entry) -> None:
        """Note acts that the records hold no other part of. Raise InputError where one is too long for the log."""
        with self._database.transaction(writing=True) as db:
            self.note(db, *entries)

    def note(self, db: Connection, *entries: Entry) -> None:
        """Note acts within the transaction that does them. Raise InputError where one is too long for the log."""
        if entries:
            db.execute(insert(pending), [_row(entry) for entry in entries])

    # for the log's process

    def pending(self, limit: int) -> list[Pending]:
        """Return the acts that wait, the oldest first."""
        query = select(pending).order_by(pending.c.id).limit(limit)
        return [Pending(**row._mapping) for row in self._database.rows(query)]

    def waiting(self) -> int:
        """Return how many acts wait."""
        return int(self._database.rows(select(func.count()).select_from(pending))[0][0])

    def settle(
        self, start: int, acts: Sequence[Leaf], kept: Sequence[Details], runs: Sequence[Run], done: Sequence[int]
    ) -> None:
        """Index leaves from `start` on, and let the acts of these ids wait no more; what was settled stays so."""
        with self._database.transaction(writing=True) as db:
            if _size(db) > start:
                return
            if acts:
                db.execute(insert(leaves), [vars(leaf) for leaf in acts])
            if rows := _still_there(db, start, kept, done):
                db.execute(insert(details), rows)
            for run in runs:
                self._add_run(db, run)
            for at in range(0, len(done), 500):
                db.execute(delete(pending).where(pending.c.id.in_(done[at : at + 500])))

    def skip(self, position: int, entry: Entry) -> None:
        """Note that chunks up to a position are gone, and go on behind it."""
        with self._database.transaction(writing=True) as db:
            self.note(db, entry)
            self._set_position(db, position)

    def size(self) -> int:
        """Return how many leaves are in the index."""
        with self._database.transaction() as db:
            return _size(db)

    # for those who look

    def leaves(self, wanted: Wanted, limit: int, before: int | None = None) -> list[Leaf]:
        """Return acts, the newest first, from below the leaf `before`."""
        query = select(leaves).order_by(leaves.c.number.desc()).limit(limit)
        for name in LIMITS:
            if (value := getattr(wanted, name)) is not None:
                query = query.where(leaves.c[name] == value)
        if wanted.since is not None:
            query = query.where(leaves.c.at >= wanted.since)
        if wanted.until is not None:
            query = query.where(leaves.c.at < wanted.until)
        if before is not None:
            query = query.where(leaves.c.number < before)
        return [Leaf(**row._mapping) for row in self._database.rows(query)]

    def index(self, start: int, end: int) -> list[Leaf]:
        """Return the index's acts on the leaves from start to end, in their order."""
        query = select(leaves).where(leaves.c.number >= start, leaves.c.number < end).order_by(leaves.c.number)
        return [Leaf(**row._mapping) for row in self._database.rows(query)]

    def runs(self) -> list[Run]:
        """Return where the receipts of chunks stand, in the order of their leaves."""
        return [Run(**row._mapping) for row in self._database.rows(select(chunks).order_by(chunks.c.number))]

    def details(self, number: int) -> Details | None:
        """Return what a leaf holds the hash of; None where there was nothing, or it was erased."""
        rows = self._database.rows(select(details).where(details.c.number == number))
        return Details(rows[0].number, rows[0].salt, rows[0].details) if rows else None

    def details_within(self, start: int, end: int) -> list[Details]:
        """Return what is kept of the leaves from start to end."""
        query = select(details).where(details.c.number >= start, details.c.number < end)
        return [Details(row.number, row.salt, row.details) for row in self._database.rows(query)]

    def erase_details(self, numbers: Sequence[int]) -> int:
        """Erase what these leaves hold the hashes of; the leaves stay. Return how many there were."""
        erased = 0
        with self._database.transaction(writing=True) as db:
            for at in range(0, len(numbers), 500):
                erased += db.execute(delete(details).where(details.c.number.in_(numbers[at : at + 500]))).rowcount
        return erased

    def _add_run(self, db: Connection, run: Run) -> None:
        row = db.execute(select(chunks).order_by(chunks.c.number.desc()).limit(1)).one_or_none()
        last = Run(**row._mapping) if row is not None else Run(0, 0, 0)
        if (last.number + last.count, last.chunk + last.count) == (run.number, run.chunk) and last.count:
            db.execute(update(chunks).where(chunks.c.number == last.number).values(count=last.count + run.count))
        else:
            db.execute(insert(chunks).values(**vars(run)))
        self._set_position(db, run.chunk + run.count - 1)

    def _set_position(self, db: Connection, position: int) -> None:
        statement = self._database.insert(fold_positions).values(name=FOLD, partition=0, position=position)
        db.execute(statement.on_conflict_do_update(index_elements=["name", "partition"], set_={"position": position}))


def _still_there(db: Connection, start: int, kept: Sequence[Details], done: Sequence[int]) -> list[dict[str, Any]]:
    """Return the details to be kept as rows, without those that were erased while their leaf was written."""
    of = dict(enumerate(done, start))
    query = select(pending.c.id).where(pending.c.id.in_(list(of.values())), pending.c.details.is_(None))
    erased = {row.id for row in db.execute(query.with_for_update()).all()}
    still = [one for one in kept if of.get(one.number) not in erased]
    return [{"number": one.number, "salt": one.salt, "details": one.text} for one in still]


def _size(db: Connection) -> int:
    last = db.execute(select(func.max(leaves.c.number))).scalar()
    run = db.execute(select(func.max(chunks.c.number + chunks.c["count"]))).scalar()
    return max(-1 if last is None else int(last), int(run or 0) - 1) + 1


def _row(entry: Entry) -> dict[str, Any]:
    for name, limit in LIMITS.items():
        if len(getattr(entry, name)) > limit:
            raise InputError(f"{name} of the act has more than {limit} characters.", "Name it by its id.")
    facts, kept = _json(entry.facts), None if entry.details is None else _json(entry.details)
    if len(facts.encode()) > LIMIT_FACTS_BYTES or len((kept or "").encode()) > LIMIT_DETAILS_BYTES:
        raise InputError(f"The act {entry.action!r} has more to say than a leaf of the log holds.", "Say a hash of it.")
    return vars(entry) | {"facts": facts, "details": kept}


def _json(said: Mapping[str, Any]) -> str:
    try:
        return orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError as error:
        raise InputError(f"The act cannot be written as JSON: {error}.", "Give texts, numbers and lists.") from None
