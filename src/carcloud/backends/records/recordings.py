"""The recordings of a zone: what each is, whose, why it may be used, and how far it has come.

Rules:
* A recording is uploading, then waiting, importing, and imported or refused; from any of these it can be erased, which
  is for ever.
* The same bytes are one recording of a tenant, until they are refused or erased.
* Its name and place lie sealed: a file's name may say who somebody is. What is erased keeps neither, nor a car.
* Its files lie in the object store one after another, in the order of `files`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, Named, Sealed, metadata
from carcloud.errors import ConflictError, MissingError

RecordingState = Literal["uploading", "waiting", "importing", "imported", "refused", "erased"]
OVER = ("refused", "erased")
"""States in which the same bytes may come again."""

LIMIT_RECORDINGS = 100_000
"""Recordings that a tenant may have, without those that were erased."""
LIMIT_UPLOADING = 100
"""Recordings of a tenant that are being sent at once."""
LIMIT_REFUSALS = 1_000
"""Refusals of one recording that are kept one by one; the others are counted."""
RECORDING_LOCK = 0x72656364  # any constant: on PostgreSQL one at a time looks for a recording and adds it

recordings = Table(
    "recordings",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("name", Sealed, nullable=False),
    Column("format", String(64), nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("files", Sealed, nullable=False),
    Column("options", Sealed, nullable=False),
    Column("licence", Text, nullable=False),
    Column("vehicle", String(64), nullable=False),
    Column("consent", String(64), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("basis", String(64), nullable=False),
    Column("zone", String(64), nullable=False),
    Column("software_version", Text, nullable=False),
    Column("place", Sealed, nullable=False),
    Column("state", String(16), nullable=False),
    Column("progress", Float, nullable=False),
    Column("scenarios", Integer, nullable=False),
    Column("duplicates", Integer, nullable=False),
    Column("refused", Integer, nullable=False),
    Column("refusals", Sealed, nullable=False),
    Column("error", Sealed, nullable=False),
    Column("made_by", String(96), nullable=False),
    Column("made_at", Instant, nullable=False),
)
Index("recordings_tenant", recordings.c.tenant, recordings.c.made_at)
Index("recordings_sha256", recordings.c.tenant, recordings.c.sha256)
Index("recordings_vehicle", recordings.c.tenant, recordings.c.vehicle)


@dataclass(frozen=True)
class RecordedFile:
    """A file of a recording: its name, with `/` between folders, and its size in bytes."""

    name: str
    bytes: int


@dataclass(frozen=True)
class Recording:
    """A recording. `sha256`: of its files one after another, in hexadecimal.

    Args:
        options: what its import is told: `main`, `mapping`, `road` (names among its files) and `parameters`.
        vehicle: the car it was recorded by; empty where it is none of the zone's.
        consent: the grant under which it may be used; empty where its basis needs none.
        progress: 0 to 1, of the import.
        refused: how many scenarios could not be read. refusals: (name, why) of the first of them.
        error: why it was refused as a whole.
    """

    id: str
    tenant: str
    name: str
    bytes: int
    sha256: str
    files: tuple[RecordedFile, ...]
    purpose: str
    basis: str
    zone: str
    made_by: str
    made_at: datetime
    options: Mapping[str, Any] = field(default_factory=dict)
    format: str = ""
    licence: str = ""
    vehicle: str = ""
    consent: str = ""
    software_version: str = ""
    place: str = ""
    state: RecordingState = "uploading"
    progress: float = 0.0
    scenarios: int = 0
    duplicates: int = 0
    refused: int = 0
    refusals: tuple[tuple[str, str], ...] = ()
    error: str = ""

    @property
    def key(self) -> str:
        """Return the name of its object in the object store."""
        return key_of(self.tenant, self.id)


class Recordings:
    """The recordings of all tenants."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def begin(self, wanted: Recording) -> Recording:
        """Begin a recording; where the same person sent the same one and it is not imported yet, return that.

        Raises:
            ConflictError: these bytes are a recording already, or there are too many.
        """
        mine = recordings.c.tenant == wanted.tenant
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, RECORDING_LOCK)
            same = select(recordings).where(mine, recordings.c.sha256 == wanted.sha256)
            row = db.execute(same.where(recordings.c.state.not_in(OVER))).first()
            if row is not None:
                return _going_on(_recording(row), wanted)
            _check_room(db, wanted.tenant)
            db.execute(insert(recordings).values(**_row(wanted)))
            self._audit.note(db, _entry(wanted, wanted.made_by, "begun", wanted.made_at))
        return wanted

    def get(self, tenant: str, id: str) -> Recording:  # noqa: A002
        """Return a recording of a tenant; raise MissingError."""
        rows = self._database.rows(select(recordings).where(recordings.c.tenant == tenant, recordings.c.id == id))
        if not rows:
            do = "List them: carcloud research recordings."
            raise MissingError(f"No recording {id[:64]!r}.", do)
        return _recording(rows[0])

    def listed(self, tenant: str, limit: int = LIMIT_RECORDINGS, state: str | None = None) -> list[Recording]:
        """Return a tenant's recordings, the newest first; of a state where one is named."""
        query = select(recordings).where(recordings.c.tenant == tenant)
        if state is not None:
            query = query.where(recordings.c.state == state)
        query = query.order_by(recordings.c.made_at.desc(), recordings.c.id).limit(limit)
        return [_recording(row) for row in self._database.rows(query)]

    def of_vehicle(self, tenant: str, vehicle: str) -> list[Recording]:
        """Return the recordings of a car, the oldest first, without those that were erased."""
        query = select(recordings).where(recordings.c.tenant == tenant, recordings.c.vehicle == vehicle)
        query = query.where(recordings.c.state != "erased").order_by(recordings.c.made_at, recordings.c.id)
        return [_recording(row) for row in self._database.rows(query)]

    def next(self, states: Collection[str] = ("waiting", "importing")) -> Recording | None:
        """Return the oldest recording of any tenant that is in one of these states."""
        query = select(recordings).where(recordings.c.state.in_(list(states)))
        rows = self._database.rows(query.order_by(recordings.c.made_at, recordings.c.id).limit(1))
        return _recording(rows[0]) if rows else None

    def unfinished(self) -> list[Recording]:
        """Return the recordings of all tenants that are being sent, the oldest first."""
        query = select(recordings).where(recordings.c.state == "uploading").order_by(recordings.c.made_at)
        return [_recording(row) for row in self._database.rows(query)]

    def ids(self, tenant: str) -> frozenset[str]:
        """Return the ids of a tenant's recordings, without those that were erased."""
        query = select(recordings.c.id).where(recordings.c.tenant == tenant, recordings.c.state != "erased")
        return frozenset(row.id for row in self._database.rows(query))

    def made_before(self, at: datetime) -> list[Recording]:
        """Return the recordings of all tenants made before a moment, the oldest first, without those erased."""
        query = select(recordings).where(recordings.c.made_at < at, recordings.c.state != "erased")
        return [_recording(row) for row in self._database.rows(query.order_by(recordings.c.made_at))]

    def tell(self, id: str, progress: float) -> None:  # noqa: A002
        """Say how far an import is, 0 to 1."""
        with self._database.transaction(writing=True) as db:
            mine = (recordings.c.id == id) & (recordings.c.state == "importing")
            db.execute(update(recordings).where(mine).values(progress=min(max(progress, 0.0), 1.0)))

    def move(self, found: Recording, state: RecordingState, actor: str, at: datetime, **changes: Any) -> Recording:
        """Bring a recording from the state it was seen in to another, with what changes beside; note it.

        Raises:
            ConflictError: it is in another state by now.
        """
        moved = replace(found, state=state, **changes)
        seen = (recordings.c.id == found.id) & (recordings.c.state == found.state)
        with self._database.transaction(writing=True) as db:
            if db.execute(update(recordings).where(seen).values(**_row(moved))).rowcount != 1:
                raise ConflictError(f"Recording {found.id} has changed meanwhile.", "Look at it, and try again.")
            if state != found.state:
                self._audit.note(db, _entry(moved, actor, state, at))
        return moved

    def erase(self, found: Recording, actor: str, at: datetime) -> Recording:
        """Say for ever that a recording is gone; nothing stays of it but when, under what and by whom it was made."""
        gone = replace(
            found,
            state="erased",
            name="",
            place="",
            vehicle="",
            files=(),
            options={},
            refusals=(),
            error="",
            progress=0.0,
        )
        with self._database.transaction(writing=True) as db:
            stands = (recordings.c.id == found.id) & (recordings.c.state != "erased")
            if db.execute(update(recordings).where(stands).values(**_row(gone))).rowcount == 1:
                self._audit.note(db, _entry(gone, actor, "erased", at))
        return gone


