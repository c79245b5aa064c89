"""A terminal's store: the reports no platform has taken yet, for seven days, and the serial of its logins.

Rules:
* A report is on disk before it is sent, and goes when it is answered.
* Kept are seven days from when it was stored, and 256 MiB at most: the oldest go first, and are counted.
* The serial of a login begins anew at 1 each day of UTC+8.
* One process at a time: SQLite's exclusive lock, which dies with its holder.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from carcloud.errors import ConflictError
from carcloud.vehicle.gbt32960.times import CHINA

KEEP = timedelta(days=7)
LIMIT_BYTES = 256 * 1024 * 1024
LAST_SERIAL = 65_531

SCHEMA = """
create table if not exists reports (
    place integer primary key autoincrement, at integer not null, payload blob not null);
create index if not exists by_time on reports (at);
create table if not exists login (
    only integer primary key check (only = 1), day text not null, serial integer not null);
"""


@dataclass(frozen=True)
class Kept:
    """A report that waits: its place in the store, and the payload of its frame, not sealed."""

    place: int
    payload: bytes


class Store:
    """A terminal's file, open. `dropped` counts reports that were too old, or too many."""

    def __init__(self, file: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        """Open or make the file. Raise ConflictError where another process has it."""
        self._limit, self.dropped = limit_bytes, 0
        self._db = sqlite3.connect(file, isolation_level=None, timeout=0.5)
        try:
            self._db.execute("pragma locking_mode = exclusive")
            self._db.execute("pragma journal_mode = wal")
            self._db.executescript(SCHEMA)
        except sqlite3.OperationalError:
            self._db.close()
            raise ConflictError(f"{file} is in use.", "End the other terminal first.") from None
        (self._bytes,) = self._db.execute("select coalesce(sum(length(payload)), 0) from reports").fetchone()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __len__(self) -> int:
        return int(self._db.execute("select count(*) from reports").fetchone()[0])

    def keep(self, at: datetime, payload: bytes) -> Kept:
        """Keep a report that was stored at this time."""
        with self._together():
            place = self._db.execute("insert into reports (at, payload) values (?, ?)", (_s(at), payload)).lastrowid
        self._bytes += len(payload)
        while self._bytes > self._limit:
            self._drop("select place from reports order by place limit 100")
        return Kept(int(place or 0), payload)

    def done(self, place: int) -> None:
        """Forget a report that was answered."""
        row = self._db.execute("delete from reports where place = ? returning length(payload)", (place,)).fetchone()
        self._bytes -= row[0] if row else 0

    def oldest(self, limit: int, but: Collection[int], now: datetime) -> list[Kept]:
        """Return the oldest that wait, without some; what is older than seven days is dropped."""
        self._drop("select place from reports where at < ?", _s(now - KEEP))
        rows = self._db.execute("select place, payload from reports order by place limit ?", (limit + len(but),))
        return [Kept(place, payload) for place, payload in rows if place not in but][:limit]

    def serial(self, now: datetime) -> int:
        """Return the serial of the next login."""
        day = now.astimezone(CHINA).date().isoformat()
        last = self._db.execute("select serial from login where day = ?", (day,)).fetchone()
        serial = last[0] % LAST_SERIAL + 1 if last else 1
        self._db.execute("insert or replace into login values (1, ?, ?)", (day, serial))
        return int(serial)

    def _drop(self, places: str, *given: int) -> None:
        rows = self._db.execute(f"delete from reports where place in ({places}) returning length(payload)", given)  # noqa: S608 - the text is ours
        sizes = [size for (size,) in rows.fetchall()]
        self.dropped += len(sizes)
        self._bytes -= sum(sizes)

    @contextlib.contextmanager
    def _together(self) -> Iterator[None]:
        self._db.execute("begin")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise


def _s(at: datetime) -> int:
    return int(at.timestamp())
