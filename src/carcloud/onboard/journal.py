"""The car's journal of orders: each is carried out once at most, whatever is repeated, and whenever the car dies.

Rules:
* An order is on disk before it is begun, and its result before it is told.
* One that was begun and has no result when the car starts was interrupted: whether the car acted, nobody knows.
* An order is forgotten two days after its time, when no signature for it can hold; until then the journal may be full.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from carcloud.errors import TryLaterError
from carcloud.vehicle.order import canonical

KEEP_S = 2 * 24 * 3600
LIMIT_ORDERS = 4096
INTERRUPTED = canonical({"reason": "interrupted", "state": "failed"})

SCHEMA = "create table if not exists orders (id blob primary key, until integer not null, result blob)"


class Journal:
    """The journal's file, open; one process at a time. Every call raises TryLaterError where the disk fails."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, threading.Lock()
        with self._using():
            self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = wal", "synchronous = full"):
                self._db.execute(f"pragma {pragma}")
            self._db.execute(SCHEMA)
            self._db.execute("update orders set result = ? where result is null", (INTERRUPTED,))

    def close(self) -> None:
        """Close the file."""
        with self._using():
            self._db.close()

    def result(self, order: bytes) -> bytes | None:
        """Return what became of an order, None for one that is new."""
        with self._using():
            row = self._db.execute("select result from orders where id = ?", (order,)).fetchone()
        return row[0] if row else None

    def begin(self, order: bytes, until: int, now: int) -> bool:
        """Note an order that is about to be begun; False where there is no room."""
        with self._using():
            if self._full():
                self._db.execute("delete from orders where until < ?", (now - KEEP_S,))
                if self._full():
                    return False
            self._db.execute("insert into orders values (?, ?, null)", (order, until))
            return True

    def end(self, order: bytes, result: bytes) -> None:
        """Note what became of an order that was begun."""
        with self._using():
            self._db.execute("update orders set result = ? where id = ?", (result, order))

    def _full(self) -> bool:
        return bool(self._db.execute("select count(*) from orders").fetchone()[0] >= LIMIT_ORDERS)

    @contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            try:
                yield
            except sqlite3.Error as error:
                do = "Make room. If it is damaged, move it away: an order under way may then be carried out again."
                raise TryLaterError(f"The journal of orders {self._file} fails: {error}.", do) from None
