"""The secret keys of receipts' digests: one of each car's name in rows, and one of each signal's UTC day of a tenant.

Rules:
* A key is on disk before a chunk whose receipt needs it is written; what is there already stands.
* Without its car's key, or its day's, a digest says nothing: nobody can try values until one fits. So an erasure
  deletes the keys of all the car's names once its rows have left the lake, and retention that of a day once it expired.
* A day's key knows the newest chunk that asked for it: late rows of a day that expired find the key that stands, or a
  new one, and never one that is about to be deleted.
* The table of names has no order but theirs: it does not tell which names came into it together.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable

from sqlalchemy import BigInteger, Column, Connection, Integer, LargeBinary, String, Table, Text, delete, select

from carcloud.backends.records.database import Database, metadata

KEY_BYTES = 16
NAMES_A_QUESTION = 1000
Day = tuple[str, str, int]
"""Tenant, path of a signal, and UTC day since 1970."""

of_cars = Table(
    "digest_keys_of_cars",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("key", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
of_days = Table(
    "digest_keys_of_days",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("signal", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("chunk", BigInteger, nullable=False),
)


class DigestKeys:
    """The keys of a zone's digests."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def made(
        self, names: Collection[str], days: Collection[Day], chunk: int
    ) -> tuple[dict[str, bytes], dict[Day, bytes]]:
        """Return the keys that a chunk needs, made where there are none yet: of names, and of days."""
        cars, known = self.cars(names), dict[Day, bytes]()
        fresh = [{"name": name, "key": secrets.token_bytes(KEY_BYTES)} for name in sorted(set(names) - cars.keys())]
        asked = [
            {"tenant": tenant, "day": day, "signal": path, "key": secrets.token_bytes(KEY_BYTES), "chunk": chunk}
            for tenant, path, day in sorted(set(days))
        ]
        if not fresh and not asked:
            return cars, known
        with self._database.transaction(writing=True) as db:
            if fresh:
                db.execute(self._database.insert(of_cars).on_conflict_do_nothing(), fresh)
            if asked:
                stated = self._database.insert(of_days)
                again = {"index_elements": ["tenant", "day", "signal"], "set_": {"chunk": chunk}}
                db.execute(stated.on_conflict_do_update(**again), asked)
        cars |= self.cars([str(row["name"]) for row in fresh])
        for tenant, day in sorted({(tenant, day) for tenant, _, day in days}):
            known |= self.day(tenant, day)
        return cars, {day: known[day] for day in days}

    def cars(self, names: Collection[str]) -> dict[str, bytes]:
        """Return the keys of those names that have one."""
        wanted, found = list(names), dict[str, bytes]()
        for first in range(0, len(wanted), NAMES_A_QUESTION):
            some = select(of_cars).where(of_cars.c.name.in_(wanted[first : first + NAMES_A_QUESTION]))
            found |= {row.name: row.key for row in self._database.rows(some)}
        return found

    def day(self, tenant: str, day: int) -> dict[Day, bytes]:
        """Return the keys of all signals of a tenant's day."""
        mine = select(of_days.c.signal, of_days.c.key).where(of_days.c.tenant == tenant, of_days.c.day == day)
        return {(tenant, row.signal, day): row.key for row in self._database.rows(mine)}

    def days(self, before: int, chunk: int) -> list[Day]:
        """Return which days before a day have keys that no chunk behind this one asked for."""
        old = select(of_days.c.tenant, of_days.c.signal, of_days.c.day)
        rows = self._database.rows(old.where(of_days.c.day < before, of_days.c.chunk <= chunk))
        return [(row.tenant, row.signal, row.day) for row in rows]

    def forget(self, days: Iterable[Day], chunk: int) -> None:
        """Delete the keys of days, but those that a chunk behind this one asked for."""
        with self._database.transaction(writing=True) as db:
            for tenant, path, day in days:
                mine = (of_days.c.tenant == tenant) & (of_days.c.signal == path) & (of_days.c.day == day)
                db.execute(delete(of_days).where(mine, of_days.c.chunk <= chunk))
        self._database.clean()


def forget_names(db: Connection, names: Collection[str]) -> None:
    """Delete the keys of a car's names, within the transaction of its erasure."""
    db.execute(delete(of_cars).where(of_cars.c.name.in_(list(names))))
