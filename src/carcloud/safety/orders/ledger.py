"""What the order signer has admitted and signed, on its own disk: nothing is admitted twice under another text.

Rules:
* Everything is flushed before the signer answers.
* An authorisation is admitted whole, with all its orders, or not at all; a nonce of a key is used once.
* What the car said in the end is kept: a finished order is never signed again.
* What ended two days ago is forgotten: no car takes it any more.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass
from pathlib import Path

from carcloud.errors import ConflictError
from carcloud.safety.orders.authorisation import Authorisation

KEEP_S = 2 * 24 * 3600

SCHEMA = """
create table if not exists admitted (digest text primary key, expires_at integer not null);
create table if not exists nonces (key text not null, nonce text not null, digest text not null,
    primary key (key, nonce));
create table if not exists orders (id text primary key, digest text not null, vehicle text not null,
    person text, at integer not null, state text, reason text);
create index if not exists orders_person on orders (person, at);
create table if not exists signings (request blob primary key, id text not null, vehicle text not null);
"""


@dataclass(frozen=True)
class Finished:
    """What became of an order, by the car's own word."""

    state: str
    reason: str | None


class Ledger:
    """The ledger's file, open. Safe to use from many threads."""

    def __init__(self, file: Path) -> None:
        self._lock = threading.RLock()
        self._db = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = wal", "synchronous = full"):
            self._db.execute(f"pragma {pragma}")
        self._db.executescript(SCHEMA)
        file.chmod(0o600)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def knows(self, digest: str) -> bool:
        """Say whether an authorisation is admitted."""
        with self._lock:
            return self._db.execute("select 1 from admitted where digest = ?", (digest,)).fetchone() is not None

    def alone(self, person: str, since: int) -> set[str]:
        """Return the cars a person has ordered alone since then."""
        query = "select distinct vehicle from orders where person = ? and at >= ?"
        with self._lock:
            return {row[0] for row in self._db.execute(query, (person, since))}

    def admit(self, given: Authorisation, keys: list[str], alone: str | None, now: int) -> None:
        """Admit an authorisation, signed by these keys; again is nothing. `alone`: the person, if nobody else signed.

        Raises:
            ConflictError: a key has used the nonce for another authorisation.
        """
        if self.knows(given.digest):
            return
        with self._lock, self._db:
            self._db.execute("begin immediate")
            self._forget(now)
            for key in keys:
                used = "select digest from nonces where key = ? and nonce = ?"
                found = self._db.execute(used, (key, given.nonce)).fetchone()
                if found and found[0] != given.digest:
                    raise ConflictError("The nonce was used before.", "Sign a new authorisation.")
                self._db.execute("insert or ignore into nonces values (?, ?, ?)", (key, given.nonce, given.digest))
            self._db.execute("insert into admitted values (?, ?)", (given.digest, given.expires_at))
            rows = [(id_, given.digest, vehicle, alone, now, None, None) for vehicle, id_ in given.orders().items()]
            self._db.executemany("insert into orders values (?, ?, ?, ?, ?, ?, ?)", rows)

    def note_signing(self, request: bytes, order: str, vehicle: str) -> None:
        """Note the message by which an order was given, so that its result is known by it."""
        with self._lock:
            self._db.execute("insert into signings values (?, ?, ?)", (request, order, vehicle))

    def signed(self, request: bytes) -> tuple[str, str] | None:
        """Return (order, vehicle) of a message, None where the signer did not make it."""
        with self._lock:
            row = self._db.execute("select id, vehicle from signings where request = ?", (request,)).fetchone()
        return (row[0], row[1]) if row else None

    def finish(self, order: str, outcome: Finished) -> None:
        """Keep what became of an order; the first word stands."""
        with self._lock:
            self._db.execute(
                "update orders set state = ?, reason = ? where id = ? and state is null",
                (outcome.state, outcome.reason, order),
            )

    def finished(self, order: str) -> Finished | None:
        """Return what became of an order, None while it is open."""
        query = "select state, reason from orders where id = ? and state is not null"
        with self._lock:
            row = self._db.execute(query, (order,)).fetchone()
        return Finished(row[0], row[1]) if row else None

    def _forget(self, now: int) -> None:
        old = "(select digest from admitted where expires_at < ?)"
        for statement in (
            f"delete from signings where id in (select id from orders where digest in {old})",  # noqa: S608
            f"delete from orders where digest in {old}",  # noqa: S608
            f"delete from nonces where digest in {old}",  # noqa: S608
            "delete from admitted where expires_at < ?",
        ):
            self._db.execute(statement, (now - KEEP_S,))
