"""The gateway's own small store: the queue of each terminal, and which frames stand in its last batches.

Rules:
* What a terminal reports is not in here: only numbers, and eight bytes of a digest of each frame.
* A number is on disk before its batch is sent, so that none ever stands for other content.
* After a restart the governor says up to which number a queue is durable. What was numbered beyond that is gone; the
  queue is begun anew, and its frames are not known any more: the terminal sends them again.
* A frame that is known is durable: sent again, it is answered and goes no further.
* One process at a time: SQLite's exclusive lock, which dies with its holder.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from carcloud.errors import ConflictError, TryLaterError

KEPT_BATCHES = 128
DIGEST_BYTES = 8
_SCHEMA = """
create table if not exists queues (vehicle text primary key, queue integer not null, numbered integer not null);
create table if not exists batches (vehicle text, number integer, frames blob not null, primary key (vehicle, number))
    without rowid;
"""


@dataclass(frozen=True)
class Numbered:
    """A batch that is about to be sent: its number, and the digests of its frames."""

    vehicle: str
    queue: int
    number: int
    frames: bytes


class Numbers:
    """The store, open. Used by one thread at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._db.execute("pragma locking_mode = exclusive")
            self._db.execute("pragma journal_mode = wal")
            self._db.execute("pragma synchronous = full")
            self._db.executescript(_SCHEMA)
        except sqlite3.OperationalError as error:
            self._db.close()
            raise ConflictError(f"{file} cannot be taken: {error}.", "Stop the other process.") from None
        except sqlite3.DatabaseError:  # nothing is lost with it: queues begin anew
            self._db.close()
            file.rename(file.with_suffix(f".damaged-{secrets.token_hex(4)}"))
            self.__init__(file)  # type: ignore[misc]

    def of(self, vehicle: str) -> tuple[int, int] | None:
        """Return a terminal's queue and the highest number given in it."""
        row = self._db.execute("select queue, numbered from queues where vehicle = ?", (vehicle,)).fetchone()
        return None if row is None else (_unsigned(row[0]), int(row[1]))

    def frames(self, vehicle: str) -> list[bytes]:
        """Return the digests of the frames in a terminal's last batches, the oldest first."""
        query = "select frames from batches where vehicle = ? order by number"
        joined = b"".join(row[0] for row in self._db.execute(query, (vehicle,)))
        return [joined[at : at + DIGEST_BYTES] for at in range(0, len(joined), DIGEST_BYTES)]

    def give(self, batches: Sequence[Numbered]) -> None:
        """Write the numbers of batches that are about to be sent; all at once, and flushed. Raise TryLaterError."""
        rows = [(one.vehicle, one.number, one.frames) for one in batches]
        queues = [(one.vehicle, _signed(one.queue), one.number) for one in batches]
        old = [(vehicle, number - KEPT_BATCHES) for vehicle, number, _ in rows]
        self._write(
            ("insert or replace into queues values (?, ?, ?)", queues),
            ("insert or replace into batches values (?, ?, ?)", rows),
            ("delete from batches where vehicle = ? and number <= ?", old),
        )

    def begin_anew(self, vehicle: str, durable: int) -> int:
        """Give a terminal a new queue, its frames beyond the durable number forgotten; return the queue."""
        queue = secrets.randbits(64) or 1
        lost, kept = (vehicle, durable), (durable + 1, vehicle)
        self._write(
            ("delete from batches where vehicle = ? and number > ?", [lost]),
            ("update batches set number = number - ? where vehicle = ?", [kept]),
            ("insert or replace into queues values (?, ?, 0)", [(vehicle, _signed(queue))]),
        )
        return queue

    def forget(self, vehicle: str) -> None:
        """Drop all there is of a vehicle."""
        self._write(
            ("delete from batches where vehicle = ?", [(vehicle,)]),
            ("delete from queues where vehicle = ?", [(vehicle,)]),
        )

    def vehicles(self) -> set[str]:
        """Return the vehicles there is anything of."""
        return {row[0] for row in self._db.execute("select vehicle from queues")}

    def close(self) -> None:
        """Close the store; what is in it stays."""
        self._db.close()

    def _write(self, *statements: tuple[str, Sequence[tuple[Any, ...]]]) -> None:
        try:
            self._db.execute("begin")
            for statement, rows in statements:
                self._db.executemany(statement, rows)
            self._db.execute("commit")
        except sqlite3.DatabaseError as error:
            if self._db.in_transaction:
                self._db.execute("rollback")
            raise TryLaterError(f"{self._file} cannot be written: {error}.", "Make room on its disk.") from None


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _unsigned(number: int) -> int:
    return int(number) % 2**64
