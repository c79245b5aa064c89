"""Who has cars and people in the zone. For the operators of the tenant that the zone is run for, and nobody else."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Allowed, Caller
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time
from carcloud.backends.records import Quotas, Tenant, Use
from carcloud.safety import tenants
from carcloud.safety.people.policy import Resource, zone_of
from carcloud.stream import subjects


class QuotasShown(BaseModel):
    """How much a tenant may take; null: no limit."""

    vehicles: int | None = None
    messages_per_s: int | None = None
    bytes_per_s: int | None = None
    queries: int | None = None
    streams: int | None = None
    lake_bytes: int | None = None


class TenantWanted(BaseModel):
    """A tenant to be made. `overlay`: signals of its own, YAML or JSON. `login`: its first operator's."""

    name: Text
    title: Text = ""
    colour: Text = Field("", description="#rrggbb")
    logo: Text = ""
    overlay: Text = ""
    quotas: QuotasShown = QuotasShown()
    login: Text = ""


class TenantShown(BaseModel):
    """A tenant, and what it takes."""

    name: str
    state: Literal["active", "suspended"]
    created_at: Time
    title: str
    colour: str
    logo: str
    signals: int = Field(description="Signals of its own")
    quotas: QuotasShown
    vehicles: int
    lake_rows: int
    lake_bytes: int


class TenantMade(BaseModel):
    """A tenant that was made. `link` lets its first operator in once; it is shown this once."""

    tenant: TenantShown
    login: str
    link: str
    ends_at: Time


class TenantList(BaseModel):
    """All tenants, by name."""

    tenants: list[TenantShown]


class AllowedHome(Allowed):
    """Lets a request through that acts on the whole zone: only from the tenant that it is run for."""

    def resource(self, request: Request) -> Resource:
        """Return the zone as its home tenant's."""
        return zone_of(request.app.state.access.tenant)


routes = APIRouter(tags=["tenants"], responses=RESPONSES)
Changes = Annotated[Caller, Depends(AllowedHome("changeTenants"))]


@routes.get("/v1/tenants", dependencies=[Depends(AllowedHome("readTenants"))])
def all_tenants(ports: Wired) -> TenantList:
    """List the tenants, with what they take."""
    return TenantList(tenants=_shown(ports, ports.records.tenants.all()))


@routes.get("/v1/tenants/{name}", dependencies=[Depends(AllowedHome("readTenants"))])
def tenant(ports: Wired, name: str) -> TenantShown:
    """Show a tenant, with what it takes."""
    return _shown(ports, [ports.records.tenants.get(name)])[0]


@routes.post("/v1/tenants", status_code=201)
async def create(ports: Wired, request: Request, caller: Changes, wanted: TenantWanted) -> TenantMade:
    """Make a tenant with keys of its own; its first operator comes in by the link, which holds for a day."""
    quotas = Quotas(**wanted.quotas.model_dump())
    asked = tenants.Wanted(**wanted.model_dump(exclude={"quotas"}), quotas=quotas)
    args = ports.records, ports.keys, caller.tenant, ports.catalogue(), asked, caller.id
    made = await run_in_threadpool(tenants.create, *args)
    await ports.notify(subjects.TENANT, made.tenant.name.encode())
    link = f"{request.base_url}?link={made.secret}"
    return TenantMade(tenant=_shown(ports, [made.tenant])[0], login=made.login, link=link, ends_at=made.ends_at)


@routes.post("/v1/tenants/{name}/suspend")
async def suspend(ports: Wired, name: str, caller: Changes) -> TenantShown:
    """Keep a tenant's cars, people and programs out, at once; its data stay."""
    found = await run_in_threadpool(tenants.suspend, ports.records, caller.tenant, name, caller.id)
    return await _told(ports, found)


@routes.post("/v1/tenants/{name}/resume")
async def resume(ports: Wired, name: str, caller: Changes) -> TenantShown:
    """Let a suspended tenant in again."""
    found = await run_in_threadpool(tenants.resume, ports.records, caller.tenant, name, caller.id)
    return await _told(ports, found)


@routes.post("/v1/tenants/{name}/quotas")
async def quotas(ports: Wired, name: str, caller: Changes, wanted: QuotasShown) -> TenantShown:
    """Give a tenant these quotas and no other, at once."""
    given = Quotas(**wanted.model_dump())
    found = await run_in_threadpool(tenants.set_quotas, ports.records, caller.tenant, name, given, caller.id)
    return await _told(ports, found)


async def _told(ports: Ports, tenant: Tenant) -> TenantShown:
    await ports.notify(subjects.TENANT, tenant.name.encode())
    return (await run_in_threadpool(_shown, ports, [tenant]))[0]


def _shown(ports: Ports, found: list[Tenant]) -> list[TenantShown]:
    cars, uses = ports.records.tenants.counts(), ports.records.tenants.uses()
    return [
        TenantShown(
            name=one.name,
            state=one.state,
            created_at=one.created_at,
            title=one.title,
            colour=one.colour,
            logo=one.logo,
            signals=len(tenants.overlay_of(one)),
            quotas=QuotasShown(**vars(one.quotas)),
            vehicles=cars.get(one.name, 0),
            lake_rows=uses.get(one.name, Use()).lake_rows,
            lake_bytes=uses.get(one.name, Use()).lake_bytes,
        )
        for one in found
    ]
