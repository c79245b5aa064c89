"""The tenants of a zone: who has cars and people here, and how much each may take.

Rules:
* A tenant that is not here is the one the zone is run for, before its first start; it has no quota.
* A suspended tenant keeps all it has and may do nothing: its cars stay out, its people and programs are strangers.
* Quotas of None are no limit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import BigInteger, Column, Connection, Integer, String, Table, Text, func, insert, select, update
from sqlalchemy import exc as sql_errors

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.backends.records.tables import vehicles
from carcloud.errors import ConflictError, MissingError
from carcloud.vehicle.life import LIVE

TenantState = Literal["active", "suspended"]

QUOTAS = ("vehicles", "messages_per_s", "bytes_per_s", "queries", "streams", "lake_bytes")

tenants = Table(
    "tenants",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("title", Text, nullable=False),
    Column("colour", String(7), nullable=False),
    Column("logo", Text, nullable=False),
    Column("overlay", Text, nullable=False),
    Column("vehicles", Integer),
    Column("messages_per_s", Integer),
    Column("bytes_per_s", BigInteger),
    Column("queries", Integer),
    Column("streams", Integer),
    Column("lake_bytes", BigInteger),
)

tenants_use = Table(
    "tenants_use",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("lake_bytes", BigInteger, nullable=False),
    Column("lake_rows", BigInteger, nullable=False),
)


@dataclass(frozen=True)
class Quotas:
    """How much a tenant may take.

    vehicles: cars that are enrolled. messages_per_s, bytes_per_s: what its cars send in a second, bytes unpacked.
    queries, streams: at once. lake_bytes: what its rows take in the lake.
    """

    vehicles: int | None = None
    messages_per_s: int | None = None
    bytes_per_s: int | None = None
    queries: int | None = None
    streams: int | None = None
    lake_bytes: int | None = None


@dataclass(frozen=True)
class Tenant:
    """A tenant. title, colour (#rrggbb), logo (a short text): how the console looks; empty: as it does for all.

    overlay: signals of its own, a VSS overlay as YAML text; empty: none.
    """

    name: str
    state: TenantState
    created_at: datetime
    title: str = ""
    colour: str = ""
    logo: str = ""
    overlay: str = ""
    quotas: Quotas = field(default_factory=Quotas)


@dataclass(frozen=True)
class Use:
    """What a tenant takes in the lake."""

    lake_bytes: int = 0
    lake_rows: int = 0


class Tenants:
    """Who has cars and people in the zone."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def add(self, tenant: Tenant, *entries: Entry) -> None:
        """Add a tenant; raise ConflictError where there is one of this name."""
        row = {name: value for name, value in vars(tenant).items() if name != "quotas"} | asdict(tenant.quotas)
        with self._database.transaction(writing=True) as db:
            try:
                db.execute(insert(tenants).values(**row))
            except sql_errors.IntegrityError:
                raise ConflictError(f"There is a tenant {tenant.name} already.", "Choose another name.") from None
            self._audit.note(db, *entries)

    def ensure(self, name: str, at: datetime) -> None:
        """Have a tenant without quotas, where there is none of this name: the one that the zone is run for."""
        if self.find(name) is None:
            self.add(Tenant(name, "active", at))

    def set_state(self, name: str, state: TenantState, *entries: Entry) -> Tenant:
        """Suspend or resume a tenant; raise MissingError, or ConflictError where it is so already."""
        with self._database.transaction(writing=True) as db:
            other = (tenants.c.name == name) & (tenants.c.state != state)
            if db.execute(update(tenants).where(other).values(state=state)).rowcount == 1:
                self._audit.note(db, *entries)
                return _tenant(db.execute(select(tenants).where(tenants.c.name == name)).one())
        self.get(name)
        raise ConflictError(f"Tenant {name} is {state} already.")

    def set_quotas(self, name: str, quotas: Quotas, *entries: Entry) -> Tenant:
        """Give a tenant these quotas; raise MissingError."""
        with self._database.transaction(writing=True) as db:
            db.execute(update(tenants).where(tenants.c.name == name).values(**asdict(quotas)))
            row = db.execute(select(tenants).where(tenants.c.name == name)).one_or_none()
            if row is not None:
                self._audit.note(db, *entries)
        return self.get(name) if row is None else _tenant(row)

    def find(self, name: str) -> Tenant | None:
        """Return a tenant, or None."""
        rows = self._database.rows(select(tenants).where(tenants.c.name == name))
        return _tenant(rows[0]) if rows else None

    def get(self, name: str) -> Tenant:
        """Return a tenant; raise MissingError."""
        found = self.find(name)
        if found is None:
            raise MissingError(f"No tenant {name[:64]!r}.", "List them with `carcloud tenant list`.")
        return found

    def all(self) -> list[Tenant]:
        """Return every tenant, in the order of their names."""
        return [_tenant(row) for row in self._database.rows(select(tenants).order_by(tenants.c.name))]

    def stands(self, name: str) -> bool:
        """Tell whether a tenant is not suspended."""
        rows = self._database.rows(select(tenants.c.state).where(tenants.c.name == name))
        return not rows or rows[0].state == "active"

    def counts(self) -> dict[str, int]:
        """Return how many cars each tenant has that are not revoked or retired."""
        query = select(vehicles.c.tenant, func.count().label("many")).where(vehicles.c.state.in_(LIVE))
        return {row.tenant: int(row.many) for row in self._database.rows(query.group_by(vehicles.c.tenant))}

    # use

    def set_uses(self, uses: Mapping[str, Use]) -> None:
        """Record what tenants take in the lake."""
        with self._database.transaction(writing=True) as db:
            for name, use in uses.items():
                said = asdict(use)
                statement = self._database.insert(tenants_use).values(name=name, **said)
                db.execute(statement.on_conflict_do_update(index_elements=["name"], set_=said))

    def uses(self) -> dict[str, Use]:
        """Return what each tenant takes in the lake."""
        rows = self._database.rows(select(tenants_use))
        return {row.name: Use(row.lake_bytes, row.lake_rows) for row in rows}


def check_room(db: Connection, name: str) -> None:
    """Raise ConflictError where a tenant may have no further car: it is suspended, or its quota is used up.

    Within a transaction in which no other car is added.
    """
    found = db.execute(select(tenants.c.state, tenants.c.vehicles).where(tenants.c.name == name)).one_or_none()
    if found is None:
        return
    if found.state != "active":
        raise ConflictError(f"Tenant {name} is suspended.", f"Resume it: carcloud tenant resume {name}.")
    mine = select(func.count()).where(vehicles.c.tenant == name, vehicles.c.state.in_(LIVE))
    if found.vehicles is not None and db.execute(mine).scalar_one() >= found.vehicles:
        message = f"Tenant {name} has the {found.vehicles} cars that its quota allows."
        raise ConflictError(message, "Retire or revoke one, or ask who runs the zone for a larger quota.")


def suspended() -> Any:
    """Return the names of suspended tenants, as a part of a query."""
    return select(tenants.c.name).where(tenants.c.state == "suspended")


def _tenant(row: Any) -> Tenant:
    said = dict(row._mapping)
    quotas = Quotas(**{name: said.pop(name) for name in QUOTAS})
    return Tenant(**said, quotas=quotas)
