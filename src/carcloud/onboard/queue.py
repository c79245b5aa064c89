"""The car's store: a bounded queue on disk of the batches that are not yet durably acknowledged.

Rules:
* A batch waits without a number. It gets one when it first goes on the wire, under the file's random queue id, and that
  is on disk before the batch leaves. A number never stands for other content.
* Numbers are given to the most important batches first, and among those to the oldest; one that is held back gets none.
* A batch is deleted when it is acknowledged, never before.
* With a recording's batches goes how far it was driven, so that a killed drive goes on where it was; with a plan's goes
  what the plan has done so far.
* Every record has a CRC. A damaged one is counted; if it has a number, a tombstone takes its place.
* Nothing is dropped but by `admit`, where the queue is full: the oldest of the least important, never a number.
* One process at a time: SQLite's exclusive lock, which dies with its holder.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import google_crc32c

from carcloud.errors import ConflictError, TryLaterError
from carcloud.vehicle.batch import renumber, tombstone

DEFAULT_LIMIT_BYTES = 256 * 1024 * 1024  # a day of one car at 100 samples/s and 3 B each is 26 MB
ORDINARY = 5
"""The priority of what no plan asked for; 1 is the most important, 9 the least."""

SCHEMA = """
create table if not exists queue (only integer primary key check (only = 1), id integer not null,
    numbered integer not null, acked integer not null);
create table if not exists batches (place integer primary key, number integer unique, samples integer not null,
    crc integer not null, payload blob not null, priority integer not null, plan text not null);
create index if not exists waiting on batches (priority, place) where number is null;
create table if not exists tables (hash blob primary key, json blob not null);
create table if not exists places (recording text primary key, batches integer not null, shift_us integer not null,
    collected_us integer not null);
