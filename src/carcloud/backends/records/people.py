"""The people of a zone and their roles. What lets them in stands in `passes`.

Rules:
* A login names one person of the zone; so does a pair of issuer and subject of somebody else's sign-in.
* Roles hold from the next request on; a suspended person keeps them and may do nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    ForeignKey,
    LargeBinary,
    Select,
    String,
    Table,
    Text,
    UniqueConstraint,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy import exc as sql_errors

from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.tables import meta
from carcloud.errors import ConflictError, MissingError

FIRST = "first_person"
"""The setting of the zone that says who its first person is."""

PersonState = Literal["active", "suspended"]

people = Table(
    "people",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("login", String(64), nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("issuer", Text),
    Column("subject", Text),
    Column("password", Text),
    Column("factor", LargeBinary),
    Column("factor_asked", LargeBinary),
    Column("factor_step", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint("issuer", "subject"),
)

roles_of = Table(
    "people_roles",
    metadata,
    Column("person", String(64), ForeignKey("people.id"), primary_key=True),
    Column("role", String(32), primary_key=True),
)


@dataclass(frozen=True)
class Person:
    """Somebody who uses the zone.

    issuer, subject: who vouches for the person elsewhere, and under which name. password: its argon2 hash.
    factor: the sealed secret of the second factor; factor_asked: one that is not confirmed yet; factor_step: the last
        time step whose code was used.
    """

    id: str
    tenant: str
    login: str
    name: str
    state: PersonState
    created_at: datetime
    issuer: str | None = None
    subject: str | None = None
    password: str | None = field(default=None, repr=False)
    factor: bytes | None = field(default=None, repr=False)
    factor_asked: bytes | None = field(default=None, repr=False)
    factor_step: int = 0
    roles: frozenset[str] = frozenset()


class People:
    """Who uses the zone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, db: Connection, person: Person) -> None:
        """Add a person with roles, within a transaction; raise ConflictError where the login is taken."""
        row = {name: value for name, value in vars(person).items() if name != "roles"}
        try:
            db.execute(insert(people).values(**row))
        except sql_errors.IntegrityError:
            raise ConflictError("This login cannot be had.", "Choose another.") from None
        self.set_roles(db, person.id, person.roles)

    def add_first(self, db: Connection, person: Person) -> None:
        """Add the zone's first person, and record who that is, within one transaction."""
        self.add(db, person)
        db.execute(insert(meta).values(key=FIRST, text=person.id))

    def set_roles(self, db: Connection, person: str, roles: Iterable[str]) -> None:
        """Give a person these roles and no other, within a transaction."""
        db.execute(delete(roles_of).where(roles_of.c.person == person))
        rows = [{"person": person, "role": role} for role in sorted(set(roles))]
        if rows:
            db.execute(insert(roles_of), rows)

    def change(self, db: Connection, person: str, **columns: Any) -> None:
        """Change a person, within a transaction."""
        db.execute(update(people).where(people.c.id == person).values(**columns))

    def use_step(self, db: Connection, person: str, step: int) -> bool:
        """Use up the code of a time step; tell whether it was fresh: none as late was used before."""
        fresh = (people.c.id == person) & (people.c.factor_step < step)
        return db.execute(update(people).where(fresh).values(factor_step=step)).rowcount == 1

    def get(self, id: str) -> Person:  # noqa: A002
        """Return a person in any state; raise MissingError."""
        found = self._one(select(people).where(people.c.id == id))
        if found is None:
            raise MissingError(f"No person {id!r}.", "List them with `carcloud person list`.")
        return found

    def by_login(self, login: str) -> Person | None:
        """Return the person of this login, in any state."""
        return self._one(select(people).where(people.c.login == login))

    def by_subject(self, issuer: str, subject: str) -> Person | None:
        """Return the person whom an issuer knows under this name, in any state."""
        return self._one(select(people).where(people.c.issuer == issuer, people.c.subject == subject))

    def all(self, tenant: str) -> list[Person]:
        """Return everybody of a tenant, in the order of their logins."""
        query = select(people).where(people.c.tenant == tenant).order_by(people.c.login)
        with self._database.transaction() as db:
            rows = db.execute(query).all()
            mine = select(roles_of).join(people).where(people.c.tenant == tenant)
            roles: dict[str, set[str]] = {}
            for row in db.execute(mine):
                roles.setdefault(row.person, set()).add(row.role)
        return [Person(**row._mapping, roles=frozenset(roles.get(row.id, ()))) for row in rows]

    def none(self) -> bool:
        """Tell whether the zone has nobody yet."""
        return not self._database.rows(select(people.c.id).limit(1))

    def _one(self, query: Select[Any]) -> Person | None:
        with self._database.transaction() as db:
            row = db.execute(query).first()
            if row is None:
                return None
            return Person(**row._mapping, roles=roles(db, row.id))


def roles(db: Connection, person: str) -> frozenset[str]:
    """Return a person's roles."""
    return frozenset(db.execute(select(roles_of.c.role).where(roles_of.c.person == person)).scalars())
