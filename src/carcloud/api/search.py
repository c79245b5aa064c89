"""Search: the cars that a condition holds for now."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import reached
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time, now
from carcloud.safety.grants.reach import Reach
from carcloud.twin.search import search
from carcloud.vehicle.conditions.text import LIMIT_TEXT, parse

LIMIT_FOUND = 1000

routes = APIRouter(tags=["vehicles"], responses=RESPONSES)


class FoundVehicle(BaseModel):
    """A car that the condition holds for."""

    id: str
    label: str | None


class FoundVehicles(BaseModel):
    """The cars that a condition holds for, in the order of their ids; ask again with `after=next` until it is null."""

    at: Time
    condition: str
    found: int = Field(description="How many cars it holds for in all")
    unknown: int = Field(description="How many cars do not say, or not lately enough, what it asks about")
    vehicles: list[FoundVehicle]
    truncated: bool = Field(description="Whether there are more behind `next`")
    next: str | None


@routes.get("/v1/vehicles/search")
async def search_vehicles(
    ports: Wired,
    reach: Annotated[Reach, Depends(reached("readTwin"))],
    condition: Annotated[str, Query(max_length=4 * LIMIT_TEXT, examples=["Vehicle.Speed > 130 km/h"])],
    limit: Annotated[int, Query(ge=1, le=LIMIT_FOUND)] = 100,
    after: str | None = None,
) -> FoundVehicles:
    """Find the cars for which a condition without time in it holds now, by what the twin knows of them."""
    asked, at = await run_in_threadpool(parse, condition, ports.catalogue(reach.tenant)), now()
    found = await search(ports.twin, asked, reach, int(at.timestamp() * 1e6))
    rest = [car for car in found.vehicles if after is None or car > after]
    page = rest[:limit]
    cars = await run_in_threadpool(ports.records.vehicles, limit, None, None, reach.tenant, page)
    return FoundVehicles(
        at=at,
        condition=condition,
        found=len(found.vehicles),
        unknown=found.unknown,
        vehicles=[FoundVehicle(id=car.id, label=car.label) for car in cars],
        truncated=len(rest) > limit,
        next=page[-1] if len(rest) > limit else None,
    )
