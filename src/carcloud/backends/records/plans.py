"""The plans of a zone: what may be delivered to cars, by name and version, each as it was made.

Rules:
* A plan never changes: the same name and version again is the same document, or refused.
* Withdrawing is for ever. What was withdrawn stays, so that what cars did is known; it is not delivered any more.
* A plan is found by its SHA-256 too, as the orders name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Column, Connection, Index, Integer, LargeBinary, String, Table, func, insert, select, update

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import ConflictError, MissingError

LIMIT_PLANS = 10_000
"""Versions of plans that a tenant may have."""
PLAN_LOCK = 0x706C616E  # any constant: on PostgreSQL one at a time looks for a version and adds it

plans = Table(
    "plans",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("digest", String(64), nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("until", Instant, nullable=False),
    Column("made_by", String(96), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
)
Index("plans_digest", plans.c.tenant, plans.c.digest, unique=True)


@dataclass(frozen=True)
class KeptPlan:
    """A plan as it is kept. `document`: canonical JSON, whose SHA-256 is `digest`."""

    tenant: str
    name: str
    version: int
    digest: str
    document: bytes
    until: datetime
    made_by: str
    made_at: datetime
    withdrawn_at: datetime | None = None


class Plans:
    """The plans of all tenants."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def add(self, *wanted: KeptPlan) -> list[KeptPlan]:
        """Keep plans, all or none; the same documents again change nothing. Return them as they are kept.

        Raises:
            ConflictError: a name and version says something else already, or there are too many plans.
        """
        with self._database.transaction(writing=True) as db:
            self._database.alone(db, PLAN_LOCK)
            return [self._add(db, one) for one in wanted]

    def _add(self, db: Connection, wanted: KeptPlan) -> KeptPlan:
        mine = plans.c.tenant == wanted.tenant
        same = mine & (plans.c.name == wanted.name) & (plans.c.version == wanted.version)
        row = db.execute(select(plans).where(same)).first()
        if row is not None:
            known = KeptPlan(**row._mapping)
            if known.digest == wanted.digest:
                return known
            newest = db.execute(select(func.max(plans.c.version)).where(mine, plans.c.name == wanted.name)).scalar_one()
            message = f"Version {wanted.version} of plan {wanted.name} says something else already."
            raise ConflictError(message, f"Plans never change: give it version {newest + 1}.")
        if db.execute(select(func.count()).select_from(plans).where(mine)).scalar_one() >= LIMIT_PLANS:
            raise ConflictError(f"There are {LIMIT_PLANS} plans already.", "Ask who runs the zone to begin anew.")
        db.execute(insert(plans).values(**vars(wanted)))
        self._audit.note(db, _entry(wanted, wanted.made_by, "added", wanted.made_at))
        return wanted

    def get(self, tenant: str, name: str, version: int | None = None) -> KeptPlan:
        """Return a plan, the newest version where none is named; raise MissingError."""
        query = select(plans).where(plans.c.tenant == tenant, plans.c.name == name)
        if version is not None:
            query = query.where(plans.c.version == version)
        rows = self._database.rows(query.order_by(plans.c.version.desc()).limit(1))
        if not rows:
            which = f"plan {name[:64]!r}" if version is None else f"version {version} of plan {name[:64]!r}"
            raise MissingError(f"No {which}.", "List them: carcloud plan list.")
        return KeptPlan(**rows[0]._mapping)

    def of(self, tenant: str, digests: Sequence[str]) -> dict[str, KeptPlan]:
        """Return the plans of these digests, as far as there are such."""
        query = select(plans).where(plans.c.tenant == tenant, plans.c.digest.in_(list(digests)))
        return {row.digest: KeptPlan(**row._mapping) for row in self._database.rows(query)}

    def listed(self, tenant: str, limit: int = LIMIT_PLANS) -> list[KeptPlan]:
        """Return a tenant's plans, each name's newest version first."""
        query = select(plans).where(plans.c.tenant == tenant).order_by(plans.c.name, plans.c.version.desc())
        return [KeptPlan(**row._mapping) for row in self._database.rows(query.limit(limit))]

    def withdraw(self, tenant: str, name: str, version: int | None, actor: str, at: datetime) -> KeptPlan:
        """Withdraw a version, the newest where none is named; again changes nothing. Raise MissingError."""
        found = self.get(tenant, name, version)
        same = (plans.c.tenant == tenant) & (plans.c.name == name) & (plans.c.version == found.version)
        with self._database.transaction(writing=True) as db:
            stands = same & plans.c.withdrawn_at.is_(None)
            if db.execute(update(plans).where(stands).values(withdrawn_at=at)).rowcount == 1:
                self._audit.note(db, _entry(found, actor, "withdrawn", at))
                return replace(found, withdrawn_at=at)
        return self.get(tenant, name, found.version)


def _entry(plan: KeptPlan, actor: str, change: str, at: datetime) -> Entry:
    facts = {"change": change, "version": plan.version, "digest": plan.digest}
    return Entry(actor, "changePlans", f"plan:{plan.name}", "done", facts, tenant=plan.tenant, at=at)
