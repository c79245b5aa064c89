"""The car's store: a bounded queue on disk of the batches that are not yet durably acknowledged.

Rules:
* A batch waits without a number. It gets one when it first goes on the wire, under the file's random queue id, and that
  is on disk before the batch leaves. A number never stands for other content.
* A batch is deleted when it is acknowledged, never before.
* With a recording's batches goes how far it was driven, so that a killed drive goes on where it was.
* Every record has a CRC. A damaged one is counted; if it has a number, a tombstone takes its place.
* Nothing is dropped but by `drop_oldest`, which a live source calls when the queue is full; it never drops a number.
* One process at a time: SQLite's exclusive lock, which dies with its holder.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import google_crc32c

from carcloud.errors import ConflictError, TryLaterError
from carcloud.vehicle.batch import renumber, tombstone

DEFAULT_LIMIT_BYTES = 256 * 1024 * 1024  # a day of one car at 100 samples/s and 3 B each is 26 MB

SCHEMA = """
create table if not exists queue (only integer primary key check (only = 1), id integer not null,
    numbered integer not null, acked integer not null);
create table if not exists batches (place integer primary key, number integer unique, samples integer not null,
    crc integer not null, payload blob not null);
create table if not exists tables (hash blob primary key, json blob not null);
create table if not exists places (recording text primary key, batches integer not null, shift_us integer not null);
"""


@dataclass(frozen=True)
class Numbered:
    """A batch with its number, ready for the wire."""

    number: int
    samples: int
    payload: bytes


@dataclass(frozen=True)
class Place:
    """How far a recording was driven: so many of its batches are stored, their times shifted by `shift_us`."""

    recording: str
    batches: int
    shift_us: int


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

    def know_table(self, table_hash: bytes, json: bytes) -> None:
        """Keep an id table, so that batches from before a restart can still be announced."""
        with self._transaction() as db:
            db.execute("insert or ignore into tables values (?, ?)", (table_hash, json))

    def tables(self) -> dict[bytes, bytes]:
        """Return the id tables that waiting batches may name: hash → JSON."""
        with self._lock:
            return dict(self._db.execute("select hash, json from tables"))

    def append(self, batches: Sequence[tuple[bytes, int]], place: Place | None = None) -> None:
        """Store payloads with their sample counts, and the place a recording is at with them, in one flushed group."""
        rows = [(samples, google_crc32c.value(payload), payload) for payload, samples in batches]
        with self._transaction() as db:
            db.executemany("insert into batches (samples, crc, payload) values (?, ?, ?)", rows)
            if place is not None:
                values = (place.recording, place.batches, place.shift_us)
                db.execute("insert or replace into places values (?, ?, ?)", values)
        with self._lock:
            self.batches += len(rows)
            self.samples += sum(row[0] for row in rows)
            self.bytes += sum(len(row[2]) for row in rows)

    def place(self, recording: str) -> Place | None:
        """Return how far a recording was driven that did not come to its end."""
        with self._lock:
            row = self._db.execute("select * from places where recording = ?", (recording,)).fetchone()
        return Place(*row) if row else None

    def finish(self, recording: str) -> None:
        """Forget a recording's place: it came to its end."""
        with self._transaction() as db:
            db.execute("delete from places where recording = ?", (recording,))

    def number(self, count: int, size_bytes: int) -> list[Numbered]:
        """Give the oldest waiting batches their numbers, durably, and return them: at most so many and so much."""
        chosen, total, lost = [], 0, []
        with self._transaction() as db:
            next_number = self._numbered
            query = "select place, samples, crc, payload from batches where number is null order by place limit ?"
            for place, samples, crc, payload in db.execute(query, (count,)).fetchall():
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

    def drop_oldest(self) -> bool:
        """Drop the oldest batch that has no number, and count it; say whether there was one."""
        with self._transaction() as db:
            query = "select place, samples, length(payload) from batches where number is null order by place limit 1"
            row = db.execute(query).fetchone()
            if row is None:
                return False
            db.execute("delete from batches where place = ?", (row[0],))
        with self._lock:
            self.counts.dropped_batches += 1
            self.counts.dropped_samples += row[1]
            self._less(1, row[1], row[2])
        return True

    def _less(self, batches: int, samples: int, size: int) -> None:
        self.batches -= batches
        self.samples -= samples
        self.bytes -= size

    def close(self) -> None:
        """Close the file; what is in it stays."""
        with self._lock:
            self._db.close()


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _unsigned(number: int) -> int:
    return int(number) % 2**64
