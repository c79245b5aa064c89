"""Grants: who may see or do what with which car, for what and until when. A consent is a grant to the zone itself.

Rules:
* Every giving is a version, none is overwritten. A new version ends the one before; of a version only its end is added.
* A grant given under another ends with it, at the latest: at once where that one is revoked or given anew. It counts
  only while whoever gave it is an active person with the role of an owner.
* What joins a car to another owner ends with `reset`: every grant on it, whoever gave it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    insert,
    literal,
    select,
    update,
)

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.people import people, roles_of
from carcloud.errors import ConflictError, InputError, MissingError

log = logging.getLogger(__name__)

LIMIT_OF_CAR = 256
"""How many grants on one car may stand at once."""
LIMIT_OF_GRANTEE = 10_000
"""How many grants to one grantee may stand at once: each is looked at whenever they ask."""

NO_SCOPE = '{"paths": [], "commands": [], "precision": []}'

GRANT_LOCK = 0x6772616E  # any constant: on PostgreSQL one grant at a time is looked for and added

grants = Table(
    "grants",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("tenant", String(64), nullable=False),
    Column("vehicle", String(64), nullable=False),
    Column("grantee", String(96), nullable=False),
    Column("purpose", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("scope", Text, nullable=False),
    Column("zone", String(64), nullable=False),
    Column("from_at", Instant, nullable=False),
    Column("until_at", Instant),
    Column("given_at", Instant, nullable=False),
    Column("given_by", String(96), nullable=False),
    Column("under", String(32)),
    Column("policy", String(64), nullable=False),
    Column("said", String(64), nullable=False),
    Column("owner", Boolean, nullable=False, default=False),
    Column("revoked_at", Instant),
    Column("revoked_by", String(96)),
    UniqueConstraint("vehicle", "grantee", "purpose", "version"),
)
Index("grants_grantee", grants.c.grantee, grants.c.revoked_at)


@dataclass(frozen=True)
class Grant:
    """One version of a grant. `from_at` is in, `until_at` is not; None: until it is revoked.

    grantee: `zone`, `person:ID`, `token:ID`, or `app:NAME` for the tokens made for that app.
    paths: globs of signals. commands: what the car may be told. precision: (glob, step), the first that names a signal.
    under: the grant it was given under, None where the zone's own people gave it.
    policy: the hash of the governance it was given under. said: the hash of what that said of the purpose.
    owner: whether it is to the car's owner, who gives and withdraws its consents and may share what they hold.
    """

    id: str
    tenant: str
    vehicle: str
    grantee: str
    purpose: str
    version: int
    paths: tuple[str, ...]
    commands: tuple[str, ...]
    precision: tuple[tuple[str, float], ...]
    zone: str
    from_at: datetime
    until_at: datetime | None
    given_at: datetime
    given_by: str
    under: str | None
    policy: str
    said: str
    owner: bool = False
    revoked_at: datetime | None = None
    revoked_by: str | None = None


@dataclass(frozen=True)
class Held:
    """A grant that nobody has ended, with the one it was given under."""

    grant: Grant
    under: Grant | None = None


class Grants:
    """The grants on every car."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def give(self, wanted: Grant) -> Grant:
        """Give a grant as a new version, and note it for the audit log; what stands already is not written again.

        Raises:
            MissingError: there is no such car.
            ConflictError: the grant it is given under has ended meanwhile, or the zone gave another which stands.
            InputError: too many stand already.
        """
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, GRANT_LOCK)
            vehicles = metadata.tables["vehicles"]
            if db.execute(select(vehicles.c.id).where(vehicles.c.id == wanted.vehicle)).scalar() is None:
                raise MissingError(
                    f"No vehicle {wanted.vehicle!r}.", "List the enrolled ones with `carcloud vehicles`."
                )
            last = self._last(db, wanted)
            if last is not None and _same(last, wanted):
                return last
            self._check_under(db, wanted)
            if last is not None and _zones_own(last, wanted):
                raise ConflictError(
                    "The zone gave them a grant for this purpose.", "Ask who runs the zone to change it."
                )
            if last is not None and last.revoked_at is None:
                _end(db, (grants.c.id == last.id) | (grants.c.under == last.id), wanted.given_at, wanted.given_by)
            _check_room(db, grants.c.vehicle == wanted.vehicle, wanted.given_at, LIMIT_OF_CAR)
            if wanted.grantee != "zone":
                _check_room(db, grants.c.grantee == wanted.grantee, wanted.given_at, LIMIT_OF_GRANTEE)
            given = replace(wanted, version=1 if last is None else last.version + 1)
            db.execute(insert(grants).values(**_row(given)))
            self._audit.note(db, _entry("giveGrant", given, given.given_by))
        return given

    def revoke(self, id: str, by: str, at: datetime) -> Grant:  # noqa: A002
        """End a grant and what was given under it, and note it; what has ended stays as it is. Raise MissingError."""
        with self._database.transaction(writing=True) as db:
            ended = _end(db, (grants.c.id == id) | (grants.c.under == id), at, by)
            self._audit.note(db, *(_entry("revokeGrant", grant, by) for grant in ended))
            row = db.execute(select(grants).where(grants.c.id == id)).first()
            if row is None:
                raise _none(id)
        return _grant(row)

    def grant(self, id: str) -> Grant:  # noqa: A002
        """Return one version of a grant; raise MissingError."""
        rows = self._database.rows(select(grants).where(grants.c.id == id))
        if not rows:
            raise _none(id)
        return _grant(rows[0])

    def of(self, vehicle: str) -> list[Grant]:
        """Return every version of every grant on a car, the newest first."""
        mine = select(grants).where(grants.c.vehicle == vehicle)
        return [_grant(row) for row in self._database.rows(mine.order_by(grants.c.given_at.desc(), grants.c.id))]

    def held(
        self,
        at: datetime,
        grantees: Collection[str],
        vehicles: Collection[str] | None = None,
        tenant: str | None = None,
        unread: list[str] | None = None,
    ) -> list[Held]:
        """Return the grants to these that nobody has ended and whose time is not over, also those still to begin.

        One whose record cannot be read opens nothing, and does not keep the others from being read.

        Args:
            at: now.
            grantees: to whom.
            vehicles: on which cars; None: on any.
            tenant: of whose cars; None: of any tenant's.
            unread: takes the ids of those that cannot be read.
        """
        above = grants.alias("above")
        query = select(grants, above).outerjoin(above, grants.c.under == above.c.id)
        query = query.where(grants.c.grantee.in_(list(grantees)), grants.c.revoked_at.is_(None), _not_over(at))
        query = query.where(above.c.id.is_(None) | above.c.grantee.in_(_owners()))
        if vehicles is not None:
            query = query.where(grants.c.vehicle.in_(list(vehicles)))
        if tenant is not None:
            query = query.where(grants.c.tenant == tenant)
        width = len(grants.c)
        rows = self._database.rows(query.order_by(grants.c.vehicle, grants.c.id))
        names = grants.c.keys()
        found = []
        for row in rows:
            try:
                grant = _grant_of(dict(zip(names, row[:width], strict=True)))
                under = None if row[width] is None else _grant_of(dict(zip(names, row[width:], strict=True)))
            except (ValueError, TypeError, KeyError):
                log.error("a grant cannot be read and counts for nothing", extra={"grant": row[0]})
                if unread is not None:
                    unread.append(str(row[0]))
                continue
            found.append(Held(grant, under))
        return found

    def idle(self, vehicle: str) -> set[str]:
        """Return the ids of those on a car that count for nothing, since whoever gave them is no active owner now."""
        above = grants.alias("above")
        query = select(grants.c.id).join(above, grants.c.under == above.c.id)
        query = query.where(grants.c.vehicle == vehicle, above.c.grantee.not_in(_owners()))
        return {row.id for row in self._database.rows(query)}

    def _last(self, db: Connection, wanted: Grant) -> Grant | None:
        mine = (grants.c.vehicle == wanted.vehicle) & (grants.c.grantee == wanted.grantee)
        mine &= grants.c.purpose == wanted.purpose
        row = db.execute(select(grants).where(mine).order_by(grants.c.version.desc()).limit(1)).first()
        return None if row is None else _grant(row)

    def _check_under(self, db: Connection, wanted: Grant) -> None:
        if wanted.under is None:
            return
        standing = (grants.c.id == wanted.under) & grants.c.revoked_at.is_(None) & _not_over(wanted.given_at)
        if db.execute(select(grants.c.id).where(standing)).scalar() is None:
            raise ConflictError("Your own grant on this car has ended.", "Ask who gave it to you.")


