"""The addresses of the VISS door: each car's tree below `/v1/vehicles/{vehicle}/viss`.

Source: COVESA VISS version 3.1, Transport (HTTPS, WebSocket).
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, WebSocket
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from carcloud.api.auth import Caller, allowed
from carcloud.api.ports import TwinPorts, Wired
from carcloud.api.visit import Visit
from carcloud.api.viss import messages
from carcloud.api.viss.reading import answer, assignment
from carcloud.api.viss.session import Session


class VissError(BaseModel):
    """What went wrong, as VISS numbers it."""

    number: str
    reason: str
    description: str


class VissErrorBody(BaseModel):
    """The body of every answer of this door that is not a success. `ts`: when that was."""

    error: VissError
    ts: str


RESPONSES: dict[int | str, dict[str, object]] = {
    "4XX": {"model": VissErrorBody, "description": "Refused; `error.description` says why"},
    "5XX": {"model": VissErrorBody, "description": "Not possible now"},
}

routes = APIRouter(tags=["viss"], responses=RESPONSES)


@routes.get("/v1/vehicles/{vehicle}/viss/{path:path}", response_class=JSONResponse)
@routes.head("/v1/vehicles/{vehicle}/viss/{path:path}", response_class=JSONResponse, include_in_schema=False)
async def read(
    ports: Wired,
    request: Request,
    caller: Annotated[Caller, Depends(allowed("readTwin"))],
    vehicle: str,
    path: str,
    filter: str | None = None,  # noqa: A002 (as VISS names it)
) -> JSONResponse:
    """Read signals of a car, or what is known about them, as VISS has it."""
    said = await answer(_visit(ports, request, caller, vehicle), path, filter, request.scope["server"][1])
    return JSONResponse(said | {"ts": messages.moment()})


@routes.post("/v1/vehicles/{vehicle}/viss/{path:path}", response_class=JSONResponse)
@routes.put("/v1/vehicles/{vehicle}/viss/{path:path}", response_class=JSONResponse)
async def update(
    ports: Wired,
    request: Request,
    caller: Annotated[Caller, Depends(allowed("setValue"))],
    vehicle: str,
    path: str,
) -> JSONResponse:
    """Set an actuator of a car, as VISS has it: the body's `value` becomes an order that the door signs."""
    visit = _visit(ports, request, caller, vehicle)
    queued = await visit.set(*await assignment(visit, path, messages.set_body(await request.body())))
    return JSONResponse({"ts": messages.moment()}, headers={"x-carcloud-order": queued.id})


@routes.websocket("/v1/vehicles/{vehicle}/viss")
@routes.websocket("/v1/vehicles/{vehicle}/viss/")
async def connect(socket: WebSocket, vehicle: str) -> None:
    """Talk with a client over a WebSocket; each request says who asks, or the handshake did."""
    ports: TwinPorts = socket.app.state.ports
    await Session(socket, ports, vehicle).run()


def _visit(ports: TwinPorts, request: Request, caller: Caller, vehicle: str) -> Visit:
    return Visit(ports, caller, vehicle, request.state.still)
