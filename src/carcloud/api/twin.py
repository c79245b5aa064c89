"""Now: the newest values of one car, or of the fleet."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import reached
from carcloud.api.datum import Asked, Datum, datum_of, fleet_in, one_in
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Last, Ports, Wired
from carcloud.api.times import Time, from_us, now
from carcloud.errors import InputError
from carcloud.safety.grants.reach import Reach
from carcloud.vehicle.catalogue import Catalogue

LIMIT_FLEET = 10_000
LIMIT_FLEET_PATHS = 32
CARS_AT_ONCE = 100

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
    """The newest values of one car by signal path. `datum`: that of its places."""

    vehicle: str
    at: Time
    datum: Datum
    signals: dict[str, AgedValue]


class FleetVehicle(BaseModel):
    """One car's values in the order of `paths`; null where it has not reported one."""

    id: str
    label: str | None
    values: list[float | int | bool | str | list[Any] | None]
    times: list[Time | None]
    provenance: list[str | None]


class FleetSignals(BaseModel):
    """The newest values of many cars in one answer. `datum`: that of their places."""

    at: Time
    datum: Datum
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


@routes.get("/v1/vehicles/{vehicle}/signals")
async def signals(
    ports: Wired,
    vehicle: str,
    reach: Annotated[Reach, Depends(reached("readTwin"))],
    paths: Paths = "",
    datum: Asked = "wgs84",
) -> VehicleSignals:
    """Return a car's newest values with unit, time, age and provenance."""
    catalogue = ports.catalogue(reach.tenant)
    wanted = expand(catalogue, paths)
    await run_in_threadpool(ports.records.vehicle, vehicle)
    values, at, shown_in = seen(reach, vehicle, await ports.twin.get(vehicle, wanted)), now(), datum_of(ports, datum)
    return VehicleSignals(
        vehicle=vehicle,
        at=at,
        datum=shown_in,
        signals={
            path: AgedValue(**shown(catalogue, path, last), age_s=_age_s(at, last))
            for path, last in one_in(values, shown_in).items()
        },
    )


@routes.get("/v1/signals")
async def fleet(
    ports: Wired,
    reach: Annotated[Reach, Depends(reached("readTwin"))],
    paths: Paths,
    limit: Annotated[int, Query(ge=1, le=LIMIT_FLEET)] = 1000,
    datum: Asked = "wgs84",
) -> FleetSignals:
    """Return some signals of all cars at once, as a map needs them."""
    wanted = expand(ports.catalogue(reach.tenant), paths) or []
    if not 0 < len(wanted) <= LIMIT_FLEET_PATHS:
        raise InputError(f"{len(wanted)} signals are asked for.", f"Name 1 to {LIMIT_FLEET_PATHS} in `paths`.")
    values = await _fleet(ports, reach, wanted, limit)
    labels = await run_in_threadpool(_labels, ports, reach.tenant, values)
    shown_in = datum_of(ports, datum)
    return FleetSignals(
        at=now(),
        datum=shown_in,
        paths=wanted,
        vehicles=[
            FleetVehicle(
                id=vehicle,
                label=labels[vehicle],
                values=[None if last is None else last.value for last in row],
                times=[None if last is None else from_us(last.time_us) for last in row],
                provenance=[None if last is None else last.provenance for last in row],
            )
            for vehicle, row in zip(values, fleet_in(wanted, list(values.values()), shown_in), strict=True)
            if vehicle in labels
        ],
    )


def seen(reach: Reach, vehicle: str, values: Mapping[str, Last]) -> dict[str, Last]:
    """Return of a car's values those in reach, as exactly as they may be seen."""
    shown = {path: (last, reach.seen(vehicle, path, last.time_us, last.value)) for path, last in values.items()}
    return {path: replace(last, value=value) for path, (last, value) in shown.items() if value is not None}


async def _fleet(ports: Ports, reach: Reach, paths: list[str], limit: int) -> Mapping[str, Sequence[Last | None]]:
    """Return the values of the paths by car; where only some cars are in reach, they are asked for one by one."""
    if reach.cars is None:
        return await ports.twin.fleet(reach.tenant, paths, limit)
    found: dict[str, Sequence[Last | None]] = {}
    every = sorted(reach.cars)
    for first in range(0, len(every), CARS_AT_ONCE):
        cars = every[first : first + CARS_AT_ONCE]
        for car, values in zip(cars, await asyncio.gather(*(ports.twin.get(car, paths) for car in cars)), strict=True):
            if shown := seen(reach, car, values):
                found[car] = [shown.get(path) for path in paths]
        if len(found) >= limit:
            break
    return dict(islice(found.items(), limit))


def _matches(catalogue: Catalogue, wanted: str) -> list[str]:
    if wanted == "*":
        return list(catalogue)
    if wanted.endswith(".*"):
        return [path for path in catalogue if path.startswith(wanted[:-1])]
    return [wanted] if wanted in catalogue else []


def _age_s(at: datetime, last: Last) -> float:
    return round((at - from_us(last.time_us)).total_seconds(), 3)


def _labels(ports: Ports, tenant: str, vehicles: Iterable[str]) -> dict[str, str | None]:
    wanted = set(vehicles)
    labels: dict[str, str | None] = {}
    after: str | None = None
    while len(labels) < len(wanted):
        page = ports.records.vehicles(LIMIT_FLEET, after, tenant=tenant)
        if not page:
            break
        labels.update((car.id, car.label) for car in page if car.id in wanted)
        after = page[-1].id
    return labels