create table if not exists plans (name text primary key, document blob not null, state blob not null);
"""


class Parcel(NamedTuple):
    """A batch to be kept: its payload, how many samples it has, how important it is, and the plan it comes from."""

    payload: bytes
    samples: int
    priority: int = ORDINARY
    plan: str = ""


@dataclass(frozen=True)
class Numbered:
    """A batch with its number, ready for the wire."""

    number: int
    samples: int
    payload: bytes


@dataclass(frozen=True)
class Place:
    """How far a recording was driven: so many of its batches are stored, their times shifted by `shift_us`.

    collected_us: up to when, exclusive, what its plans collected and said is stored.
    """

    recording: str
    batches: int
    shift_us: int
    collected_us: int = 0


@dataclass(frozen=True)
class KeptPlan:
    """A collection plan as the car keeps it: its document, and what it has done, as the collector wrote it."""

    name: str
    document: bytes
    state: bytes


@dataclass
class QueueCounts:
    """What this process saw happen to the queue. Samples of damaged records are gone."""

    acked_batches: int = 0
    acked_samples: int = 0
    dropped_batches: int = 0
    dropped_samples: int = 0
    damaged_batches: int = 0


class Queue:
    """A queue file, open. Safe to use from two threads."""

    def __init__(self, file: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> None:
        self.file, self.limit_bytes = file, limit_bytes
        self.counts = QueueCounts()
        self._lock = threading.RLock()
        self._held = "[]"
        self._db = self._open()
        row = self._db.execute("select id, numbered, acked from queue").fetchone()
        self._id, self._numbered, self.acked = _unsigned(row[0]), int(row[1]), int(row[2])
        totals = "select count(*), coalesce(sum(samples), 0), coalesce(sum(length(payload)), 0) from batches"
        self.batches, self.samples, self.bytes = self._db.execute(totals).fetchone()

    def _open(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            db.execute("pragma locking_mode = exclusive")
            db.execute("pragma journal_mode = wal")
            db.execute("begin exclusive")
            for statement in SCHEMA.split(";"):
                db.execute(statement)
            db.execute("insert or ignore into queue values (1, ?, 0, 0)", (_signed(secrets.randbits(64) or 1),))
            db.execute("commit")
        except sqlite3.OperationalError as error:
            db.close()
            do = "Stop the other process, or give this one another queue folder."
            raise ConflictError(f"The queue {self.file} cannot be taken: {error}.", do) from None
        except sqlite3.DatabaseError as error:
            db.close()
            do = "Move the file away; batches in it that were not acknowledged are lost with it."
            raise ConflictError(f"The queue {self.file} is damaged: {error}.", do) from None
        return db

    @property
    def id(self) -> int:
        """Return the random id under which this file numbers its batches."""
        return self._id

    @property
    def numbered(self) -> int:
        """Return the highest number given so far."""
        return self._numbered

    @property
    def full(self) -> bool:
        """Say whether the queue is at its limit."""
        return bool(self.bytes >= self.limit_bytes)

    @contextlib.contextmanager
    def _transaction(self, flush: bool = True) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                self._db.execute(f"pragma synchronous = {'full' if flush else 'normal'}")
                self._db.execute("begin")
                yield self._db
                self._db.execute("commit")
            except sqlite3.DatabaseError as error:  # a full or failing disk: nothing of this transaction happened
                if self._db.in_transaction:
                    self._db.execute("rollback")
                do = "Make room on its disk, or mend it."
                raise TryLaterError(f"The queue {self.file} cannot be written: {error}.", do) from None

    def know_table(self, table_hash: bytes, text: bytes) -> None:
        """Keep an id table, so that batches from before a restart can still be announced."""
        with self._transaction() as db:
            db.execute("insert or ignore into tables values (?, ?)", (table_hash, text))

    def tables(self) -> dict[bytes, bytes]:
        """Return the id tables that waiting batches may name: hash → JSON."""
        with self._lock:
            return dict(self._db.execute("select hash, json from tables"))

    def append(
        self,
        batches: Sequence[tuple[bytes, int] | Parcel],
        place: Place | None = None,
        states: Mapping[str, bytes] | None = None,
    ) -> None:
        """Store batches, the place a recording is at with them, and plans' states, in one flushed group.

        A batch is a parcel, or a payload with its count of samples. States of plans that are not kept are left out.
        """
        parcels = [Parcel(*batch) for batch in batches]
        rows = [(one.samples, google_crc32c.value(one.payload), one.payload, one.priority, one.plan) for one in parcels]
        with self._transaction() as db:
            insert = "insert into batches (samples, crc, payload, priority, plan) values (?, ?, ?, ?, ?)"
            db.executemany(insert, rows)
            if place is not None:
                values = (place.recording, place.batches, place.shift_us, place.collected_us)
                db.execute("insert or replace into places values (?, ?, ?, ?)", values)
            known = [(state, name) for name, state in (states or {}).items()]
            db.executemany("update plans set state = ? where name = ?", known)
        with self._lock:
            self.batches += len(parcels)
            self.samples += sum(one.samples for one in parcels)
            self.bytes += sum(len(one.payload) for one in parcels)

    def place(self, recording: str) -> Place | None:
        """Return how far a recording was driven that did not come to its end."""
        with self._lock:
            row = self._db.execute("select * from places where recording = ?", (recording,)).fetchone()
        return Place(*row) if row else None

    def finish(self, recording: str) -> None:
        """Forget a recording's place: it came to its end."""
        with self._transaction() as db:
            db.execute("delete from places where recording = ?", (recording,))

    def plans(self) -> list[KeptPlan]:
        """Return the plans that are kept."""
        with self._lock:
            return [KeptPlan(*row) for row in self._db.execute("select * from plans order by name")]

    def keep_plan(self, plan: KeptPlan) -> None:
        """Keep a plan, in the place of one of its name."""
        with self._transaction() as db:
            db.execute("insert or replace into plans values (?, ?, ?)", (plan.name, plan.document, plan.state))

    def drop_plan(self, name: str) -> None:
        """Forget a plan; its batches stay."""
        with self._transaction() as db:
            db.execute("delete from plans where name = ?", (name,))

    def hold(self, plans: Collection[str]) -> None:
        """Hold the batches of these plans back, and of no others: they wait without a number."""
        self._held = json.dumps(sorted(plans))

    @property
    def held_batches(self) -> int:
        """Return how many batches are held back."""
        if self._held == "[]":
            return 0
        query = "select count(*) from batches where number is null and plan in (select value from json_each(?))"
        with self._lock:
            return int(self._db.execute(query, (self._held,)).fetchone()[0])

    def waiting_bytes(self) -> dict[str, int]:
        """Return how many bytes wait to be acknowledged: plan → bytes, "" for what no plan asked for."""
        with self._lock:
            return dict(self._db.execute("select plan, sum(length(payload)) from batches group by plan"))

    def number(self, count: int, size_bytes: int) -> list[Numbered]:
        """Give the most important waiting batches their numbers, durably, the oldest first; return them.

        At most so many and so much.
        """
        chosen, total, lost = [], 0, []
        with self._transaction() as db:
            next_number = self._numbered
            query = (
                "select place, samples, crc, payload from batches where number is null "
                "and plan not in (select value from json_each(?)) order by priority, place limit ?"
            )
            for place, samples, crc, payload in db.execute(query, (self._held, count)).fetchall():
                if google_crc32c.value(payload) != crc:
                    lost.append((place, samples, len(payload)))
                    continue
                if total + len(payload) > size_bytes:
                    break
                total += len(payload)
                next_number += 1
                chosen.append((place, Numbered(next_number, samples, renumber(payload, self._id, next_number))))
            db.executemany("update batches set number = ? where place = ?", [(n.number, place) for place, n in chosen])
            db.executemany("delete from batches where place = ?", [(place,) for place, _, _ in lost])
            if chosen:
                db.execute("update queue set numbered = ?", (next_number,))
        with self._lock:
            self._numbered = next_number
            self.counts.damaged_batches += len(lost)
            self._less(len(lost), sum(row[1] for row in lost), sum(row[2] for row in lost))
        return [numbered for _, numbered in chosen]

    def in_flight(self) -> list[Numbered]:
        """Return every numbered batch that is not acknowledged, a tombstone where a record or a number is damaged."""
        with self._lock:
            query = "select number, samples, crc, payload from batches where number is not null order by number"
            found = {row[0]: row for row in self._db.execute(query)}
        return [self._read(number, found.get(number)) for number in range(self.acked + 1, self._numbered + 1)]

    def _read(self, number: int, row: tuple[int, int, int, bytes] | None) -> Numbered:
        if row is not None and google_crc32c.value(row[3]) == row[2]:
            return Numbered(number, row[1], renumber(row[3], self._id, number))
        self.counts.damaged_batches += 1
        return Numbered(number, 0, tombstone(self._id, number))

    def ack(self, number: int) -> int:
        """Delete what is acknowledged up to `number`; return how many batches that were. Unknown numbers do nothing.

        This is not flushed by itself: what a power cut brings back is sent again, and the zone knows it.
        """
        if not self.acked < number <= self._numbered:
            return 0
        with self._transaction(flush=False) as db:
            query = "select count(*), coalesce(sum(samples), 0), coalesce(sum(length(payload)), 0) from batches"
            batches, samples, size = db.execute(f"{query} where number <= ?", (number,)).fetchone()
            db.execute("delete from batches where number <= ?", (number,))
            db.execute("update queue set acked = ?", (number,))
        with self._lock:
            self.acked = number
            self.counts.acked_batches += batches
            self.counts.acked_samples += samples
            self._less(batches, samples, size)
        return int(batches)

    def renew(self) -> None:
        """Begin anew under another id, all batches without number: for a zone that forgot what it acknowledged."""
        fresh = secrets.randbits(64) or 1
        with self._transaction() as db:
            db.execute("update batches set number = null")
            db.execute("update queue set id = ?, numbered = 0, acked = 0", (_signed(fresh),))
        with self._lock:
            self._id, self._numbered, self.acked = fresh, 0, 0

    def drop_oldest(self, priority: int = 1) -> bool:
        """Drop the oldest of the least important batches that have no number, and count it; say whether there was one.

        One that is more important than `priority` is not dropped.
        """
        with self._transaction() as db:
            dropped = _drop_least(db, priority)
        self._dropped([dropped] if dropped else [])
        return dropped is not None

    def admit(self, batches: Sequence[Parcel]) -> list[Parcel]:
        """Make room for batches; return those that there is room for.

        What is less important is dropped for them, or as important and older. Where all that waits is more important,
        they are dropped themselves. What has a number keeps its room: for it, the queue grows beyond its limit.
        """
        room = self.limit_bytes - self.bytes
        if sum(len(batch.payload) for batch in batches) <= room:
            return list(batches)
        found: list[Parcel] = []
        dropped: list[tuple[int, int]] = []
        refused: list[Parcel] = []
        with self._transaction() as db:
            for batch in batches:
                while room < len(batch.payload) and (gone := _drop_least(db, batch.priority)) is not None:
                    dropped.append(gone)
                    room += gone[1]
                fits = room >= len(batch.payload) or not (found or _waits(db))
                (found if fits else refused).append(batch)
                room -= len(batch.payload) if fits else 0
        self._dropped(dropped)
        self.counts.dropped_batches += len(refused)
        self.counts.dropped_samples += sum(batch.samples for batch in refused)
        return found

    def _dropped(self, gone: Sequence[tuple[int, int]]) -> None:
        with self._lock:
            samples, size = sum(row[0] for row in gone), sum(row[1] for row in gone)
            self.counts.dropped_batches += len(gone)
            self.counts.dropped_samples += samples
            self._less(len(gone), samples, size)

    def _less(self, batches: int, samples: int, size: int) -> None:
        self.batches -= batches
        self.samples -= samples
        self.bytes -= size

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            self._db.close()


def _drop_least(db: sqlite3.Connection, priority: int) -> tuple[int, int] | None:
    """Drop the oldest of the least important batches without a number; return its samples and bytes."""
    least = db.execute("select max(priority) from batches where number is null").fetchone()[0]
    if least is None or least < priority:
        return None
    query = "select place, samples, length(payload) from batches where number is null and priority = ?"
    place, samples, size = db.execute(f"{query} order by place limit 1", (least,)).fetchone()
    db.execute("delete from batches where place = ?", (place,))
    return samples, size


def _waits(db: sqlite3.Connection) -> bool:
    return db.execute("select 1 from batches where number is null limit 1").fetchone() is not None


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _unsigned(number: int) -> int:
    return int(number) % 2**64
