"""What has left the zone: which people, by flow, class and calendar year; and the tokens by which flows are read.

Rules:
* A person is counted once a flow, class and year, before the first row about them leaves, and is never uncounted:
  what left cannot be called back, also where the car was erased since.
* People stand here by a keyed name of the year, not by the car's id.
* Whoever counts holds the export lock until the end of the transaction: two reads cannot both take the last place.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Column, Connection, ForeignKey, Integer, String, Table, func, insert, select

from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.passes import api_tokens
from carcloud.backends.records.tables import vehicles

EXPORT_LOCK = 0x6578706F  # any constant: on PostgreSQL one read at a time is counted
ROWS_AT_ONCE = 10_000

exported = Table(
    "exported",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), primary_key=True),
    Column("flow", String(64), primary_key=True),
    Column("person", String(64), primary_key=True),
)

stops = Table(
    "export_stops",
    metadata,
    Column("year", Integer, primary_key=True, autoincrement=False),
    Column("kind", String(16), primary_key=True),
    Column("flow", String(64), primary_key=True),
    Column("bar", Integer, nullable=False),
    Column("at", Instant, nullable=False),
)

flow_tokens = Table(
    "flow_tokens",
    metadata,
    Column("token", String(64), ForeignKey("api_tokens.id"), primary_key=True),
    Column("flow", String(64), nullable=False, index=True),
    Column("zone", String(64), nullable=False),
)


@dataclass(frozen=True)
class Stop:
    """A read that was refused since too many people would have left. `bar`: how many could; `flow`: "" for all."""

    year: int
    kind: str
    flow: str
    bar: int
    at: datetime


class Exports:
    """The export meter, and the tokens of flows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cars(self, tenant: str) -> set[str]:
        """Return the ids of a tenant's cars, in whatever state; one that was erased is none any more.

        Another zone's cars are left out: what came in by a flow does not leave by one.
        """
        own = (vehicles.c.tenant == tenant) & (vehicles.c.state != "replica")
        return {row.id for row in self._database.rows(select(vehicles.c.id).where(own))}

    def lock(self, db: Connection) -> None:
        """Be the only one who counts, until the transaction ends."""
        self._database.alone(db, EXPORT_LOCK)

    def count(self, db: Connection, year: int, kind: str, flow: str, persons: Iterable[str]) -> None:
        """Count people, within a transaction that holds the lock; who was counted before is not counted again."""
        rows = [{"year": year, "kind": kind, "flow": flow, "person": person} for person in sorted(set(persons))]
        for begin in range(0, len(rows), ROWS_AT_ONCE):
            new = self._database.insert(exported).on_conflict_do_nothing()
            db.execute(new, rows[begin : begin + ROWS_AT_ONCE])

    def counted(self, db: Connection, year: int, kind: str, flow: str | None = None) -> int:
        """Return how many different people were counted by a flow, or by all flows together (None)."""
        mine = (exported.c.year == year) & (exported.c.kind == kind)
        if flow is None:
            return int(db.execute(select(func.count(exported.c.person.distinct())).where(mine)).scalar_one())
        return int(db.execute(select(func.count()).where(mine, exported.c.flow == flow)).scalar_one())

    def meters(self, year: int) -> dict[tuple[str, str], int]:
        """Return how many people were counted in a year: by (flow, class), and by ("", class) for all flows."""
        of_flow = select(exported.c.flow, exported.c.kind, func.count().label("people")).where(exported.c.year == year)
        people = func.count(exported.c.person.distinct()).label("people")
        of_all = select(exported.c.kind, people).where(exported.c.year == year).group_by(exported.c.kind)
        with self._database.transaction() as db:
            found = db.execute(of_flow.group_by(exported.c.flow, exported.c.kind)).all()
            both = db.execute(of_all).all()
        return {(row.flow, row.kind): row.people for row in found} | {("", row.kind): row.people for row in both}

    def stop(self, db: Connection, stop: Stop) -> None:
        """Record that a read was refused, within a transaction."""
        row = self._database.insert(stops).values(**vars(stop))
        changes = {"bar": stop.bar, "at": stop.at}
        db.execute(row.on_conflict_do_update(index_elements=["year", "kind", "flow"], set_=changes))

    def stopped(self, year: int) -> list[Stop]:
        """Return the stops of a year."""
        query = select(stops).where(stops.c.year == year).order_by(stops.c.flow, stops.c.kind)
        return [Stop(**row._mapping) for row in self._database.rows(query)]

    def bind(self, db: Connection, token: str, flow: str, zone: str) -> None:
        """Bind a token to a flow and the zone that may read it, within a transaction."""
        db.execute(insert(flow_tokens).values(token=token, flow=flow, zone=zone))

    def readers(self, flow: str, zone: str, now: datetime) -> frozenset[str]:
        """Return the ids of the tokens that may read a flow now."""
        query = select(flow_tokens.c.token).join(api_tokens).where(flow_tokens.c.flow == flow)
        standing = api_tokens.c.revoked_at.is_(None) & (api_tokens.c.ends_at >= now)
        return frozenset(row.token for row in self._database.rows(query.where(flow_tokens.c.zone == zone, standing)))
