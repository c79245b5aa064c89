"""The relay's own store on disk: what is still to be told, how far the stream was read, and what was counted.

Rules:
* What a chunk says is stored together with the chunk's number: after a crash nothing is told twice or left out.
* What is answered is deleted. What was not within seven days is dropped, and counted.
* No VIN is in here. What is deleted is overwritten, so that an erased car is gone.
* What was taken later than it is now, for the clock was set back, counts as taken now.
* One process at a time: SQLite's exclusive lock, which dies with its holder.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from carcloud.errors import ConflictError, TryLaterError
from carcloud.gateway.relay.reports import Said, Values

KEPT_S = 7 * 86_400
LIMIT_REPORTS = 5_000_000
"""Reports of one relay that wait at once; the oldest go first."""

COUNTS = ("sent", "accepted", "refused", "expired", "dropped", "unsaid")

_SCHEMA = """
create table if not exists reports (
  id integer primary key autoincrement, relay text not null, vehicle text not null, second integer not null,
  taken integer not null, fresh integer not null, tries integer not null, said blob not null);
create index if not exists reports_due on reports (relay, fresh, second, id);
create unique index if not exists reports_open on reports (relay, vehicle, second) where fresh = 1;
create index if not exists reports_age on reports (relay, taken);
create index if not exists reports_car on reports (vehicle);
create table if not exists counts (relay text, what text, number integer not null, primary key (relay, what));
create table if not exists serials (
  relay text not null, vehicle text not null, day integer not null, number integer not null,
  primary key (relay, vehicle));
