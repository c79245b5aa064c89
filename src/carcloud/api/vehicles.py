"""The cars of the zone, as enrolled and as last heard of."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import reached
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Presence, Wired
from carcloud.api.times import Time, from_us
from carcloud.api.twin import CARS_AT_ONCE
from carcloud.api.twin import seen as visible
from carcloud.backends.records import Certificate, State
from carcloud.backends.records import Vehicle as Enrolled
from carcloud.safety.grants.reach import Reach

LIMIT_PAGE = 1000


class Vehicle(BaseModel):
    """A car: `id` names it everywhere, `last_seen` is null until it reports. `vin` is null where no grant shows it.

    `source`: the replica by which another zone tells of it; null for a car of this zone.
    """

    id: str
    vin: str | None
    label: str | None
    state: str
    source: str | None = None
    enrolled_at: Time
    last_seen: Time | None
    signals: int = Field(description="How many signals the car has reported")


class CertificateShown(BaseModel):
    """The newest certificate issued to a car."""

    serial: str
    not_after: Time


class VehicleDetail(Vehicle):
    """A car with its certificate. `clock_offset_s`: the car's clock minus the zone's, in seconds."""

    certificate: CertificateShown | None
    provenance: Literal["measured", "replay", "simulated"] | None
    clock_offset_s: float | None


class VehiclePage(BaseModel):
    """Cars in the order of their ids; ask again with `after=next` until `next` is null."""

    vehicles: list[Vehicle]
    next: str | None


routes = APIRouter(tags=["vehicles"], responses=RESPONSES)


@routes.get("/v1/vehicles")
async def vehicles(
    ports: Wired,
    reach: Annotated[Reach, Depends(reached("readVehicles"))],
    limit: Annotated[int, Query(ge=1, le=LIMIT_PAGE)] = 100,
    after: str | None = None,
    state: State | None = None,
) -> VehiclePage:
    """List cars, in pages."""
    found = await run_in_threadpool(ports.records.vehicles, limit + 1, after, state, reach.tenant, reach.cars)
    page = found[:limit]
    presence = await _presence(ports, reach, [car.id for car in page])
    sources = await run_in_threadpool(ports.records.replicas.sources, _replicas(page))
    return VehiclePage(
        vehicles=[
            Vehicle(**_shown(car, reach, presence.get(car.id, Presence())), source=sources.get(car.id)) for car in page
        ],
        next=page[-1].id if len(found) > limit else None,
    )


@routes.get("/v1/vehicles/{vehicle}")
async def vehicle(
    ports: Wired, vehicle: str, reach: Annotated[Reach, Depends(reached("readVehicles"))]
) -> VehicleDetail:
    """Show one car."""
    car = await run_in_threadpool(ports.records.vehicle, vehicle)
    certificates = await run_in_threadpool(ports.records.certificates, vehicle)
    sources = await run_in_threadpool(ports.records.replicas.sources, _replicas([car]))
    seen = (await _presence(ports, reach, [vehicle])).get(vehicle, Presence())
    return VehicleDetail(
        **_shown(car, reach, seen),
        source=sources.get(vehicle),
        certificate=_certificate(certificates) if reach.parts is None else None,
        provenance=seen.provenance,  # type: ignore[arg-type]  # pydantic checks it
        clock_offset_s=seen.clock_offset_s,
    )


async def _presence(ports: Ports, reach: Reach, cars: list[str]) -> Mapping[str, Presence]:
    """Return what is known of cars as wholes; of one in reach by grants, what its values in reach say."""
    if reach.parts is None:
        return await ports.twin.presence(cars)
    found: dict[str, Presence] = {}
    for first in range(0, len(cars), CARS_AT_ONCE):
        some = cars[first : first + CARS_AT_ONCE]
        wanted = (ports.twin.get(car, sorted(reach.signals(car) or ())) for car in some)
        for car, values in zip(some, await asyncio.gather(*wanted), strict=True):
            if shown := visible(reach, car, values):
                newest = max(shown.values(), key=lambda last: last.time_us)
                found[car] = Presence(newest.time_us, len(shown), newest.provenance)
    return found


def _shown(car: Enrolled, reach: Reach, seen: Presence) -> dict[str, Any]:
    return {
        "id": car.id,
        "vin": (car.vin or None) if reach.names(car.id) else None,
        "label": car.label,
        "state": car.state,
        "enrolled_at": car.enrolled_at,
        "last_seen": None if seen.last_seen_us is None else from_us(seen.last_seen_us),
        "signals": seen.signals,
    }


def _replicas(cars: list[Enrolled]) -> list[str]:
    return [car.id for car in cars if car.state == "replica"]


def _certificate(certificates: list[Certificate]) -> CertificateShown | None:
    if not certificates:
        return None
    return CertificateShown(serial=certificates[0].serial, not_after=certificates[0].not_after)
