"""Who may come in: the zone's authorities, the life of each car's identity, and the acts that change it."""

from datetime import UTC, datetime
from typing import Annotated, Literal

import orjson
from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time
from carcloud.backends.records import Certificate, Claim, State
from carcloud.errors import CarcloudError, TryLaterError
from carcloud.gateway.claims import CLAIM_HOURS, LIMIT_HOURS, Given, for_car_alone, make_claim, rekey
from carcloud.gateway.enrolment import change
from carcloud.gateway.identities import certificate_standing, claim_standing, identity_of, zone_identity
from carcloud.stream import subjects
from carcloud.vehicle.life import Act


class ClaimWanted(BaseModel):
    """How long a claim holds, and which control unit the car must show."""

    hours: int = Field(CLAIM_HOURS, ge=1, le=LIMIT_HOURS)
    serial_hash: Text | None = Field(None, description="SHA-256 of a control unit's serial number, hexadecimal")


class CarWanted(ClaimWanted):
    """A car that shall join."""

    vin: Text
    label: Text | None = None


class ClaimGiven(BaseModel):
    """A claim; its token is shown this once."""

    vehicle: str
    token: str
    ends_at: Time


class OrderKey(BaseModel):
    """A person's key that the order signer knows."""

    name: str
    key: str


class Rekeyed(ClaimGiven):
    """A claim to join anew with. `order_keys`: registered for this car alone; remove those of who sold it.

    `carcloud operator remove NAME` does so on the order signer's side. null: it could not be asked.
    """

    order_keys: list[OrderKey] | None


class StateShown(BaseModel):
    """A car's state after an act."""

    vehicle: str
    state: State


class CertificateOfCar(BaseModel):
    """A certificate of a car."""

    vehicle: str
    serial: str
    issued_at: Time
    not_after: Time
    revoked_at: Time | None
    standing: Literal["holds", "revoked", "ended"]


class ClaimShown(BaseModel):
    """A claim, without its token."""

    id: str
    vehicle: str
    made_at: Time
    ends_at: Time
    used_at: Time | None
    standing: Literal["open", "used", "withdrawn", "over"]


class SuspicionShown(BaseModel):
    """A car that seems to be two; settled once someone has acted."""

    vehicle: str
    why: str
    since: Time
    last: Time
    times: int
    settled_at: Time | None


class SessionShown(BaseModel):
    """A live session of a car by MQTT."""

    since: Time
    address: str


class AuthorityShown(BaseModel):
    """One of the zone's authorities."""

    name: str
    algorithm: str
    serial: str
    begins: Time
    ends: Time


class ZoneIdentities(BaseModel):
    """Cars by state, and what someone may have to look at. `ending`: the last certificate ends within 10 days."""

    states: dict[State, int]
    ending: list[CertificateOfCar]
    clones: list[SuspicionShown]
    claims: list[ClaimShown]
    authorities: list[AuthorityShown]


class VehicleIdentities(BaseModel):
    """The life of one car's identity, the newest first. `sessions`: those of now; null where nobody could tell."""

    vehicle: str
    state: State
    certificates: list[CertificateOfCar]
    claims: list[ClaimShown]
    suspicions: list[SuspicionShown]
    sessions: list[SessionShown] | None


routes = APIRouter(tags=["identity"], responses=RESPONSES)


@routes.get("/v1/identity")
async def identities(ports: Wired, caller: Annotated[Caller, Depends(allowed("readIdentity"))]) -> ZoneIdentities:
    """Show the zone's authorities, the cars by state, and what someone may have to look at."""
    if ports.trust is None:
        raise TryLaterError("The zone's authorities are not known here.", "Ask again when the zone is up.")
    found, now = await run_in_threadpool(zone_identity, ports.records, ports.trust, caller.tenant), datetime.now(UTC)
    return ZoneIdentities(
        states=dict(found.states),
        ending=[_certificate(each, now) for each in found.ending],
        clones=[SuspicionShown(**vars(each)) for each in found.clones],
        claims=[_claim(each, now) for each in found.claims],
        authorities=[AuthorityShown(name=name, **vars(each)) for name, each in found.authorities.items()],
    )


@routes.get("/v1/vehicles/{vehicle}/identity", dependencies=[Depends(allowed("readIdentity"))])
async def identity(ports: Wired, vehicle: str) -> VehicleIdentities:
    """Show a car's certificates, claims, suspicions and live sessions."""
    found, now = await run_in_threadpool(identity_of, ports.records, vehicle), datetime.now(UTC)
    certificates = [_certificate(each, now) for each in found.certificates]
    return VehicleIdentities(
        vehicle=found.vehicle.id,
        state=found.vehicle.state,
        certificates=certificates,
        claims=[_claim(each, now) for each in found.claims],
        suspicions=[SuspicionShown(**vars(each)) for each in found.suspicions],
        sessions=await _sessions(ports, vehicle),
    )


