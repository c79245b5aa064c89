"""All plans, and which cars have which: by the orders about them, and by what the cars say."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from carcloud.api.auth import Caller, reach_of
from carcloud.api.errors import RESPONSES
from carcloud.api.plans import PlanOnCar, PlanShown, Reader, shown
from carcloud.api.ports import Last, Ports, Wired
from carcloud.api.times import Time, from_us, now
from carcloud.api.twin import LIMIT_FLEET, seen
from carcloud.backends.records.orders import Order
from carcloud.gateway.collection import SAID, CarPlan, read_said, standing
from carcloud.vehicle.commands import PLAN_DROP, PLAN_TAKE

LIMIT_ORDERS = 100_000
LIMIT_ACTIVE = 1_000_000
LIMIT_CARS = 1000


class CarCounts(BaseModel):
    """How many of the active cars have a plan in which state."""

    waiting: int = 0
    active: int = 0
    refused: int = 0
    dropped: int = 0
    expired: int = 0


class PlanListed(PlanShown):
    """A version of a plan, and where it stands on how many cars."""

    cars: CarCounts


class PlanTable(BaseModel):
    """Plans, each name's newest version first."""

    plans: list[PlanListed]


class CarOfPlan(PlanOnCar):
    """A car and where the plan stands on it. `said_at`: when the car said so last."""

    vehicle: str
    label: str | None
    said_at: Time | None


class CarsOfPlan(BaseModel):
    """The cars of one version of a plan, by label; `found` is how many there are in all."""

    name: str
    version: int
    found: int
    cars: list[CarOfPlan]


routes = APIRouter(tags=["plans"], responses=RESPONSES)


@routes.get("/v1/plans")
async def plans(ports: Wired, caller: Reader) -> PlanTable:
    """List all plans and versions, and on how many cars each stands where."""
    kept = await run_in_threadpool(ports.records.plans.listed, caller.tenant)
    counts: dict[tuple[str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for _, _, _, found in await _standings(ports, caller):
        for one in found:
            counts[one.name, one.version][one.state] += 1
    return PlanTable(
        plans=[
            PlanListed(**vars(shown(one)), cars=CarCounts(**counts.get((one.name, one.version), {}))) for one in kept
        ]
    )


@routes.get("/v1/plans/{name}/cars")
async def cars_of_plan(
    ports: Wired,
    caller: Reader,
    name: str,
    version: int | None = None,
    limit: Annotated[int, Query(ge=1, le=LIMIT_CARS)] = LIMIT_CARS,
) -> CarsOfPlan:
    """Show the cars that were ordered about a plan, or say that they have it; its newest version if none is named."""
    kept = await run_in_threadpool(ports.records.plans.get, caller.tenant, name, version)
    found = [
        CarOfPlan(**vars(one), vehicle=car, label=label, said_at=from_us(last.time_us) if last else None)
        for car, label, last, standings in await _standings(ports, caller)
        for one in standings
        if (one.name, one.version) == (kept.name, kept.version)
    ]
    found.sort(key=lambda one: (one.label or "", one.vehicle))
    return CarsOfPlan(name=kept.name, version=kept.version, found=len(found), cars=found[:limit])


async def _standings(ports: Ports, caller: Caller) -> list[tuple[str, str | None, Last | None, list[CarPlan]]]:
    """Return, for each active car in reach that plans stand on: id, label, its own last word, its plans."""
    orders = await run_in_threadpool(
        ports.records.orders.newest_about, caller.tenant, (PLAN_TAKE, PLAN_DROP), LIMIT_ORDERS
    )
    said = await ports.twin.fleet(caller.tenant, [SAID], LIMIT_FLEET)
    return await run_in_threadpool(_put_together, ports, caller, orders, said)


def _put_together(
    ports: Ports, caller: Caller, orders: Sequence[Order], said: Mapping[str, Sequence[Last | None]]
) -> list[tuple[str, str | None, Last | None, list[CarPlan]]]:
    mine, twin = (reach_of(ports, caller, action) for action in ("readPlans", "readTwin"))
    known = {one.digest: one for one in ports.records.plans.listed(caller.tenant)}
    by_car: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        by_car[order.vehicle].append(order)
    found, at = [], now()
    for car in ports.records.vehicles(LIMIT_ACTIVE, None, "active", caller.tenant):
        if not mine.holds(car.id) or (car.id not in by_car and car.id not in said):
            continue
        values = said.get(car.id, (None,))
        last = seen(twin, car.id, {SAID: values[0]}).get(SAID) if values[0] else None
        told = (read_said(last.value), from_us(last.time_us)) if last else ({}, None)
        standings = standing(by_car[car.id], known, told[0], at, told[1])
        if standings:
            found.append((car.id, car.label, last, standings))
    return found
