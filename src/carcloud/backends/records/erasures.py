"""The ledger of erasures: which cars' data were erased, and how far every part of the zone has come with it.

Rules:
* An erasure begins by deleting all that the records say of the car, details of the audit log too; what joins its id to
  a person is gone with that. The log itself keeps salted hashes only, which say nothing without them.
* Another zone's car is kept away from then on, else it would come again with the next row that zone lets out.
* The ledger keeps the car's random id and its pseudonyms, sealed, so that a restored backup can be told; and the random
  ids of its recordings, whose rows and bytes are still to go. Nothing else.
* The keys of the digests of the car's rows go once its rows have left the lake: what stands for them needs them first.
* Each part does its share and says so once; the last one completes the erasure, which is noted for the audit log.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    String,
    Table,
    Text,
    delete,
    exists,
    insert,
    or_,
    select,
    text,
    update,
)

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, Sealed, metadata
from carcloud.backends.records.digest_keys import forget_names
from carcloud.backends.records.orders import end_open
from carcloud.backends.records.replicas import bar
from carcloud.errors import MissingError, TryLaterError

ERASING_LOCK = 0x65726173  # any constant: on PostgreSQL one at a time begins an erasure, or says that a part is done

Part = Literal["stream", "twin", "lake", "ledger"]
PARTS: tuple[Part, ...] = get_args(Part)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("vehicle", String(64), nullable=False, unique=True),
    Column("tenant", String(64), nullable=False),
    Column("at", Instant, nullable=False),
    Column("actor", String(96), nullable=False),
    Column("fence", BigInteger),
    Column("done_at", Instant),
)
erasure_parts = Table(
    "erasure_parts",
    metadata,
    Column("erasure", String(32), ForeignKey("erasures.id"), primary_key=True),
    Column("part", String(16), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("facts", Text, nullable=False),
)
erasure_names = Table(
    "erasure_names",
    metadata,
    Column("erasure", String(32), ForeignKey("erasures.id"), primary_key=True),
    Column("name", Sealed, primary_key=True),
)
erasure_recordings = Table(
    "erasure_recordings",
    metadata,
    Column("erasure", String(32), ForeignKey("erasures.id"), primary_key=True),
    Column("recording", String(32), primary_key=True),
)
_KEPT = frozenset({"erasures"})


@dataclass(frozen=True)
class Erasure:
    """One erasure. `fence`: the chunk from which on nothing of the car is in the stream, once the governor said so.

    `parts`: part → what it did, for those that are done. `names`: the pseudonyms that rows of the car bear.
    `recordings`: the ids of those that it recorded.
    """

    id: str
    vehicle: str
    tenant: str
    at: datetime
    actor: str
    fence: int | None
    done_at: datetime | None
    parts: Mapping[str, Mapping[str, Any]]
    names: tuple[str, ...] = ()
    recordings: tuple[str, ...] = ()


class Erasures:
    """The erasures of a zone."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def begin(self, vehicle: str, actor: str) -> Erasure:
        """Delete what the records say of a car, and let all parts erase theirs; again is the same erasure.

        Raises:
            MissingError: no such car, and none was erased.
        """
        vehicles = metadata.tables["vehicles"]
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, ERASING_LOCK)
            known = db.execute(select(erasures.c.id).where(erasures.c.vehicle == vehicle)).scalar()
            if known is None:
                tenant = db.execute(select(vehicles.c.tenant).where(vehicles.c.id == vehicle)).scalar()
                if tenant is None:
                    raise MissingError(f"No vehicle {vehicle!r}.", "List the enrolled ones with `carcloud vehicles`.")
                row = {"vehicle": vehicle, "tenant": tenant, "at": datetime.now(UTC), "actor": actor}
                known = secrets.token_hex(8)
                db.execute(insert(erasures).values(id=known, **row))
                self._audit.note(db, Entry(actor, "eraseVehicle", f"vehicle:{vehicle}", "allowed", tenant=tenant))
            _keep_names(db, known, vehicle)
            _keep_recordings(db, known, vehicle)
            self._audit.note(db, *end_open(db, vehicle, datetime.now(UTC), actor))
            _delete(db, vehicle)
        self._database.clean()
        (erasure,) = self._read(erasures.c.vehicle == vehicle)
        return erasure

    def all(self) -> list[Erasure]:
        """Return every erasure, the newest first."""
        return self._read(text("1 = 1"))

    def vehicles(self) -> frozenset[str]:
        """Return the ids of all cars that were erased."""
        return frozenset(row.vehicle for row in self._database.rows(select(erasures.c.vehicle)))

    def unfenced(self) -> list[Erasure]:
        """Return those of which the governor has not yet said that the stream holds nothing new."""
        return self._read(erasures.c.fence.is_(None))

    def open(self, part: Part) -> list[Erasure]:
        """Return the fenced ones that a part has not done yet."""
        mine = exists().where(erasure_parts.c.erasure == erasures.c.id, erasure_parts.c.part == part)
        return self._read(erasures.c.fence.is_not(None) & ~mine)

    def lacking(self, part: Part) -> list[Erasure]:
        """Return those that a part has not done yet, fenced or not."""
        mine = exists().where(erasure_parts.c.erasure == erasures.c.id, erasure_parts.c.part == part)
        return self._read(~mine)

    def begin_again(self, erasure: Erasure) -> None:
        """Begin an erasure of another time once more, in records from before it; it keeps its id and its moment."""
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, ERASING_LOCK)
            known = db.execute(select(erasures.c.id).where(erasures.c.vehicle == erasure.vehicle)).scalar()
            if known is None:
                known, tenant, object_ = erasure.id, erasure.tenant, f"vehicle:{erasure.vehicle}"
                row = {"vehicle": erasure.vehicle, "tenant": tenant, "at": erasure.at, "actor": erasure.actor}
                db.execute(insert(erasures).values(id=known, **row))
                facts = {"restored": True}
                self._audit.note(
                    db, Entry(erasure.actor, "eraseVehicle", object_, "allowed", facts=facts, tenant=tenant)
                )
            _keep_names(db, known, erasure.vehicle, erasure.names)
            _keep_recordings(db, known, erasure.vehicle)
            _delete(db, erasure.vehicle)
        self._database.clean()

    def reopen(self, since: datetime) -> int:
        """Have every part do its share again of erasures that were not done before a moment; return how many.

        For a zone that comes from a backup begun then: what a part had done may have been undone with the restore.
        """
        with self._database.transaction(writing=True) as db:
            late = erasures.c.done_at.is_(None) | (erasures.c.done_at >= since)
            ids = list(db.execute(select(erasures.c.id).where(late)).scalars())
            db.execute(delete(erasure_parts).where(erasure_parts.c.erasure.in_(ids)))
            db.execute(update(erasures).where(erasures.c.id.in_(ids)).values(fence=None, done_at=None))
            return len(ids)

    def set_fence(self, id: str, chunk: int) -> None:  # noqa: A002
        """Say that from this chunk on nothing of the car is in the stream."""
        with self._database.transaction(writing=True) as db:
            db.execute(update(erasures).where(erasures.c.id == id).values(fence=chunk))

    def finish(self, id: str, part: Part, facts: Mapping[str, Any]) -> None:  # noqa: A002
        """Say that a part has erased its share, and complete the erasure with the last.

        Raise TryLaterError while somebody reads the database, so that what was deleted still lies in its log.
        """
        if not self._database.clean():
            raise TryLaterError("What was deleted cannot be overwritten while somebody reads the records.")
        now = datetime.now(UTC)
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, ERASING_LOCK)
            mine = select(erasure_parts).where(erasure_parts.c.erasure == id)
            if any(found.part == part for found in db.execute(mine).all()):
                return
            row = {"erasure": id, "part": part, "at": now, "facts": orjson.dumps(facts).decode()}
            db.execute(insert(erasure_parts).values(**row))
            done = db.execute(mine).all()
            if any(found.part == "lake" for found in done):  # no row needs them any more, see digest_keys.py
                _forget_keys(db, id)
            if {found.part for found in done} == set(PARTS):
                db.execute(update(erasures).where(erasures.c.id == id).values(done_at=now))
                about = db.execute(select(erasures).where(erasures.c.id == id)).one()
                _delete(db, about.vehicle)  # what was on its way when it began
                what = {found.part: orjson.loads(found.facts) for found in done} | {"erasure": id}
                entry = Entry(
                    f"process:{part}", "eraseVehicle", f"vehicle:{about.vehicle}", facts=what, tenant=about.tenant
                )
                self._audit.note(db, entry)
        self._database.clean()

    def _read(self, where: Any) -> list[Erasure]:
        found = self._database.rows(select(erasures).where(where).order_by(erasures.c.at.desc(), erasures.c.id))
        ids = [row.id for row in found]
        parts: dict[str, dict[str, Any]] = {}
        for row in self._database.rows(select(erasure_parts).where(erasure_parts.c.erasure.in_(ids))):
            parts.setdefault(row.erasure, {})[row.part] = orjson.loads(row.facts)
        names, recordings = self._listed(erasure_names, ids), self._listed(erasure_recordings, ids)
        return [
            Erasure(**row._mapping, parts=parts.get(row.id, {}), names=names(row.id), recordings=recordings(row.id))
            for row in found
        ]

    def _listed(self, table: Table, ids: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
        """Return what stands in the second column of a table beside an erasure's id, in order."""
        listed: dict[str, list[str]] = {}
        rows: Sequence[Any] = self._database.rows(select(table).where(table.c.erasure.in_(ids)))
        for id_, value in rows:
            listed.setdefault(id_, []).append(value)
        return lambda id_: tuple(sorted(listed.get(id_, ())))


def _keep_names(db: Connection, erasure: str, vehicle: str, more: Sequence[str] = ()) -> None:
    """Take the car's pseudonyms over into the ledger, before what ties them to the car is deleted."""
    links = metadata.tables["pseudonyms"]
    names = {*db.execute(select(links.c.name).where(links.c.vehicle == vehicle)).scalars().all(), *more}
    names -= set(db.execute(select(erasure_names.c.name).where(erasure_names.c.erasure == erasure)).scalars().all())
    if names:
        db.execute(insert(erasure_names), [{"erasure": erasure, "name": name} for name in names])


def _keep_recordings(db: Connection, erasure: str, vehicle: str) -> None:
    """Take over the ids of the car's recordings, before what ties them to the car is deleted."""
    made = metadata.tables["recordings"]
    ids = set(db.execute(select(made.c.id).where(made.c.vehicle == vehicle)).scalars().all())
    kept = erasure_recordings.c.erasure == erasure
    ids -= set(db.execute(select(erasure_recordings.c.recording).where(kept)).scalars().all())
    if ids:
        db.execute(insert(erasure_recordings), [{"erasure": erasure, "recording": id_} for id_ in ids])


def _forget_keys(db: Connection, erasure: str) -> None:
    """Delete the keys of the digests of the car's rows, under all its names."""
    car = select(erasures.c.vehicle).where(erasures.c.id == erasure)
    names = select(erasure_names.c.name).where(erasure_names.c.erasure == erasure)
    forget_names(db, [*db.execute(car).scalars(), *db.execute(names).scalars()])


def _delete(db: Connection, vehicle: str) -> None:
    """Delete the car's rows from every table that has its id, those that point at others first."""
    bar(db, vehicle)
    for table in reversed(metadata.sorted_tables):
        if "vehicle" in table.c and table.name not in _KEPT:
            db.execute(delete(table).where(table.c.vehicle == vehicle))
    orders, given = metadata.tables["orders"], metadata.tables["order_authorisations"]
    db.execute(delete(given).where(given.c.id.not_in(select(orders.c.authorisation))))
    db.execute(delete(metadata.tables["vehicles"]).where(metadata.tables["vehicles"].c.id == vehicle))
    _clear_details(db, vehicle)


def _clear_details(db: Connection, vehicle: str) -> None:
    """Delete the details of acts on the car, of requests about it, and of any act that name it or its pseudonyms."""
    pending, leaves, details = (metadata.tables[f"audit_{name}"] for name in ("pending", "leaves", "details"))
    requests, mine = metadata.tables["requests"], erasures.c.vehicle == vehicle
    asked = db.execute(select(requests.c.id).where(requests.c.about == vehicle)).scalars()
    recorded = db.execute(select(erasure_recordings.c.recording).join(erasures).where(mine)).scalars()
    about = [f"vehicle:{vehicle}", *(f"request:{id_}" for id_ in asked), *(f"recording:{id_}" for id_ in recorded)]
    known = select(erasure_names.c.name).join(erasures).where(mine)
    names = [vehicle, *db.execute(known).scalars()]
    said = or_(*(pending.c.details.contains(name, autoescape=True) for name in names))
    db.execute(update(pending).where(pending.c.object.in_(about) | said).values(details=None))
    noted = select(leaves.c.number).where(leaves.c.object.in_(about))
    kept = or_(*(details.c.details.contains(name, autoescape=True) for name in names))
    db.execute(delete(details).where(details.c.number.in_(noted) | kept))
