"""A WebSocket that speaks VISS: a client's requests about one car, answered in turn, and what it subscribed to.

- A request comes in by its own `authorization`, or by what the handshake showed. Who shows neither within 10 s leaves.
- A client that offers sub-protocols must offer VISSv3 among them; one that offers none is let in.
- At most 64 connections wait to become known; one that is
  takes one of the places of live streams, and has at most 16 subscriptions.
- A slow reader gets fewer events: what finds no room is left out. Who reads nothing for 10 s is hung up on.

Source: COVESA VISS version 3.1, Core and Transport (WebSocket); RFC 6455 (close codes).
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Any

import orjson
from starlette.websockets import WebSocket

from carcloud.api.errors import answer_of
from carcloud.api.events import take_place
from carcloud.api.ports import TwinPorts
from carcloud.api.visit import Visit
from carcloud.api.viss import messages
from carcloud.api.viss.messages import BadRequestError, Request
from carcloud.api.viss.reading import answer, assignment
from carcloud.api.viss.subscription import Subscription, subscription
from carcloud.errors import CarcloudError, MissingError, TryLaterError
from carcloud.safety.people.accounts import StrangerError
from carcloud.safety.people.caller import Caller

log = logging.getLogger(__name__)

PROTOCOL = "VISSv3"
LIMIT_SUBSCRIPTIONS = 16
LIMIT_WAITING = 256
LIMIT_STRANGERS = 64
KNOWN_WITHIN_S = 10.0
READS_WITHIN_S = 10.0
POLICY, LATER = 1008, 1013
"""Close codes of RFC 6455: what was sent breaks a rule; try again later."""


class _ClosedError(Exception):
    """The connection is to be closed. args: code and reason."""


class Session:
    """One connection of one client about one car."""

    def __init__(self, socket: WebSocket, ports: TwinPorts, vehicle: str) -> None:
        self._socket, self._ports, self._vehicle = socket, ports, vehicle
        self._outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue(LIMIT_WAITING)
        self._subscriptions: dict[str, asyncio.Task[None]] = {}
        self._strangers: asyncio.Semaphore = socket.app.state.strangers
        self._place: Callable[[], None] | None = None
        self._number = 0

    async def run(self) -> None:
        """Talk until one of the two sides hangs up."""
        offered = self._socket.scope["subprotocols"]
        if offered and PROTOCOL not in offered:
            wrong = BadRequestError("None of the sub-protocols is spoken here.", f"Offer {PROTOCOL}.")
            await self._socket.send_denial_response(answer_of(self._socket.scope["path"], wrong))
            return
        await self._socket.accept(PROTOCOL if offered else None)
        if self._strangers.locked():
            await self._socket.close(LATER, "too many connections wait to become known")
            return
        await self._strangers.acquire()
        sides = [asyncio.ensure_future(side) for side in (self._hear(), self._tell())]
        try:
            done, _ = await asyncio.wait(sides, return_when=asyncio.FIRST_COMPLETED)
            await next(iter(done))
        except _ClosedError as closed:
            with contextlib.suppress(RuntimeError, OSError):
                await self._socket.close(*closed.args)
        finally:
            tasks = [*sides, *self._subscriptions.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            (self._place or self._strangers.release)()

    async def _hear(self) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + KNOWN_WITHIN_S
        while True:
            try:
                async with asyncio.timeout_at(end if self._place is None else None):
                    message = await self._socket.receive()
            except TimeoutError:
                raise _ClosedError(POLICY, "no valid access token came in time") from None
            if message["type"] == "websocket.disconnect":
                return
            await self._outbox.put(await self._answered(message.get("text")))

    async def _tell(self) -> None:
        while True:
            message = await self._outbox.get()
            try:
                async with asyncio.timeout(READS_WITHIN_S):
                    await self._socket.send_text(orjson.dumps(message).decode())
            except TimeoutError:
                raise _ClosedError(LATER, "what was sent is not read") from None

    async def _answered(self, text: str | None) -> dict[str, Any]:
        """Answer a request, or say what is wrong with it."""
        names: dict[str, str] = {}
        try:
            if text is None or len(text.encode()) > messages.LIMIT_MESSAGE_BYTES:
                raise BadRequestError("The request is malformed.", "Send text of at most 64 KiB.")
            names = messages.names_of(text)
            said = await self._act(messages.parse(text))
        except CarcloudError as error:
            said = {"error": messages.failure(error)}
        except UnicodeError:
            said = {"error": messages.failure(BadRequestError("The request is malformed.", "Send UTF-8."))}
        except Exception as error:
            log.error("a VISS request failed", exc_info=error)
            said = {"error": messages.failure(CarcloudError("Something failed inside the zone.", "See its log."))}
        return names | said | {"ts": messages.moment()}

    async def _act(self, request: Request) -> dict[str, Any]:
        visit = await self._visit(request.authorization)
        if request.action == "get":
            return await answer(visit, request.path, request.filter, self._socket.scope["server"][1])
        if request.action == "set":
            await visit.set(*await assignment(visit, request.path, request.value))
            return {}
        if request.action == "subscribe":
            return {"subscriptionId": await self._subscribe(visit, request)}
        self._unsubscribe(request.subscription)
        return {}

    async def _visit(self, token: str | None) -> Visit:
        """Return who asks, at the car; raise StrangerError where nobody known does."""
        state = self._socket.scope["state"]
        caller: Caller | None = state["caller"] if token is None else await state["by_token"](token)
        if caller is None:
            told = "Access token is missing." if token is None else "Access token is invalid."
            raise StrangerError(told, "Give a valid one as authorization, or when you connect.")
        if self._place is None:
            self._place = take_place(self._socket, self._ports, caller)
            self._strangers.release()

        async def still() -> bool:
            return bool(await state["still"]()) if token is None else await state["by_token"](token) == caller

        return Visit(self._ports, caller, self._vehicle, still)

    async def _subscribe(self, visit: Visit, request: Request) -> str:
        self._subscriptions = {id_: task for id_, task in self._subscriptions.items() if not task.done()}
        if len(self._subscriptions) >= LIMIT_SUBSCRIPTIONS:
            raise TryLaterError(f"{LIMIT_SUBSCRIPTIONS} subscriptions stand.", "End one, or open another connection.")
        made = await subscription(visit, request.path, request.filter)
        self._number += 1
        id_ = str(self._number)
        self._subscriptions[id_] = asyncio.create_task(self._keep(id_, made))
        return id_

    def _unsubscribe(self, id_: str | None) -> None:
        if not id_:
            raise BadRequestError("Missing or invalid subscriptionId.", "Give the one that the subscription got.")
        task = self._subscriptions.pop(id_, None)
        if task is None or task.done():
            raise MissingError(
                "Unknown subscription Id.", "Give the one that the subscription got, on this connection."
            )
        task.cancel()

    async def _keep(self, id_: str, made: Subscription) -> None:
        """Tell of a subscription until it must end, and then why."""

        def tell(data: Any) -> None:
            with contextlib.suppress(asyncio.QueueFull):  # who reads slowly gets fewer events
                self._outbox.put_nowait(_event(id_, {"data": data}))

        try:
            await made.run(tell)
        except CarcloudError as error:
            await self._outbox.put(_event(id_, {"error": messages.failure(error)}))


def _event(id_: str, said: dict[str, Any]) -> dict[str, Any]:
    return {"action": "subscription", "subscriptionId": id_} | said | {"ts": messages.moment()}
