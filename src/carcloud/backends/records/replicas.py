"""What came in from other zones: which of our vehicles stand for which of their cars, and how far each flow is read.

Rules:
* A name of another zone is looked up among the names of the same replica only, and becomes a new random id of ours:
  nothing the other zone can say names a car of this one.
* Whoever was erased here stays away: the name's hash is kept, and its rows are left out when they come again.
* The place in a flow, and the page that is on its way in, are written before and after the page, each at once.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Column, Connection, ForeignKey, String, Table, Text, UniqueConstraint, func, insert, select

from carcloud.backends.records import tables as t
from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, metadata
from carcloud.backends.records.tables import Vehicle
from carcloud.errors import ConflictError

REPLICA_LOCK = 0x7265706C  # any constant: on PostgreSQL one page at a time makes vehicles
LIMIT_CARS = 100_000
NAMES_A_QUESTION = 1000
ID_BYTES = 10

replica_cars = Table(
    "replica_cars",
    metadata,
    Column("vehicle", String(64), ForeignKey("vehicles.id"), primary_key=True),
    Column("replica", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    UniqueConstraint("replica", "name"),
)
replica_barred = Table(
    "replica_barred",
    metadata,
    Column("replica", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
)
replica_places = Table(
    "replica_places", metadata, Column("replica", String(64), primary_key=True), Column("text", Text, nullable=False)
)


class Replicas:
    """The replicas of a zone."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def take(self, replica: str, names: Collection[str], tenant: str, at: datetime) -> dict[str, str]:
        """Return our vehicles for names of another zone, made where there are none: name → id, without the erased.

        Raises:
            ConflictError: more cars than one replica may bring.
        """
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, REPLICA_LOCK)
            found = _known(db, replica, names)
            barred = self._barred(db, replica, [name for name in names if name not in found])
            new = sorted(name for name in names if name not in found and name not in barred)
            if not new:
                return found
            many = db.execute(select(func.count()).where(replica_cars.c.replica == replica)).scalar_one()
            if many + len(new) > LIMIT_CARS:
                do = "Ask who runs the other zone why it names so many."
                raise ConflictError(f"Replica {replica} has more than {LIMIT_CARS} cars.", do)
            made = {name: secrets.token_hex(ID_BYTES) for name in new}
            cars = [vars(Vehicle(made[name], tenant, "", None, "replica", at)) for name in new]
            db.execute(insert(t.vehicles), cars)
            rows = [{"vehicle": vehicle, "replica": replica, "name": name} for name, vehicle in made.items()]
            db.execute(insert(replica_cars), rows)
            facts = {"cars": len(new)}
            entry = Entry("process:replicas", "takeReplica", f"replica:{replica}", facts=facts, tenant=tenant)
            self._audit.note(db, entry)
        return found | made

    def known(self, replica: str, names: Collection[str]) -> dict[str, str]:
        """Return our vehicles for those names that have one: name → id."""
        with self._database.transaction() as db:
            return _known(db, replica, names)

    def standing(self, vehicles: Collection[str]) -> set[str]:
        """Return which of these are still replicas: the others were erased."""
        found: set[str] = set()
        for some in _some(vehicles):
            query = select(t.vehicles.c.id).where(t.vehicles.c.id.in_(some), t.vehicles.c.state == "replica")
            found |= {row.id for row in self._database.rows(query)}
        return found

    def sources(self, vehicles: Collection[str]) -> dict[str, str]:
        """Return by which replica vehicles came: vehicle → replica, without those that are no replicas."""
        found: dict[str, str] = {}
        for some in _some(vehicles):
            query = select(replica_cars.c.vehicle, replica_cars.c.replica).where(replica_cars.c.vehicle.in_(some))
            found |= {row.vehicle: row.replica for row in self._database.rows(query)}
        return found

    def counts(self) -> dict[str, int]:
        """Return how many cars came by each replica."""
        query = select(replica_cars.c.replica, func.count().label("cars")).group_by(replica_cars.c.replica)
        return {row.replica: int(row.cars) for row in self._database.rows(query)}

    def place(self, replica: str) -> str | None:
        """Return what was last written of where a replica stands."""
        rows = self._database.rows(select(replica_places.c.text).where(replica_places.c.replica == replica))
        return rows[0][0] if rows else None

    def set_place(self, replica: str, text: str) -> None:
        """Write where a replica stands."""
        row = self._database.insert(replica_places).values(replica=replica, text=text)
        self._database.upsert(row, ["replica"], {"text": text})

    def _barred(self, db: Connection, replica: str, names: Collection[str]) -> set[str]:
        found: set[str] = set()
        for some in _some(names):
            digests = {digest(name): name for name in some}
            mine = replica_barred.c.digest.in_(list(digests)) & (replica_barred.c.replica == replica)
            found |= {digests[row.digest] for row in db.execute(select(replica_barred).where(mine))}
        return found


def bar(db: Connection, vehicle: str) -> None:
    """Keep a car of another zone away for good, within the transaction that erases it."""
    query = select(replica_cars.c.replica, replica_cars.c.name).where(replica_cars.c.vehicle == vehicle)
    for row in db.execute(query).all():
        db.execute(insert(replica_barred).values(replica=row.replica, digest=digest(row.name)))


def _known(db: Connection, replica: str, names: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for some in _some(names):
        mine = replica_cars.c.name.in_(some) & (replica_cars.c.replica == replica)
        found |= {row.name: row.vehicle for row in db.execute(select(replica_cars).where(mine))}
    return found


def digest(name: str) -> str:
    """Return what is kept of an erased car's name; the names are random, so nothing leads back."""
    return hashlib.sha256(name.encode()).hexdigest()


def _some(names: Collection[str]) -> Iterable[list[str]]:
    ordered = sorted(names)
    return (ordered[first : first + NAMES_A_QUESTION] for first in range(0, len(ordered), NAMES_A_QUESTION))
