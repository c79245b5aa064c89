"""Erasing a car: what a person may ask for, and how far every part of the zone has come with it."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Wired
from carcloud.api.times import Time
from carcloud.backends.records import Erasure
from carcloud.stream import subjects


class ErasureShown(BaseModel):
    """One erasure. `parts`: what stream, twin and lake did, once they are done; `done_at` is null until all are."""

    id: str
    vehicle: str
    at: Time
    actor: str
    done_at: Time | None
    parts: dict[str, dict[str, Any]] = Field(description="Part of the zone → what it erased")


class Erasures(BaseModel):
    """The ledger, the newest first."""

    erasures: list[ErasureShown]


routes = APIRouter(tags=["governance"], responses=RESPONSES)


@routes.get("/v1/erasures")
def erasures(ports: Wired, caller: Annotated[Caller, Depends(allowed("readErasures"))]) -> Erasures:
    """List what was erased, and how far it has come."""
    found = (erasure for erasure in ports.records.erasures.all() if erasure.tenant == caller.tenant)
    return Erasures(erasures=[_shown(erasure) for erasure in found])


@routes.post("/v1/vehicles/{vehicle}/erase")
async def erase(
    ports: Wired, vehicle: str, caller: Annotated[Caller, Depends(allowed("eraseVehicle"))]
) -> ErasureShown:
    """Erase all that the zone holds of a car. It cannot be undone; ask again to see how far it is."""
    erasure = await run_in_threadpool(ports.records.erasures.begin, vehicle, caller.id)
    for subject in (subjects.REVOKED, subjects.ERASE):
        await ports.notify(subject, vehicle.encode())
    return _shown(erasure)


def _shown(erasure: Erasure) -> ErasureShown:
    fields = {name: getattr(erasure, name) for name in ("id", "vehicle", "at", "actor", "done_at")}
    return ErasureShown(**fields, parts={part: dict(facts) for part, facts in erasure.parts.items()})