create table if not exists places (name text primary key, number integer not null);
"""


@dataclass(frozen=True)
class Report:
    """A report that waits. fresh: it was never tried. taken, second: seconds since 1970 UTC."""

    id: int
    vehicle: str
    second: int
    taken: int
    fresh: bool
    tries: int
    values: Values


class Spool:
    """The store, open. Used by one thread at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            for setting in (
                "locking_mode = exclusive",
                "journal_mode = wal",
                "synchronous = full",
                "secure_delete = on",
            ):
                self._db.execute(f"pragma {setting}")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            do = f"Stop the other process; a damaged file may be moved away: what waits in {file.name} is lost then."
            raise ConflictError(f"{file} cannot be taken: {error}.", do) from None

    def close(self) -> None:
        """Close the store; what is in it stays."""
        self._db.close()

    # reading the stream

    @property
    def position(self) -> int:
        """Return the last chunk whose content is in here."""
        return self._place("chunk")

    def take(self, chunk: int, said: Iterable[tuple[str, Said]], now_s: float) -> None:
        """Store what a chunk says for each relay, and that it was read; together, flushed.

        What a car says of a second of which a report waits untried goes into that report.
        """
        new = "insert into reports (relay, vehicle, second, taken, fresh, tries, said) values (?, ?, ?, ?, 1, 0, ?)"
        with _Writing(self._db, self._file):
            for relay, one in said:
                mine = (relay, one.vehicle, one.second)
                query = "select id, said from reports where relay = ? and vehicle = ? and second = ? and fresh = 1"
                before = self._db.execute(query, mine).fetchone()
                if before is None:
                    self._db.execute(new, (*mine, int(now_s), orjson.dumps(one.values)))
                else:
                    both = orjson.dumps(orjson.loads(before[1]) | one.values)
                    self._db.execute("update reports set said = ? where id = ?", (both, before[0]))
            self._db.execute("insert or replace into places values ('chunk', ?)", (chunk,))

    # telling

    def due(
        self, relay: str, settled_s: float, limit: int, without: Collection[int] = (), cars: Collection[str] = ()
    ) -> list[Report]:
        """Return reports to tell: the untried ones first, each by time; those that lie here since `settled_s`.

        Args:
            without: ids of those that are on their way. cars: those that are not told of now.
        """
        query = (
            "select id, vehicle, second, taken, fresh, tries, said from reports where relay = ? and taken <= ? "
            "and id not in (select value from json_each(?)) and vehicle not in (select value from json_each(?)) "
            "order by fresh desc, second, id limit ?"
        )
        skip = orjson.dumps(list(without)).decode(), orjson.dumps(list(cars)).decode()
        rows = self._db.execute(query, (relay, int(settled_s), *skip, limit))
        return [
            Report(id_, car, second, taken, bool(fresh), tries, orjson.loads(said))
            for id_, car, second, taken, fresh, tries, said in rows
        ]

    def tried(self, ids: Sequence[int]) -> None:
        """Say that these are on their way: from now on they are told as stored ones."""
        with _Writing(self._db, self._file):
            self._db.executemany("update reports set fresh = 0 where id = ?", [(each,) for each in ids])

    def cut(self, relay: str) -> None:
        """Say that the link is cut: what waits is told as stored from now on."""
        with _Writing(self._db, self._file):
            self._db.execute("update reports set fresh = 0 where relay = ? and fresh = 1", (relay,))

    def done(self, relay: str, ids: Sequence[int], what: str = "accepted") -> None:
        """Delete what was answered, or is given up, and count it."""
        with _Writing(self._db, self._file):
            self._db.executemany("delete from reports where id = ?", [(each,) for each in ids])
            self._count(relay, what, len(ids))

    def refused(self, id_: int) -> None:
        """Count a refusal of a report that is tried again."""
        with _Writing(self._db, self._file):
            self._db.execute("update reports set tries = tries + 1 where id = ?", (id_,))

    def count(self, relay: str, what: str, number: int) -> None:
        """Add to a counter."""
        with _Writing(self._db, self._file):
            self._count(relay, what, number)

    def expire(self, relay: str, now_s: float) -> int:
        """Drop what is older than seven days, and the oldest where too much waits; return how many."""
        now = int(now_s)
        with _Writing(self._db, self._file):
            self._db.execute("update reports set taken = ? where relay = ? and taken > ?", (now, relay, now))
            old = self._db.execute("delete from reports where relay = ? and taken < ?", (relay, now - KEPT_S))
            gone = old.rowcount
            if (over := self._waiting(relay) - LIMIT_REPORTS) > 0:
                oldest = "select id from reports where relay = ? order by second, id limit ?"
                self._db.execute(f"delete from reports where id in ({oldest})", (relay, over))  # noqa: S608 (our own text)
                gone += over
            self._count(relay, "expired", gone)
        return gone

    # forgetting

    def vehicles(self, relay: str) -> set[str]:
        """Return the cars of which something is in here."""
        query = (
            "select vehicle from reports where relay = ? "
            "union select vehicle from serials where relay = ? and vehicle != ''"
        )
        return {row[0] for row in self._db.execute(query, (relay, relay))}

    def forget(self, vehicle: str, relay: str) -> int:
        """Delete what is in here of a car, for one relay; return how many reports that was, told by none."""
        with _Writing(self._db, self._file):
            mine = (relay, vehicle)
            number = self._db.execute("delete from reports where relay = ? and vehicle = ?", mine).rowcount
            self._db.execute("delete from serials where relay = ? and vehicle = ?", mine)
            self._count(relay, "dropped", number)
        self._db.execute("pragma wal_checkpoint(truncate)")
        return number

    def keep_only(self, relays: Collection[str]) -> None:
        """Delete all that is in here of relays that are declared no more."""
        known = orjson.dumps([*relays, *(f"sum {relay}" for relay in relays)]).decode()
        others = "not in (select value from json_each(?))"
        with _Writing(self._db, self._file):
            for table in ("reports", "serials", "counts"):
                self._db.execute(f"delete from {table} where relay {others}", (known,))  # noqa: S608 (our own text)
            self._db.execute(f"delete from places where name like 'sum %' and name {others}", (known,))  # noqa: S608
        self._db.execute("pragma wal_checkpoint(truncate)")

    # what is shown

    def counts(self, relay: str) -> dict[str, int]:
        """Return the counters of a relay, since it was declared."""
        found = dict(self._db.execute("select what, number from counts where relay = ?", (relay,)).fetchall())
        return {what: int(found.get(what, 0)) for what in COUNTS}

    def waiting(self, relay: str) -> tuple[int, int | None, int]:
        """Return how many reports wait, when the oldest was taken, and of how many cars they are."""
        query = "select count(*), min(taken), count(distinct vehicle) from reports where relay = ?"
        number, oldest, cars = self._db.execute(query, (relay,)).fetchone()
        return int(number), oldest, int(cars)

    def serial(self, relay: str, vehicle: str, day: int, most: int) -> int:
        """Return a car's next serial of a day, from 1 on, that of the relay itself for ""; it begins anew each day."""
        query = "select number from serials where relay = ? and vehicle = ? and day = ?"
        last = self._db.execute(query, (relay, vehicle, day)).fetchone()
        number = 1 if last is None else int(last[0]) % most + 1
        with _Writing(self._db, self._file):
            self._db.execute("insert or replace into serials values (?, ?, ?, ?)", (relay, vehicle, day, number))
        return number

    def sums(self, relay: str, day: int) -> dict[str, int] | None:
        """Return what was counted since the last sum, where that was on another day; None on the same."""
        if self._place(f"sum {relay}") == day:
            return None
        before = dict(self._db.execute("select what, number from counts where relay = ?", (f"sum {relay}",)).fetchall())
        return {what: number - before.get(what, 0) for what, number in self.counts(relay).items()}

    def summed(self, relay: str, day: int) -> None:
        """Say that the sum was noted."""
        rows = [(f"sum {relay}", what, number) for what, number in self.counts(relay).items()]
        with _Writing(self._db, self._file):
            self._db.executemany("insert or replace into counts values (?, ?, ?)", rows)
            self._db.execute("insert or replace into places values (?, ?)", (f"sum {relay}", day))

    def _place(self, name: str) -> int:
        row = self._db.execute("select number from places where name = ?", (name,)).fetchone()
        return 0 if row is None else int(row[0])

    def _waiting(self, relay: str) -> int:
        return int(self._db.execute("select count(*) from reports where relay = ?", (relay,)).fetchone()[0])

    def _count(self, relay: str, what: str, number: int) -> None:
        if number:
            more = "insert into counts values (?, ?, ?) on conflict do update set number = number + excluded.number"
            self._db.execute(more, (relay, what, number))


class _Writing:
    """One transaction; raises TryLaterError where the disk does not take it."""

    def __init__(self, db: sqlite3.Connection, file: Path) -> None:
        self._db, self._file = db, file

    def __enter__(self) -> None:
        try:
            self._db.execute("begin immediate")
        except sqlite3.DatabaseError as error:
            raise self._full(error) from None

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> None:
        try:
            self._db.execute("rollback" if error else "commit")
        except sqlite3.DatabaseError as failed:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise self._full(failed) from None
        if isinstance(error, sqlite3.DatabaseError):
            raise self._full(error) from None

    def _full(self, error: Exception) -> TryLaterError:
        return TryLaterError(f"{self._file} cannot be written: {error}.", "Make room on its disk.")
