"""What a car is wanted to be, against what it reports: made from its orders and its twin."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from carcloud.api.auth import reached
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time
from carcloud.api.visit import wanted_of
from carcloud.gateway.desired import State
from carcloud.safety.grants.reach import Reach


class DesiredShown(BaseModel):
    """An actuator of a car. `reason` says why it was refused, expired or failed.

    `at`: when the order was given; `until`: when its time is over.
    """

    path: str
    wanted: float | int | bool | str
    reported: float | int | bool | str | None
    state: State
    reason: str | None
    order: str
    at: Time
    until: Time


class DesiredList(BaseModel):
    """What was ordered of a car's actuators, newest order each, and what came of it."""

    vehicle: str
    desired: list[DesiredShown]


routes = APIRouter(tags=["orders"], responses=RESPONSES)


@routes.get("/v1/vehicles/{vehicle}/desired")
async def desired(
    ports: Wired,
    vehicle: str,
    orders: Annotated[Reach, Depends(reached("readOrders"))],
    twin: Annotated[Reach, Depends(reached("readTwin"))],
) -> DesiredList:
    """Return what a car is wanted to be, what it reports, and whether the two agree."""
    found = await wanted_of(ports, orders, twin, vehicle)
    return DesiredList(vehicle=vehicle, desired=[DesiredShown(**vars(one)) for one in found])
