"""One connection of a terminal or platform: its socket, its session, and the cars that came in by it.

What it may do its session decides (`session.py`); whom it lets in, the door (`door.py`).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar, cast

from carcloud.backends.records.terminals import Terminal
from carcloud.errors import CarcloudError, TryLaterError
from carcloud.gateway.gbt32960.admission import Refused
from carcloud.gateway.gbt32960.car import Car
from carcloud.gateway.gbt32960.checks import is_dear
from carcloud.gateway.gbt32960.session import (
    Act,
    Admit,
    AdmitPlatform,
    Close,
    Heard,
    Leave,
    Send,
    Session,
    Take,
    answer,
    code_of,
)
from carcloud.gateway.gbt32960.taking import cause_of
from carcloud.vehicle.gbt32960.forms import Login, PlatformLogin
from carcloud.vehicle.gbt32960.frames import AnswerCode, Command, Frame
from carcloud.vehicle.gbt32960.frames import encode as encode_frame
from carcloud.vehicle.gbt32960.times import write_time

if TYPE_CHECKING:
    from carcloud.gateway.gbt32960.door import Door

T = TypeVar("T")

LIMIT_UNSENT_BYTES = 256 * 1024
"""Answers that a connection does not take; beyond, it is closed."""
NEW_S = 1.0
"""For so long nobody has to go for a newcomer: time enough to log in."""
HELD_S = 0.05
"""How often it is looked whether a connection that waits for a check is read on."""


class Connection(asyncio.Protocol):
    """One socket, and the cars that came in by it."""

    def __init__(self, door: Door) -> None:
        self.door = door
        self.session = Session(door.settings, time.monotonic())
        self.cars: dict[str, Car] = {}
        self.tenant: str | None = None
        self.since = time.time()
        self.closed = False
        self.address = ""
        self.unmade: asyncio.Task[None] | None = None
        self._certificate: bytes | None = None
        self._transport: asyncio.Transport | None = None
        self._paused = self._held = self._doing = False
        self._acts: deque[Act] = deque()
        self._unsent: list[bytes] = []

    # the socket

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, where there is room."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else ""
        channel = transport.get_extra_info("ssl_object")
        self._certificate = channel.getpeercert(True) if channel is not None else None
        self.unmade = None
        if self.door.comes(self, self.address):
            self.door.connections.add(self)
        else:
            self.closed = True
            self._transport.abort()

    def give_place(self) -> bool:
        """Go for a newcomer, unless this is one too, or it is being looked up who it is."""
        if self.session.is_asking or time.monotonic() - self.session.began < NEW_S:
            return False
        self.door.places.leave(self)
        if self.unmade is not None:
            self.unmade.cancel()
            self.door.ended["too_many_connections"] += 1
        else:
            self.close("too_many_connections")
        return True

    def data_received(self, data: bytes) -> None:
        """Take bytes in."""
        now = time.monotonic()
        self._do(self.session.take(data, now))
        if not self._paused and not self.closed and (pause_s := self._slow_down_s(now)) > 0:
            self._pause(pause_s)

    def _slow_down_s(self, now: float) -> float:
        return HELD_S if self._acts else self.session.slow_down_s(now)

    def _pause(self, pause_s: float) -> None:
        assert self._transport is not None
        self._paused = True
        self.session.faults["slowed_down"] += not self._acts
        self._transport.pause_reading()
        asyncio.get_running_loop().call_later(pause_s, self._resume)

    def _resume(self) -> None:
        self._paused = False
        if self.closed or self._transport is None or self._transport.is_closing():
            return
        pause_s = self._slow_down_s(time.monotonic())
        if pause_s > 0:
            self._paused = True
            asyncio.get_running_loop().call_later(pause_s, self._resume)
        else:
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection and its cars; what waits of them goes on."""
        self.session.ended()
        self.door.places.leave(self)
        self._leave_all()
        if self in self.door.connections:
            self.door.connections.discard(self)
            self.door.ended.update(self.session.faults)
        self.closed = True

    def look(self, now: float) -> None:
        """Look at the clock."""
        if not self.closed and not self._held and self.session.look(now):
            self.close("")

    def close(self, cause: str) -> None:
        """End the connection."""
        if cause:
            self.session.faults[cause] += 1
        self._leave_all()
        self._write()
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def send(self, data: bytes) -> None:
        """Put bytes on the wire, together with all that is said at this moment."""
        if not self._unsent:
            asyncio.get_running_loop().call_soon(self._write)
        self._unsent.append(data)

    def _write(self) -> None:
        """Write what is unsent; a connection that takes none is closed."""
        unsent, self._unsent = self._unsent, []
        if not unsent or self.closed or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(b"".join(unsent))
        if self._transport.get_write_buffer_size() > LIMIT_UNSENT_BYTES:
            self.session.faults["answers_not_taken"] += 1
            self._leave_all()
            self.closed = True
            self._transport.abort()

    # acts

    def _do(self, acts: list[Act]) -> None:
        """Do acts in their order; while a check is going on, they wait."""
        self._acts.extend(acts)
        if self._doing:
            return
        self._doing = True
        while self._acts and not self._held and not self.closed:
            act = self._acts.popleft()
            if isinstance(act, Take):
                self._take(act.frame)
            elif isinstance(act, Send):
                self.send(act.data)
            elif isinstance(act, Close):
                self.close("")
            elif isinstance(act, Admit):
                self.door.start(self._admit(act.frame))
            elif isinstance(act, AdmitPlatform):
                self.door.start(self._admit_platform(act.frame))
            elif isinstance(act, Leave):
                if (car := self.cars.get(act.vin)) is not None:
                    self.drop(car)
            elif isinstance(act, Heard):
                self._heard(act.frame)
        self._doing = False

    async def _admit(self, frame: Frame) -> None:
        try:
            if frame.command == Command.LOGIN:
                await self.door.admission.terminal(frame.vin, self.tenant)  # before anything is opened for a stranger
                await self._said(frame, Login)
            await self.door.log_in(self, frame)
            self.door.places.leave(self)
        except Refused as refused:
            self._do(self.session.refused(refused.code, refused.cause))
        else:
            self._do(self.session.admitted())

    async def _admit_platform(self, frame: Frame) -> None:
        admission = self.door.admission
        try:
            with admission.trying(self.address):
                message = await self._said(frame, PlatformLogin)
                found = await admission.platform(message.user, message.password)
        except Refused as refused:
            self._do(self.session.refused(refused.code, refused.cause))
        else:
            self.tenant = found.tenant
            self.door.places.leave(self)
            self._do(self.session.admitted(found.name))

    async def _said(self, frame: Frame, kind: type[T]) -> T:
        """Return what a login says; raise Refused."""
        try:
            message = await self.door.taking.login(frame)
        except TryLaterError:
            raise Refused(AnswerCode.ERROR, "login_storm") from None
        if not isinstance(message, kind):
            raise Refused(code_of(cause_of(message), frame.edition), cause_of(message))
        return message

    async def check_certificate(self, terminal: Terminal) -> None:
        """Refuse a car that comes with another's certificate; a platform's connection carries many."""
        if self._certificate is None or self.session.platform is not None:
            return
        try:
            vehicle = (await asyncio.to_thread(self.door.gate.admit, self._certificate)).vehicle
        except CarcloudError:
            vehicle = ""
        if vehicle != terminal.vehicle.id:
            raise Refused(AnswerCode.ERROR, "wrong_certificate")

    def _take(self, frame: Frame) -> None:
        if frame.command == Command.TIME_SYNC:
            self.send(answer(frame, AnswerCode.OK, write_time(datetime.now(UTC))))
            return
        car = self.cars.get(frame.vin)
        if car is None:
            return
        car.last_at, car.edition = time.time(), frame.edition
        car.frames += 1
        car.heard = self.session.last
        if is_dear(frame, car.key):
            self._held = True
            self.door.start(self._take_dear(car, frame))
        elif (cause := self.door.taking.report(car, frame, self.send)) is not None:
            self._wrong(car, frame, cause)

    async def _take_dear(self, car: Car, frame: Frame) -> None:
        """Take what is dear to check; what the connection says behind it waits."""
        try:
            cause = await self.door.taking.dear(car, frame, self.send)
            if cause is not None and not car.gone:
                self._wrong(car, frame, cause)
        except TryLaterError:
            car.count("no_room")
        finally:
            self._held = False
            self._do([])

    def _wrong(self, car: Car, frame: Frame, cause: str) -> None:
        car.faults[cause] += 1
        self._acts.extendleft(reversed(self.session.wrong(frame, cause)))
        self._do([])

    def _heard(self, frame: Frame) -> None:
        car = self.cars.get(frame.vin)
        waiting = car.asked.get(frame.command) if car is not None else None
        if waiting is not None and not waiting.done():
            waiting.set_result(frame)
        else:
            self.session.faults["not_asked"] += 1

    def drop(self, car: Car) -> None:
        """End one car's session on this connection."""
        car.gone = True
        self.cars.pop(car.vin, None)
        self.session.cars.discard(car.vin)
        if self.door.cars.get(car.vehicle, (None,))[0] is self:
            del self.door.cars[car.vehicle]
        for waiting in car.asked.values():
            waiting.cancel()
        self.door.delivery.leave(car.lane)

    def _leave_all(self) -> None:
        for car in list(self.cars.values()):
            self.drop(car)

    # downwards

    async def ask(self, car: Car, frame: Frame, timeout_s: float) -> Frame | None:
        """Send a terminal a command, and return its answer; None where it gives none in time."""
        waiting: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        car.asked[frame.command] = waiting
        try:
            self.send(encode_frame(frame))
            await asyncio.wait({waiting}, timeout=timeout_s)
            return waiting.result() if waiting.done() and not waiting.cancelled() else None
        finally:
            car.asked.pop(frame.command, None)
