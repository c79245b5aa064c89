"""Grants: who may see or do what with a car, for what and until when; and what was consented to."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, Field

from carcloud.api.auth import Caller, allowed, owner_of
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time
from carcloud.backends.records import Grant, Held
from carcloud.safety.grants.desk import give, grantees_of, held_by, revoke, roots
from carcloud.safety.grants.grant import LIMIT_PATHS, ZONE, Ground, Wanted
from carcloud.safety.people.policy import Resource
from carcloud.stream import subjects
from carcloud.vehicle.commands import COMMANDS

Glob = Annotated[str, Field(max_length=256)]


class GrantShown(BaseModel):
    """One version of a grant. `from` is in, `until` is not; null: until it is revoked.

    `under`: the grant it was given under; null where the zone's own people gave it. `policy`: the hash of the
    governance it was given under. `standing`: holds, begins later, is over, revoked, or waits because what the
    governance says of the purpose has changed since (`reworded`), or counts for nothing while whoever gave it is no
    active owner (`idle`). `owner`: whether it is to the car's owner.
    """

    id: str
    vehicle: str
    grantee: str
    purpose: str
    version: int
    paths: list[str]
    commands: list[str]
    precision: dict[str, float] = Field(description="Glob → step, in the signals' unit; the first that fits counts")
    zone: str
    from_: Time = Field(alias="from", serialization_alias="from")
    until: Time | None
    given_at: Time
    given_by: str
    under: str | None
    policy: str
    owner: bool
    revoked_at: Time | None
    revoked_by: str | None
    standing: str


class ConsentState(BaseModel):
    """How a purpose stands with a car. `needed`: whether only consent makes it lawful. `grant`: the one that holds."""

    purpose: str
    why: str
    basis: str
    needed: bool
    given: bool
    grant: str | None


class GrantsOf(BaseModel):
    """A car's grants: how each purpose stands, and every version of every grant, the newest first.

    How purposes stand is shown to the car's owner and the zone's own people only; to others the list is empty.
    `may_give`, `may_revoke`: whether whoever asks may; `may_own`: say whose the car is; `commands`: what a car can be
    told.
    """

    vehicle: str
    consents: list[ConsentState]
    grants: list[GrantShown]
    may_give: bool
    may_revoke: bool
    may_own: bool
    commands: list[str]


class GrantList(BaseModel):
    """The grants that hold for whoever asks."""

    grants: list[GrantShown]


class GrantWanted(BaseModel):
    """What is to be granted. To `zone` it is a consent: to a purpose as a whole, without paths and commands."""

    grantee: str = Field(max_length=96, description="zone, person:ID, token:ID, or app:NAME")
    purpose: str = Field(max_length=64)
    paths: list[Glob] = Field(default_factory=list, max_length=LIMIT_PATHS)
    commands: list[Glob] = Field(default_factory=list, max_length=LIMIT_PATHS)
    precision: dict[Glob, float] = Field(default_factory=dict, max_length=LIMIT_PATHS)
    from_: AwareDatetime | None = Field(None, alias="from")
    until: AwareDatetime | None = None
    owner: bool = Field(
        default_factory=bool, description="Whether the person is the car's owner; for the zone's own people"
    )
    anyway: bool = Field(
        default_factory=bool,
        description="Also to an app that no token is made for, and from before the car last changed hands",
    )


routes = APIRouter(tags=["grants"], responses=RESPONSES)


@routes.get("/v1/grants")
def own(ports: Wired, caller: Annotated[Caller, Depends(allowed("readGrants"))]) -> GrantList:
    """List what the caller holds now."""
    ground, now = ports.ground, datetime.now(UTC)
    held = held_by(ports.records, ground, caller)
    return GrantList(grants=[_shown(one.grant, one.under, ground, now) for one in held])


@routes.get("/v1/vehicles/{vehicle}/grants")
def grants(ports: Wired, vehicle: str, caller: Annotated[Caller, Depends(allowed("readGrants"))]) -> GrantsOf:
    """Show the grants on a car; to who holds one only theirs, and to its owner what was given since theirs was."""
    return _grants(ports, vehicle, caller)


@routes.post("/v1/vehicles/{vehicle}/grants", status_code=201)
async def give_grant(
    ports: Wired, vehicle: str, wanted: GrantWanted, caller: Annotated[Caller, Depends(allowed("giveGrant"))]
) -> GrantShown:
    """Give a grant, or a consent; what stands for the same grantee and purpose ends with it."""

    def given() -> GrantShown:
        asked = Wanted(
            wanted.grantee,
            wanted.purpose,
            tuple(wanted.paths),
            tuple(wanted.commands),
            wanted.precision,
            wanted.from_,
            wanted.until,
            wanted.owner,
            wanted.anyway,
        )
        ground = ports.ground
        made = give(ports.records, ground, vehicle, asked, caller.id, owner_of(ports, caller, "giveGrant"))
        return _shown(made, None, ground, datetime.now(UTC))

    shown = await run_in_threadpool(given)
    await ports.notify(subjects.GRANT, vehicle.encode())
    return shown


@routes.delete("/v1/vehicles/{vehicle}/grants/{grant}")
async def revoke_grant(
    ports: Wired, vehicle: str, grant: str, caller: Annotated[Caller, Depends(allowed("revokeGrant"))]
) -> GrantShown:
    """End a grant, or withdraw a consent; it ends at once, also in live streams and in what is on its way."""

    def revoked() -> GrantShown:
        ground = ports.ground
        ended = revoke(ports.records, ground, vehicle, grant, caller.id, owner_of(ports, caller, "revokeGrant"))
        return _shown(ended, None, ground, datetime.now(UTC))

    shown = await run_in_threadpool(revoked)
    await ports.notify(subjects.GRANT, vehicle.encode())
    return shown


def _grants(ports: Ports, vehicle: str, caller: Caller) -> GrantsOf:
    ground, now = ports.ground, datetime.now(UTC)
    every = ports.records.grants.of(vehicle)
    ids = {grant.id: grant for grant in every}
    mine = owner_of(ports, caller, "readGrants")
    idle = ports.records.grants.idle(vehicle)
    held = [one.grant for one in ports.records.grants.held(now, [ZONE], [vehicle]) if ground.holds(one, now)]
    if mine is not None:
        every = _of_owner(ports, ground, vehicle, mine, every, now)
    owned = bool(mine) and _owned(ports, vehicle, caller)
    car = Resource("Vehicle", vehicle, caller.tenant, granted=True, owned=owned)
    allows = ports.reception.policy.allows
    return GrantsOf(
        vehicle=vehicle,
        consents=_consents(ground, held) if owned or mine is None else [],
        grants=[_shown(grant, ids.get(grant.under or ""), ground, now, idle) for grant in every],
        may_give=allows(caller, "giveGrant", car),
        may_revoke=allows(caller, "revokeGrant", car),
        may_own=mine is None and allows(caller, "giveGrant", car),
        commands=list(COMMANDS),
    )


def _owned(ports: Ports, vehicle: str, caller: Caller) -> bool:
    return bool(roots(ports.records, ports.ground, vehicle, grantees_of(caller), datetime.now(UTC)))


def _of_owner(
    ports: Ports, ground: Ground, vehicle: str, mine: tuple[str, ...], every: list[Grant], now: datetime
) -> list[Grant]:
    """Return of a car's grants those that concern an owner or partner."""
    held = roots(ports.records, ground, vehicle, mine, now)
    since = min((one.grant.given_at for one in held), default=None)
    return [
        grant
        for grant in every
        if grant.grantee in mine or (since is not None and (grant.revoked_at is None or grant.given_at >= since))
    ]