def key_of(tenant: str, id: str) -> str:  # noqa: A002
    """Return the name of a recording's object in the object store."""
    return f"{tenant}/recordings/{id}"


def _going_on(known: Recording, wanted: Recording) -> Recording:
    same = known.files == wanted.files and known.made_by == wanted.made_by
    if known.state != "imported" and same:
        return known
    message = f"These bytes are recording {known.id} already, which is {known.state}."
    raise ConflictError(message, f"Use it, or have it forgotten: carcloud research forget {known.id}.")


def _check_room(db: Connection, tenant: str) -> None:
    mine = select(func.count()).select_from(recordings).where(recordings.c.tenant == tenant)
    if db.execute(mine.where(recordings.c.state != "erased")).scalar_one() >= LIMIT_RECORDINGS:
        raise ConflictError(f"There are {LIMIT_RECORDINGS} recordings already.", "Have some forgotten first.")
    if db.execute(mine.where(recordings.c.state == "uploading")).scalar_one() >= LIMIT_UPLOADING:
        message = f"{LIMIT_UPLOADING} recordings are being sent already."
        raise ConflictError(message, "End some of them, or have them forgotten.")


def _row(one: Recording) -> dict[str, Any]:
    texts = {
        "name": one.name,
        "place": one.place,
        "error": one.error,
        "files": orjson.dumps([[file.name, file.bytes] for file in one.files]).decode(),
        "options": orjson.dumps(dict(one.options)).decode(),
        "refusals": orjson.dumps(one.refusals[:LIMIT_REFUSALS]).decode(),
    }
    return vars(one) | {name: Named(text, one.tenant) for name, text in texts.items()}


def _recording(row: Any) -> Recording:
    said = dict(row._mapping)
    files = tuple(RecordedFile(name, size) for name, size in orjson.loads(said.pop("files")))
    refusals = tuple((name, why) for name, why in orjson.loads(said.pop("refusals")))
    return Recording(**said | {"options": orjson.loads(said["options"])}, files=files, refusals=refusals)


def _entry(one: Recording, actor: str, change: str, at: datetime) -> Entry:
    facts: dict[str, Any] = {"change": change, "bytes": one.bytes, "sha256": one.sha256, "purpose": one.purpose}
    facts |= {"basis": one.basis, "consent": one.consent, "licence": one.licence[:200]}
    if change in ("imported", "refused"):
        facts |= {"scenarios": one.scenarios, "duplicates": one.duplicates, "refused": one.refused}
    outcome: Literal["done", "failed"] = "failed" if change == "refused" else "done"
    return Entry(actor, "changeRecordings", f"recording:{one.id}", outcome, facts, tenant=one.tenant, at=at)
