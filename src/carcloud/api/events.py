"""Live changes as Server-Sent Events.

- `event: signals`, data {"vehicle", "signals": {path: {"value", "unit", "time", "provenance"}}}.
- With `datum`, places are shown in it, and the header `x-carcloud-datum` names it; half a place is left out.
- Changes are put together: a car is told of at most 4 times a second, and a slow reader gets the newest values only.
- What a caller reaches by grants only is told as exactly as they say, and the stream ends once that changes.
- A comment every 10 s keeps the connection; a stream that ends with `event: error` may be opened again.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from typing import Annotated

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from carcloud.api.auth import Caller, allowed, own_vehicle, reach_of, reached
from carcloud.api.datum import Asked, Datum, datum_of, one_in
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Change, Last, Ports, TwinPorts, Wired
from carcloud.api.times import text
from carcloud.api.twin import Paths, expand, seen, shown
from carcloud.errors import CarcloudError, InputError, NotAllowedError, TryLaterError
from carcloud.lake.places import Places, Words
from carcloud.safety.grants.reach import END_US, Reach
from carcloud.vehicle.catalogue import Catalogue

LIMIT_STREAMS = 64
WORDS = Words(
    full=("Too many live streams are open.", "Close one, or ask again later."),
    quota=(
        "Your tenant has the {} live streams open that its quota allows.",
        "Close one, or ask who runs the zone for a larger quota.",
    ),
    own=("You have {} live streams open, half of what your tenant may.", "Close one."),
)
LIMIT_VEHICLES = 1000
PAUSE_S = 0.25
HEARTBEAT_S = 10.0
LOOK_EVERY_S, LEAST_S = 5.0, 0.01
"""Grants are looked at again so often, should a notice have been lost."""


def places() -> Places:
    """Return the places of live streams; each stream costs a subscription to the twin."""
    return Places(LIMIT_STREAMS, WORDS)


def take_place(request: HTTPConnection, ports: TwinPorts, caller: Caller) -> Callable[[], None]:
    """Take a place for a live stream, or raise TryLaterError; return what gives it back."""
    return place_of(request.app.state.places, ports, caller)


def place_of(taken: Places, ports: TwinPorts, caller: Caller) -> Callable[[], None]:
    """Take one of these places, or raise TryLaterError; return what gives it back."""
    taken.take(caller.tenant, caller.id, ports.shares.streams(caller.tenant), ports.shares.several())
    return partial(taken.give_back, caller.tenant, caller.id)


class EventStream(Response):
    """A response that goes on until the reader leaves or the twin ends it."""

    media_type = "text/event-stream"

    def __init__(
        self,
        changes: AsyncGenerator[Change, None],
        catalogue: Callable[[], Catalogue],
        closed: Callable[[], None],
        ended: Callable[[], Awaitable[None]],
        reach: Reach,
        datum: Datum = "wgs84",
    ) -> None:
        self.init_headers({"cache-control": "no-store", "x-accel-buffering": "no", "x-carcloud-datum": datum})
        self.status_code, self.background = 200, None
        self._changes, self._catalogue, self._closed = changes, catalogue, closed
        self._ended, self._reach, self._datum = ended, reach, datum
        self._waiting: dict[str, dict[str, Last]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until one of the three sides ends."""
        tasks: list[asyncio.Task[None]] = []
        try:
            headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b": welcome\n\n", "more_body": True})
            sides = (self._collect(), self._tell(send), _gone(receive), self._end_of_reach())
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
            if shown := seen(self._reach, change.vehicle, change.signals):
                self._waiting.setdefault(change.vehicle, {}).update(shown)
        raise TryLaterError("The twin ended the stream.", "Open it again.")

    async def _end_of_reach(self) -> None:
        await self._ended()
        self._waiting = {}
        raise NotAllowedError("What you may see has changed.", "Open the stream again.")

    async def _tell(self, send: Send) -> None:
        quiet_s = 0.0
        while True:
            waiting, self._waiting = self._waiting, {}
            catalogue = self._catalogue()
            places = ((vehicle, one_in(signals, self._datum)) for vehicle, signals in waiting.items())
            body = b"".join(_event(catalogue, vehicle, signals) for vehicle, signals in places if signals)
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
    reach: Annotated[Reach, Depends(reached("readTwin"))],
    vehicles: Annotated[str, Query(description="Vehicle ids, comma separated, or * for all")] = "*",
    paths: Paths = "",
    datum: Asked = "wgs84",
) -> EventStream:
    """Follow changes as they happen."""
    wanted = expand(ports.catalogue(reach.tenant), paths)
    cars = reach.cars if vehicles == "*" else await run_in_threadpool(_cars, ports, caller, reach, vehicles)
    give_back = take_place(request, ports, caller)
    changes = ports.twin.watch(reach.tenant, cars, None if wanted is None else frozenset(wanted))
    ended = partial(changed, ports, caller, "readTwin", reach)
    return EventStream(changes, ports.catalogue, give_back, ended, reach, datum_of(ports, datum))


async def changed(ports: TwinPorts, caller: Caller, action: str, reach: Reach) -> None:
    """Return once a caller reaches by an act something else than before; never for who reaches all."""
    if reach.parts is None:
        await asyncio.Event().wait()
    while True:
        wake = ports.grants.wake
        with contextlib.suppress(TryLaterError):
            if await run_in_threadpool(reach_of, ports, caller, action) != reach:
                return
        ends_us = min((part.until_us for part in reach.parts or ()), default=END_US)
        left_s = max(ends_us - time.time_ns() // 1000, 0) / 1e6
        await ports.grants.wait(wake, min(LOOK_EVERY_S, left_s + LEAST_S))


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cars(ports: Ports, caller: Caller, reach: Reach, vehicles: str) -> frozenset[str]:
    cars = frozenset(part.strip() for part in vehicles.split(","))
    if len(cars) > LIMIT_VEHICLES:
        raise InputError(f"{len(cars)} cars are named.", f"Name at most {LIMIT_VEHICLES}, or * for all.")
    for car in cars:
        own_vehicle(ports, caller, car, reach)
    return cars


def _event(catalogue: Catalogue, vehicle: str, signals: Mapping[str, Last]) -> bytes:
    values = {path: shown(catalogue, path, last) for path, last in signals.items()}
    for value in values.values():
        value["time"] = text(value["time"])
    return b"event: signals\ndata: " + orjson.dumps({"vehicle": vehicle, "signals": values}) + b"\n\n"
