"""The zone as one object, for whoever keeps it and whoever answers for its data; a tenant sees its own part."""

from datetime import date
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time
from carcloud.errors import TryLaterError


class ZoneTenant(BaseModel):
    """Who has cars in the zone."""

    name: str
    state: str


class RulePackVersion(BaseModel):
    """A governance that was in force, by the hash of what it says. `since`: when it last came into force."""

    hash: str
    name: str
    since: Time | None


class RulePack(BaseModel):
    """The governance in force. `intact`: whether its file says what was taken into force; `versions`: all kept."""

    name: str
    hash: str
    intact: bool
    since: Time | None
    versions: list[RulePackVersion]


class ZoneCatalogue(BaseModel):
    """The signals that the zone knows."""

    hash: str
    signals: int


class Backends(BaseModel):
    """What the zone stands on."""

    records: Literal["sqlite", "postgresql"]
    lake: Literal["files"]
    broker: str


class ZoneKey(BaseModel):
    """A public key of the zone's signer, Ed25519 in hexadecimal, and what it signs."""

    signs: str
    id: str
    public: str


class ZoneAuthority(BaseModel):
    """An authority of the zone's certificates; `fingerprint` is the SHA-256 of its own."""

    name: str
    fingerprint: str
    ends: Time


class Leaves(BaseModel):
    """What may leave, to which zone, and how it is changed. `rounded`: how many of the signals are made less exact."""

    flow: str
    to: str
    purpose: str
    why: str
    classes: list[str]
    signals: int
    rounded: int
    pseudonym: bool
    time_s: int
    needs_consent: bool
    until: date | None
    ended: bool


class Comes(BaseModel):
    """What comes in from another zone. `at`: when something came last; `rows`: how many came, before the guards."""

    replica: str
    from_: str = Field(alias="from", serialization_alias="from")
    flow: str
    tenant: str
    every_s: int
    cars: int
    rows: int
    at: Time | None


class Counted(BaseModel):
    """How many people's data left this calendar year, by flow (`""`: by all together) and class."""

    flow: str
    kind: str = Field(alias="class", serialization_alias="class")
    people: int
    stop: int | None
    limit: int | None


class Zone(BaseModel):
    """The zone. `log` and `witnesses`: their keys as verifiers take them.

    Only the tenant that the zone is run for sees other tenants, what leaves, who is counted, and all replicas.
    """

    name: str
    region: str
    version: str
    tenants: list[ZoneTenant]
    governance: RulePack
    catalogue: ZoneCatalogue
    backends: Backends
    keys: list[ZoneKey]
    log: list[str]
    witnesses: list[str]
    authorities: list[ZoneAuthority]
    leaves: list[Leaves]
    comes: list[Comes]
    year: int
    counted: list[Counted]


routes = APIRouter(tags=["zone"], responses=RESPONSES)


@routes.get("/v1/zone", response_model=Zone)
async def zone(ports: Wired, caller: Annotated[Caller, Depends(allowed("readZone"))]) -> Any:
    """Show what the zone is: region, tenants, rules, backends, public keys, what leaves and what comes in."""
    if ports.zone_object is None:
        raise TryLaterError("The zone is starting.", "Ask again in a second.")
    return await run_in_threadpool(ports.zone_object, caller.tenant)
