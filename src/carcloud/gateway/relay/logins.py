"""The cars of a relay as its platform knows them: who is logged in, who is asked for, and who is put aside.

Rules:
* Nobody waits for a car's answer: it is asked for, and what it is told of goes when the answer is there.
* A car that the platform refuses, or does not answer, is put aside, longer each time; those it does not know for half
  an hour. That outlasts a session. It holds up no other.

Source: GB/T 32960.3-2016, 6.3 and 6.4 (logins), as public implementations cite them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from carcloud.gateway.relay.link import ANSWER_S, Link
from carcloud.vehicle.gbt32960 import messages
from carcloud.vehicle.gbt32960.frames import AnswerCode
from carcloud.vehicle.gbt32960.patience import Patience

AT_ONCE_LOGINS = 256


class Logins:
    """Logs cars in and out. `serial`: the next one of a car. `clock`: as the back-off is counted."""

    def __init__(self, clock: Callable[[], datetime], serial: Callable[[str], Awaitable[int]]) -> None:
        self._clock, self._serial = clock, serial
        self._aside: dict[str, Patience] = {}
        self.begin()

    def begin(self) -> None:
        """Begin a session: nobody is logged in; who was put aside stays so."""
        self._in: dict[str, tuple[int, float]] = {}
        self._asked: dict[str, tuple[int, float, asyncio.Future[int]]] = {}

    @property
    def aside(self) -> set[str]:
        """Return the cars of which nothing can be told now: put aside, or not answered yet."""
        now = self._clock()
        return {car for car, patience in self._aside.items() if patience.waits_s(now)} | self._asked.keys()

    def forget_others(self, known: frozenset[str]) -> None:
        """Forget who was put aside and is told of no more."""
        self._aside = {car: patience for car, patience in self._aside.items() if car in known}

    async def is_in(self, link: Link, vehicle: str, vin: str) -> bool:
        """Tell whether a car is logged in; ask for it where it is not, has not been asked for, and may be."""
        now = asyncio.get_running_loop().time()
        if vehicle in self._in:
            self._in[vehicle] = self._in[vehicle][0], now
            return True
        patience = self._aside.get(vehicle)
        waits = vehicle in self._asked or (patience is not None and patience.waits_s(self._clock()))
        if not waits and len(self._asked) < AT_ONCE_LOGINS:
            serial = await self._serial(vehicle)
            answer = link.send(messages.Login(vin, self._clock().replace(microsecond=0), serial, ""))
            self._asked[vehicle] = serial, now, answer
        return False

    def heard(self) -> list[tuple[str, int | None]]:
        """Take in what was answered; return who is not let in, and the answer, None where there was none."""
        now, refused = asyncio.get_running_loop().time(), list[tuple[str, int | None]]()
        for vehicle, (serial, at, answer) in list(self._asked.items()):
            if not answer.done() and now - at < ANSWER_S:
                continue
            del self._asked[vehicle]
            if not answer.done():
                answer.cancel()
                code = None
            elif answer.exception() is None:
                code = answer.result()
            else:
                continue  # the line is cut
            if code == AnswerCode.OK:
                self._in[vehicle] = serial, now
            else:
                self.put_aside(vehicle, code)
                refused.append((vehicle, code))
        return refused

    def put_aside(self, vehicle: str, code: int | None) -> None:
        """Let a car wait, and have it logged in again then; `code`: what the platform answered, None: nothing."""
        self._in.pop(vehicle, None)
        patience = self._aside.setdefault(vehicle, Patience())
        patience.failed(self._clock(), soon=code != AnswerCode.UNKNOWN)

    def worked(self, vehicle: str) -> None:
        """Take in that the platform takes what it is told of a car."""
        self._aside.pop(vehicle, None)

    def silent(self, for_s: float) -> list[str]:
        """Return the cars that are logged in and of which nothing was told for so long."""
        since = asyncio.get_running_loop().time() - for_s
        return [vehicle for vehicle, (_, at) in self._in.items() if at < since]

    @property
    def all_in(self) -> list[str]:
        """Return the cars that are logged in."""
        return list(self._in)

    def log_out(self, link: Link, vehicle: str, vin: str | None) -> None:
        """Log a car out, by the serial of its login; nobody waits for the answer."""
        serial, _ = self._in.pop(vehicle)
        if vin is not None:
            link.send(messages.Logout(vin, self._clock().replace(microsecond=0), serial))