def reset(db: Connection, vehicle: str, at: datetime, by: str) -> list[Entry]:
    """End every grant on a car, within a transaction that writes; return what is to be noted of it."""
    return [_entry("revokeGrant", grant, by) for grant in _end(db, grants.c.vehicle == vehicle, at, by)]


def _end(db: Connection, which: Any, at: datetime, by: str) -> list[Grant]:
    """End those of these that stand, and return them."""
    which = which & grants.c.revoked_at.is_(None)
    ended = [_grant(row) for row in db.execute(select(grants).where(which).with_for_update()).all()]
    db.execute(
        update(grants).where(grants.c.id.in_([grant.id for grant in ended])).values(revoked_at=at, revoked_by=by)
    )
    return ended


def _check_room(db: Connection, which: Any, at: datetime, limit: int) -> None:
    standing = select(func.count()).select_from(grants).where(which, grants.c.revoked_at.is_(None), _not_over(at))
    if int(db.execute(standing).scalar_one()) >= limit:
        raise InputError(f"{limit} such grants stand already.", "Revoke those that are not needed.")


def _owners() -> Any:
    """Return whoever is an active person with the role of an owner, as grantees are named."""
    named = select(literal("person:") + people.c.id).join(roles_of, roles_of.c.person == people.c.id)
    return named.where(people.c.state == "active", roles_of.c.role == "owner")


