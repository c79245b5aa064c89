"""Now: the newest values of one car, or of the fleet."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Last, Ports, Wired
from carcloud.api.times import Time, from_us, now
from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Catalogue

LIMIT_FLEET = 10_000
LIMIT_FLEET_PATHS = 32

Paths = Annotated[str, Query(description="Signal paths, comma separated; `Vehicle.Cabin.*` means all below")]


class Value(BaseModel):
    """A value with where it comes from."""

    value: float | int | bool | str | list[Any]
    unit: str | None
    time: Time
    provenance: str


class AgedValue(Value):
    """A value and how old it is, in seconds."""

    age_s: float


class VehicleSignals(BaseModel):
    """The newest values of one car by signal path."""

    vehicle: str
    at: Time
    signals: dict[str, AgedValue]


class FleetVehicle(BaseModel):
    """One car's values in the order of `paths`; null where it has not reported one."""

    id: str
    label: str | None
    values: list[float | int | bool | str | list[Any] | None]
    times: list[Time | None]
    provenance: list[str | None]


class FleetSignals(BaseModel):
    """The newest values of many cars in one answer."""

    at: Time
    paths: list[str]
    vehicles: list[FleetVehicle] = Field(description="Cars that have reported at least one of the paths")


def expand(catalogue: Catalogue, paths: str) -> list[str] | None:
    """Return the exact paths that a comma-separated list with `.*` means, or None for all."""
    if not paths:
        return None
    found: dict[str, None] = {}
    for wanted in (part.strip() for part in paths.split(",")):
        matches = _matches(catalogue, wanted)
        if not matches:
            raise InputError(f"The catalogue has no signal {wanted!r}.", "See /v1/catalogue for the signals there are.")
        found.update(dict.fromkeys(matches))
    return list(found)


def shown(catalogue: Catalogue, path: str, last: Last) -> dict[str, Any]:
    """Return a value as the API writes it, still to be checked."""
    unit = catalogue[path].unit if path in catalogue else None
    return {"value": last.value, "unit": unit, "time": from_us(last.time_us), "provenance": last.provenance}


routes = APIRouter(tags=["twin"], responses=RESPONSES)


@routes.get("/v1/vehicles/{vehicle}/signals", dependencies=[Depends(allowed("readTwin"))])
async def signals(ports: Wired, vehicle: str, paths: Paths = "") -> VehicleSignals:
    """Return a car's newest values with unit, time, age and provenance."""
    catalogue = ports.catalogue()
    wanted = expand(catalogue, paths)
    await run_in_threadpool(ports.records.vehicle, vehicle)
    values, at = await ports.twin.get(vehicle, wanted), now()
    return VehicleSignals(
        vehicle=vehicle,
        at=at,
        signals={
            path: AgedValue(**shown(catalogue, path, last), age_s=_age_s(at, last)) for path, last in values.items()
        },
    )


@routes.get("/v1/signals")
async def fleet(
    ports: Wired,
    caller: Annotated[Caller, Depends(allowed("readTwin"))],
    paths: Paths,
    limit: Annotated[int, Query(ge=1, le=LIMIT_FLEET)] = 1000,
) -> FleetSignals:
    """Return some signals of all cars at once, as a map needs them."""
    wanted = expand(ports.catalogue(), paths) or []
    if not 0 < len(wanted) <= LIMIT_FLEET_PATHS:
        raise InputError(f"{len(wanted)} signals are asked for.", f"Name 1 to {LIMIT_FLEET_PATHS} in `paths`.")
    values = await ports.twin.fleet(wanted, limit)
    labels = await run_in_threadpool(_labels, ports, caller, values)
    return FleetSignals(
        at=now(),
        paths=wanted,
        vehicles=[
            FleetVehicle(
                id=vehicle,
                label=labels[vehicle],
                values=[None if last is None else last.value for last in row],
                times=[None if last is None else from_us(last.time_us) for last in row],
                provenance=[None if last is None else last.provenance for last in row],
            )
            for vehicle, row in values.items()
            if vehicle in labels
        ],
    )


def _matches(catalogue: Catalogue, wanted: str) -> list[str]:
    if wanted == "*":
        return list(catalogue)
    if wanted.endswith(".*"):
        return [path for path in catalogue if path.startswith(wanted[:-1])]
    return [wanted] if wanted in catalogue else []


def _age_s(at: datetime, last: Last) -> float:
    return round((at - from_us(last.time_us)).total_seconds(), 3)


def _labels(ports: Ports, caller: Caller, vehicles: Iterable[str]) -> dict[str, str | None]:
    wanted = set(vehicles)
    labels: dict[str, str | None] = {}
    after: str | None = None
    while len(labels) < len(wanted):
        page = ports.records.vehicles(LIMIT_FLEET, after, tenant=caller.tenant)
        if not page:
            break
        labels.update((car.id, car.label) for car in page if car.id in wanted)
        after = page[-1].id
    return labels