@routes.post("/v1/claims", status_code=201)
async def claim(
    ports: Wired, caller: Annotated[Caller, Depends(allowed("makeClaim"))], wanted: CarWanted
) -> ClaimGiven:
    """Let a car join: make it, claimable, and give out the token with which it gets its first certificate."""

    def make() -> Given:
        return make_claim(
            ports.records,
            wanted.vin,
            caller.id,
            label=wanted.label,
            tenant=caller.tenant,
            hours=wanted.hours,
            serial_hash=wanted.serial_hash,
        )

    return _given(await run_in_threadpool(make))


@routes.post("/v1/vehicles/{vehicle}/rekey", status_code=201)
async def rekey_vehicle(
    ports: Wired, vehicle: str, caller: Annotated[Caller, Depends(allowed("rekeyVehicle"))], wanted: ClaimWanted
) -> Rekeyed:
    """End a car's certificates, open orders and all grants; give out a token to join anew with, under its id."""

    def make() -> Given:
        return rekey(ports.records, vehicle, caller.id, hours=wanted.hours, serial_hash=wanted.serial_hash)

    given = await run_in_threadpool(make)
    for subject in (subjects.REVOKED, subjects.GRANT):
        await ports.notify(subject, vehicle.encode())
    order_keys = await run_in_threadpool(_order_keys, ports, given)
    return Rekeyed(**_given(given).model_dump(), order_keys=order_keys)


@routes.post("/v1/vehicles/{vehicle}/quarantine")
async def quarantine(
    ports: Wired, vehicle: str, caller: Annotated[Caller, Depends(allowed("quarantineVehicle"))]
) -> StateShown:
    """Let a car in, but take nothing from it until it is released."""
    return await _change(ports, vehicle, "quarantine", caller)


@routes.post("/v1/vehicles/{vehicle}/release")
async def release(
    ports: Wired, vehicle: str, caller: Annotated[Caller, Depends(allowed("releaseVehicle"))]
) -> StateShown:
    """Take a car out of quarantine."""
    return await _change(ports, vehicle, "release", caller)


@routes.post("/v1/vehicles/{vehicle}/revoke")
async def revoke(
    ports: Wired, vehicle: str, caller: Annotated[Caller, Depends(allowed("revokeVehicle"))]
) -> StateShown:
    """End a car's right to speak, at once."""
    return await _change(ports, vehicle, "revoke", caller)


@routes.post("/v1/vehicles/{vehicle}/retire")
async def retire(
    ports: Wired, vehicle: str, caller: Annotated[Caller, Depends(allowed("retireVehicle"))]
) -> StateShown:
    """End a car's identity for ever."""
    return await _change(ports, vehicle, "retire", caller)


async def _change(ports: Ports, vehicle: str, act: Act, caller: Caller) -> StateShown:
    changed = await run_in_threadpool(change, ports.records, vehicle, act, caller.id)
    await ports.notify(subjects.REVOKED, vehicle.encode())
    return StateShown(vehicle=vehicle, state=changed.state)


async def _sessions(ports: Ports, vehicle: str) -> list[SessionShown] | None:
    if ports.ask is None:
        return None
    try:
        found = orjson.loads(await ports.ask(subjects.SESSIONS, vehicle.encode()))
    except TryLaterError:
        return None
    return [SessionShown(**each) for each in found]


def _order_keys(ports: Ports, given: Given) -> list[OrderKey] | None:
    if ports.orders is None:
        return None
    try:
        keys = ports.orders.signer.of(given.vehicle.tenant).people()
    except CarcloudError:  # the car is rekeyed all the same, and its token is shown this once
        return None
    return [OrderKey(name=one["name"], key=one["key"]) for one in for_car_alone(keys, given.vehicle.id)]


def _given(given: Given) -> ClaimGiven:
    return ClaimGiven(vehicle=given.vehicle.id, token=given.token, ends_at=given.claim.ends_at)


def _certificate(found: Certificate, now: datetime) -> CertificateOfCar:
    return CertificateOfCar(**vars(found), standing=certificate_standing(found, now))


def _claim(found: Claim, now: datetime) -> ClaimShown:
    shown = {name: value for name, value in vars(found).items() if name in ClaimShown.model_fields}
    return ClaimShown(**shown, standing=claim_standing(found, now))