def _not_over(at: datetime) -> Any:
    return grants.c.until_at.is_(None) | (grants.c.until_at > at)


def _same(last: Grant, wanted: Grant) -> bool:
    """Tell whether what is wanted stands already."""
    if last.revoked_at is not None or (last.until_at is not None and last.until_at <= wanted.given_at):
        return False
    begun = wanted.from_at == wanted.given_at and last.from_at <= wanted.from_at
    standing = replace(
        last,
        id=wanted.id,
        version=wanted.version,
        from_at=wanted.from_at if begun else last.from_at,
        given_at=wanted.given_at,
        given_by=wanted.given_by,
        policy=wanted.policy,
    )
    return standing == wanted


def _zones_own(last: Grant, wanted: Grant) -> bool:
    """Tell whether an owner would end by theirs what the zone itself gave."""
    return wanted.under is not None and last.under is None and last.revoked_at is None and wanted.grantee != "zone"


def _row(grant: Grant) -> dict[str, Any]:
    values = dict(vars(grant))
    scope = {name: values.pop(name) for name in ("paths", "commands", "precision")}
    return values | {"scope": orjson.dumps(scope).decode()}


def _grant(row: Any) -> Grant:
    """Return a grant to be listed or ended; of one whose scope cannot be read, one without any."""
    values = dict(row._mapping)
    try:
        return _grant_of(dict(values))
    except (ValueError, TypeError, KeyError):
        return _grant_of(values | {"scope": NO_SCOPE})


def _grant_of(values: dict[str, Any]) -> Grant:
    scope = orjson.loads(values.pop("scope"))
    precision = tuple((glob, float(step)) for glob, step in scope["precision"])
    return Grant(**values, paths=tuple(scope["paths"]), commands=tuple(scope["commands"]), precision=precision)


def _entry(action: str, grant: Grant, by: str) -> Entry:
    facts = {"grant": grant.id, "grantee": grant.grantee, "purpose": grant.purpose, "version": grant.version}
    facts |= {"owner": True} if grant.owner else {}
    facts |= {"policy": grant.policy, "from": grant.from_at.isoformat(timespec="seconds")}
    return Entry(by, action, f"vehicle:{grant.vehicle}", facts=facts, tenant=grant.tenant)


def _none(id: str) -> MissingError:  # noqa: A002
    return MissingError(f"No grant {id[:40]!r}.", "List a car's with `carcloud grant list VEHICLE`.")
