"""Live changes as Server-Sent Events.

- `event: signals`, data {"vehicle", "signals": {path: {"value", "unit", "time", "provenance"}}}.
- Changes are put together: a car is told of at most 4 times a second, and a slow reader gets the newest values only.
- A comment every 10 s keeps the connection; a stream that ends with `event: error` may be opened again.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from carcloud.api.auth import Caller, allowed, own_vehicle
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Change, Last, Ports, Wired
from carcloud.api.times import text
from carcloud.api.twin import Paths, expand, shown
from carcloud.errors import CarcloudError, InputError, TryLaterError
from carcloud.vehicle.catalogue import Catalogue

LIMIT_STREAMS = 64
LIMIT_VEHICLES = 1000
PAUSE_S = 0.25
HEARTBEAT_S = 10.0


class Places:
    """How many streams may be open at once; each costs a subscription to the twin."""

    def __init__(self, free: int = LIMIT_STREAMS) -> None:
        self.free = free

    def take(self) -> None:
        """Take a place, or raise TryLaterError."""
        if self.free == 0:
            raise TryLaterError("Too many live streams are open.", "Close one, or ask again later.")
        self.free -= 1

    def give_back(self) -> None:
        """Give the place back."""
        self.free += 1


class EventStream(Response):
    """A response that goes on until the reader leaves or the twin ends it."""

    media_type = "text/event-stream"

    def __init__(
        self, changes: AsyncGenerator[Change, None], catalogue: Callable[[], Catalogue], closed: Callable[[], None]
    ) -> None:
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no"})
        self.status_code, self.background = 200, None
        self._changes, self._catalogue, self._closed = changes, catalogue, closed
        self._waiting: dict[str, dict[str, Last]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until one of the three sides ends."""
        tasks: list[asyncio.Task[None]] = []
        try:
            headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b": welcome\n\n", "more_body": True})
            sides = (self._collect(), self._tell(send), _gone(receive))
            tasks = [asyncio.create_task(side) for side in sides]
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await self._end(send, next(iter(done)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._changes.aclose()
            self._closed()

    async def _collect(self) -> None:
        async for change in self._changes:
            self._waiting.setdefault(change.vehicle, {}).update(change.signals)
        raise TryLaterError("The twin ended the stream.", "Open it again.")

    async def _tell(self, send: Send) -> None:
        quiet_s = 0.0
        while True:
            waiting, self._waiting = self._waiting, {}
            catalogue = self._catalogue()
            body = b"".join(_event(catalogue, vehicle, signals) for vehicle, signals in waiting.items())
            quiet_s = 0.0 if body else quiet_s + PAUSE_S
            if quiet_s >= HEARTBEAT_S:
                body, quiet_s = b": still here\n\n", 0.0
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await asyncio.sleep(PAUSE_S)

    async def _end(self, send: Send, task: asyncio.Task[None]) -> None:
        error = task.exception()
        if isinstance(error, CarcloudError):
            detail = {"error": {"code": error.code, "message": error.message, "do": error.do}}
            body = b"event: error\ndata: " + orjson.dumps(detail) + b"\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": False})
        elif error is not None and not isinstance(error, OSError):
            raise error


routes = APIRouter(tags=["twin"], responses=RESPONSES)


@routes.get(
    "/v1/events",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}, "description": "Events named `signals`"}},
)
async def events(
    ports: Wired,
    request: Request,
    caller: Annotated[Caller, Depends(allowed("readTwin"))],
    vehicles: Annotated[str, Query(description="Vehicle ids, comma separated, or * for all")] = "*",
    paths: Paths = "",
) -> EventStream:
    """Follow changes as they happen."""
    wanted = expand(ports.catalogue(), paths)
    cars = None if vehicles == "*" else await run_in_threadpool(_cars, ports, caller, vehicles)
    places: Places = request.app.state.places
    places.take()
    changes = ports.twin.watch(cars, None if wanted is None else frozenset(wanted))
    return EventStream(changes, ports.catalogue, places.give_back)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cars(ports: Ports, caller: Caller, vehicles: str) -> frozenset[str]:
    cars = frozenset(part.strip() for part in vehicles.split(","))
    if len(cars) > LIMIT_VEHICLES:
        raise InputError(f"{len(cars)} cars are named.", f"Name at most {LIMIT_VEHICLES}, or * for all.")
    for car in cars:
        own_vehicle(ports, caller, car)
    return cars


def _event(catalogue: Catalogue, vehicle: str, signals: dict[str, Last]) -> bytes:
    values = {path: shown(catalogue, path, last) for path, last in signals.items()}
    for value in values.values():
        value["time"] = text(value["time"])
    return b"event: signals\ndata: " + orjson.dumps({"vehicle": vehicle, "signals": values}) + b"\n\n"
