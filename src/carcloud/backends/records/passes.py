"""What lets people and programs in: sessions, tokens, one-time links, sign-ins under way, and failed attempts.

Rules:
* A secret is kept as its SHA-256 only; who holds the records can use none of them.
* What is used once is used up in the statement that looks it up: two at the same moment cannot both have it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    ForeignKey,
    Integer,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)

from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.people import Person, people, roles
from carcloud.errors import MissingError

sessions = Table(
    "sessions",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("person", String(64), ForeignKey("people.id"), nullable=False, index=True),
    Column("made_at", Instant, nullable=False),
    Column("used_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("mfa", Boolean, nullable=False),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("hash", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("tenant", String(64), nullable=False),
    Column("person", String(64), ForeignKey("people.id"), index=True),
    Column("roles", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("revoked_at", Instant),
    Column("app", String(64)),
)

links = Table(
    "sign_in_links",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("person", String(64), ForeignKey("people.id"), nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("used_at", Instant),
)

begun = Table(
    "sign_ins_begun",
    metadata,
    Column("hash", String(64), primary_key=True),
    Column("content", Text, nullable=False),
    Column("ends_at", Instant, nullable=False),
)

attempts = Table(
    "sign_in_attempts",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("last_at", Instant, nullable=False),
)


@dataclass(frozen=True)
class Session:
    """A person who is signed in. `hash`: of what the browser holds. `mfa`: whether a second factor was shown."""

    hash: str
    person: str
    made_at: datetime
    used_at: datetime
    ends_at: datetime
    mfa: bool


@dataclass(frozen=True)
class ApiToken:
    """A program's right to come in. `person`: whose right it is a part of, or None for one of the zone's machine.

    app: what it was made for, as grants name it.
    """

    id: str
    hash: str
    name: str
    tenant: str
    person: str | None
    roles: frozenset[str]
    made_at: datetime
    ends_at: datetime
    revoked_at: datetime | None = None
    app: str | None = None


class Passes:
    """What lets people and programs in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # sessions

    def open_session(self, db: Connection, session: Session, keep: int) -> None:
        """Open a session, within a transaction; of the person's others only the newest `keep` stay."""
        mine = select(sessions.c.hash).where(sessions.c.person == session.person)
        others = db.execute(mine.order_by(sessions.c.used_at.desc()).offset(keep)).scalars().all()
        db.execute(delete(sessions).where(sessions.c.hash.in_(others) | (sessions.c.ends_at < session.made_at)))
        db.execute(insert(sessions).values(**vars(session)))

    def session(self, hash: str) -> tuple[Session, Person] | None:  # noqa: A002
        """Return a session with its person, whatever their state."""
        with self._database.transaction() as db:
            row = db.execute(select(sessions, people).join(people).where(sessions.c.hash == hash)).first()
            if row is None:
                return None
            width = len(sessions.c)
            person = dict(zip(people.c.keys(), row[width:], strict=True))
            return Session(*row[:width]), Person(**person, roles=roles(db, person["id"]))

    def touch_session(self, hash: str, now: datetime) -> None:  # noqa: A002
        """Record that a session was used."""
        with self._database.transaction(writing=True) as db:
            db.execute(update(sessions).where(sessions.c.hash == hash).values(used_at=now))

    def close_session(self, db: Connection, hash: str) -> None:  # noqa: A002
        """Close a session, within a transaction."""
        db.execute(delete(sessions).where(sessions.c.hash == hash))

    def close_sessions(self, db: Connection, person: str) -> None:
        """Close all sessions of a person and forget their links, within a transaction."""
        db.execute(delete(sessions).where(sessions.c.person == person))
        db.execute(delete(links).where(links.c.person == person))

    # tokens

    def add_token(self, db: Connection, token: ApiToken) -> None:
        """Add a token, within a transaction."""
        db.execute(insert(api_tokens).values(**vars(token) | {"roles": json.dumps(sorted(token.roles))}))

    def token(self, hash: str) -> ApiToken | None:  # noqa: A002
        """Return the token of this hash, whether it still holds or not."""
        rows = self._database.rows(select(api_tokens).where(api_tokens.c.hash == hash))
        return _token(rows[0]) if rows else None

    def token_by_id(self, id: str) -> ApiToken:  # noqa: A002
        """Return a token; raise MissingError."""
        rows = self._database.rows(select(api_tokens).where(api_tokens.c.id == id))
        if not rows:
            raise MissingError(f"No token {id!r}.", "List them with `carcloud token list`.")
        return _token(rows[0])

    def tokens(self, tenant: str, person: str | None = None) -> list[ApiToken]:
        """Return a tenant's tokens, or those of one person, the newest first."""
        query = select(api_tokens).where(api_tokens.c.tenant == tenant).order_by(api_tokens.c.made_at.desc())
        if person is not None:
            query = query.where(api_tokens.c.person == person)
        return [_token(row) for row in self._database.rows(query)]

    def revoke_token(self, db: Connection, id: str, now: datetime) -> None:  # noqa: A002
        """End a token, within a transaction; ending it twice changes nothing."""
        standing = (api_tokens.c.id == id) & api_tokens.c.revoked_at.is_(None)
        db.execute(update(api_tokens).where(standing).values(revoked_at=now))

    def revoke_tokens(self, db: Connection, person: str, now: datetime) -> None:
        """End all tokens of a person, within a transaction."""
        standing = (api_tokens.c.person == person) & api_tokens.c.revoked_at.is_(None)
        db.execute(update(api_tokens).where(standing).values(revoked_at=now))

    # links, and sign-ins under way elsewhere

    def add_link(self, db: Connection, hash: str, person: str, ends_at: datetime, now: datetime) -> None:  # noqa: A002
        """Add a one-time link, within a transaction; ended ones are forgotten."""
        db.execute(delete(links).where(links.c.ends_at < now))
        db.execute(insert(links).values(hash=hash, person=person, ends_at=ends_at))

    def use_link(self, db: Connection, hash: str, now: datetime) -> str | None:  # noqa: A002
        """Use up a link, within a transaction; return whom it lets in, or None where it does not hold."""
        fresh = (links.c.hash == hash) & links.c.used_at.is_(None) & (links.c.ends_at >= now)
        if db.execute(update(links).where(fresh).values(used_at=now)).rowcount != 1:
            return None
        person: str = db.execute(select(links.c.person).where(links.c.hash == hash)).scalar_one()
        return person

    def begin(self, hash: str, content: Mapping[str, str], ends_at: datetime, now: datetime, most: int) -> bool:  # noqa: A002
        """Keep what a sign-in elsewhere began with; False where too many are under way."""
        with self._database.transaction(writing=True) as db:
            db.execute(delete(begun).where(begun.c.ends_at < now))
            if len(db.execute(select(begun.c.hash).limit(most)).all()) >= most:
                return False
            db.execute(insert(begun).values(hash=hash, content=json.dumps(dict(content)), ends_at=ends_at))
        return True

    def end(self, hash: str, now: datetime) -> dict[str, str] | None:  # noqa: A002
        """Take back what a sign-in elsewhere began with: once."""
        with self._database.transaction(writing=True) as db:
            mine = (begun.c.hash == hash) & (begun.c.ends_at >= now)
            row = db.execute(select(begun.c.content).where(mine).with_for_update()).first()
            if row is None or db.execute(delete(begun).where(begun.c.hash == hash)).rowcount != 1:
                return None
        content: dict[str, str] = json.loads(row.content)
        return content

    # failed attempts

    def failures(self, db: Connection, keys: Sequence[str], now: datetime) -> dict[str, tuple[int, datetime]]:
        """Return how often each key has failed, and when last; held against others until the transaction ends."""
        for key in sorted(keys):
            new = self._database.insert(attempts).values(key=key, failures=0, last_at=now)
            db.execute(new.on_conflict_do_nothing())
        query = select(attempts).where(attempts.c.key.in_(keys)).order_by(attempts.c.key).with_for_update()
        return {row.key: (row.failures, row.last_at) for row in db.execute(query)}

    def count_failures(self, db: Connection, keys: Sequence[str], now: datetime, since: datetime) -> None:
        """Count one failure more for each key, within a transaction; what failed last before `since` is forgotten."""
        db.execute(delete(attempts).where(attempts.c.last_at < since))
        counted = update(attempts).where(attempts.c.key.in_(keys))
        db.execute(counted.values(failures=attempts.c.failures + 1, last_at=now))

    def pardon(self, db: Connection, keys: Sequence[str], *, wholly: bool) -> None:
        """Take one failure back from each key, or all, within a transaction."""
        mine = attempts.c.key.in_(keys)
        if wholly:
            db.execute(delete(attempts).where(mine))
        else:
            db.execute(update(attempts).where(mine, attempts.c.failures > 0).values(failures=attempts.c.failures - 1))


def _token(row: Any) -> ApiToken:
    return ApiToken(**dict(row._mapping) | {"roles": frozenset(json.loads(row.roles))})