def _consents(ground: Ground, held: list[Grant]) -> list[ConsentState]:
    holding = {grant.purpose: grant.id for grant in held}
    return [
        ConsentState(
            purpose=purpose.name,
            why=purpose.why,
            basis=purpose.basis,
            needed=purpose.needs_consent,
            given=purpose.name in holding,
            grant=holding.get(purpose.name),
        )
        for purpose in ground.policy.purposes.values()
    ]


def _shown(grant: Grant, under: Grant | None, ground: Ground, now: datetime, idle: Collection[str] = ()) -> GrantShown:
    said = {name: value for name, value in vars(grant).items() if name in GrantShown.model_fields}
    said |= {"paths": list(grant.paths), "commands": list(grant.commands), "precision": dict(grant.precision)}
    standing = _standing(grant, under, ground, now, idle)
    return GrantShown.model_validate(said | {"from": grant.from_at, "until": grant.until_at, "standing": standing})


def _standing(grant: Grant, under: Grant | None, ground: Ground, now: datetime, idle: Collection[str]) -> str:
    if grant.revoked_at is not None:
        return "revoked"
    if grant.until_at is not None and grant.until_at <= now:
        return "over"
    if grant.from_at > now:
        return "later"
    if grant.id in idle:
        return "idle"
    return "holds" if ground.holds(Held(grant, under), now) else "reworded"
