"""Trying plans on history, and naming the cars that plans are for."""

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

import orjson
import pyarrow as pa
from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, Field
from starlette.responses import StreamingResponse

from carcloud.api.asking import asker_of, while_there
from carcloud.api.auth import Caller, allowed, reach_of, reached
from carcloud.api.errors import RESPONSES
from carcloud.api.events import take_place
from carcloud.api.lake import LIMIT_ROWS
from carcloud.api.plans import PlanWanted, Reader, read_plans
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.errors import CarcloudError, InputError, MissingError
from carcloud.lake.told import told
from carcloud.lake.trial import Progress, attempt
from carcloud.safety.governance.collecting import doubts
from carcloud.safety.orders.authorisation import LIMIT_VEHICLES
from carcloud.twin.search import search
from carcloud.vehicle.conditions.text import LIMIT_TEXT
from carcloud.vehicle.conditions.text import parse as read_condition

LIMIT_SQL = 100_000

VehicleName = Annotated[Text, Field(max_length=64)]


class TrialWanted(PlanWanted):
    """Plans to be tried, and on what history: all that is in reach, if nothing else is said."""

    vehicles: Annotated[list[VehicleName], Field(max_length=LIMIT_VEHICLES)] | None = None
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None


class TargetsWanted(BaseModel):
    """Which cars, in one of three ways: by name, by a condition that holds for them now, or by SQL over the lake.

    A condition is worked out over the twin. A statement answers with one column `vehicle`.
    """

    vehicles: Annotated[list[VehicleName], Field(max_length=LIMIT_VEHICLES)] | None = None
    condition: Annotated[Text, Field(max_length=LIMIT_TEXT)] | None = None
    sql: Annotated[Text, Field(max_length=LIMIT_SQL)] | None = None


class Targets(BaseModel):
    """The cars' ids, in order."""

    vehicles: list[str]


routes = APIRouter(tags=["plans"], responses=RESPONSES)


@routes.post(
    "/v1/plans/try",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events `progress`, `result`, `error`"}},
)
async def try_plans(
    ports: Wired,
    request: Request,
    _: Reader,
    caller: Annotated[Caller, Depends(allowed("queryLake"))],
    wanted: TrialWanted,
) -> StreamingResponse:
    """Try plans on history: which cars would have fired, when, and how many bytes that would have been."""
    plans = await run_in_threadpool(read_plans, ports, caller.tenant, wanted, False)
    asker = asker_of(request, caller, "queryLake")

    async def ask(sql: str) -> pa.Table:
        reply = await ports.lake.ask(asker, sql, {}, LIMIT_ROWS, "arrow")
        if reply.truncated:
            raise InputError("There is too much history to answer at once.", "Name some cars, or a shorter time.")
        return pa.ipc.open_stream(reply.body).read_all()

    paths = {one.path for plan in plans for one in plan.signals}
    paths = paths.union(*(plan.when.paths for plan in plans if plan.when))
    found = attempt(plans, ask, doubts(ports.governance(), sorted(paths)), wanted.vehicles, wanted.since, wanted.until)
    give_back = take_place(request, ports, caller)
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(found, give_back), media_type="text/event-stream", headers=headers)


async def _events(found: AsyncIterator[Any], give_back: Any) -> AsyncGenerator[bytes, None]:
    try:
        async for said in found:
            if isinstance(said, Progress):
                yield b"event: progress\ndata: " + orjson.dumps(vars(said)) + b"\n\n"
            else:
                yield b"event: result\ndata: " + orjson.dumps(told(said)) + b"\n\n"
    except CarcloudError as error:
        shape = {"error": {"code": error.code, "message": error.message, "do": error.do}}
        yield b"event: error\ndata: " + orjson.dumps(shape) + b"\n\n"
    finally:
        with contextlib.suppress(RuntimeError):
            await found.aclose()  # type: ignore[attr-defined]
        give_back()


@routes.post("/v1/plans/targets")
async def targets(ports: Wired, request: Request, caller: Reader, wanted: TargetsWanted) -> Targets:
    """Name the cars that a plan is for. To order them, sign an authorisation for them as for every order."""
    if [wanted.vehicles, wanted.condition, wanted.sql].count(None) != 2:
        raise InputError("Say which cars in one way.", "Give `vehicles`, `condition` or `sql`.")
    if wanted.condition is not None:
        reach = await reached("readTwin")(request)
        asked = read_condition(wanted.condition, ports.catalogue(caller.tenant))
        holds = await search(ports.twin, asked, reach, time.time_ns() // 1000)
        found = await run_in_threadpool(_active, ports, caller, list(holds.vehicles))
    elif wanted.vehicles is not None:
        found = wanted.vehicles
        await run_in_threadpool(_check_mine, ports, caller, found)
    else:
        await allowed("queryLake")(request)
        reply = await while_there(
            request,
            ports.lake.ask(asker_of(request, caller, "queryLake"), wanted.sql or "", {}, LIMIT_VEHICLES, "arrow"),
        )
        table = pa.ipc.open_stream(reply.body).read_all()
        if reply.truncated:
            raise InputError(f"More than {LIMIT_VEHICLES} cars.", "Narrow the statement; an order names no more.")
        found = await run_in_threadpool(_active, ports, caller, vehicles_of(table))
    return Targets(vehicles=sorted(set(found)))


def vehicles_of(table: pa.Table) -> list[str]:
    """Return the cars that an answer of the lake names; raise InputError where it is none of that kind."""
    if table.column_names != ["vehicle"] or not pa.types.is_string(table.schema.field(0).type):
        raise InputError("The answer has not one column `vehicle`.", "Write SELECT DISTINCT vehicle FROM …")
    return [name for name in table.column("vehicle").to_pylist() if name is not None]


def _check_mine(ports: Ports, caller: Caller, vehicles: list[str]) -> None:
    known = _active(ports, caller, vehicles)
    if strange := sorted(set(vehicles).difference(known)):
        raise MissingError(f"No active vehicle {strange[0]!r}.", "List the enrolled ones with `carcloud vehicles`.")


def _active(ports: Ports, caller: Caller, vehicles: list[str]) -> list[str]:
    """Return those of the cars that can be ordered: active ones of the caller's."""
    reach = reach_of(ports, caller, "readPlans")
    found = ports.records.vehicles(LIMIT_VEHICLES, None, "active", caller.tenant, vehicles)
    return [car.id for car in found if reach.holds(car.id)]
