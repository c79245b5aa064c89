"""One relay: a session with an authority's platform, again and again, and what waits in the spool told in it.

Rules:
* First the platform's own login, then each car's, then its reports: those that came since the session began as live
  ones, what lay here as stored ones, in between. A car that was silent for a while is logged out.
* A report leaves the spool when it was answered, and not before: a session that ends has lost nothing. One that is
  not answered for a while is told again.
* What is refused three times is given up and counted. A car that the platform does not know waits half an hour.
* Sessions and their ends, and what is refused, are noted for the audit log; of reports a sum a day.

Source: GB/T 32960.3-2016 and -2025, 6.3 and 7; docs/gbt32960.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carcloud.backends.records import Entry, Records
from carcloud.errors import CarcloudError, InputError, NotAllowedError
from carcloud.gateway.relay.cars import Cars
from carcloud.gateway.relay.link import CutError, Link, open_link
from carcloud.gateway.relay.spool import Report, Spool
from carcloud.gateway.relay.turns import Turns
from carcloud.safety.flows.flow import Flow, Flows
from carcloud.safety.keys import read_key
from carcloud.vehicle.gbt32960 import messages
from carcloud.vehicle.gbt32960.composing import units_of
from carcloud.vehicle.gbt32960.forms import PASSWORD_BYTES
from carcloud.vehicle.gbt32960.frames import AnswerCode, Edition
from carcloud.vehicle.gbt32960.patience import LATER, SOON, Patience

log = logging.getLogger(__name__)

LOOK_S = 0.2
SETTLE_S = 2.0
"""So long a report waits for the rest of its second, which another chunk may bring."""
AT_ONCE, AT_ONCE_A_CAR = 256, 16
TRIES = 3
AGAIN_S = 15.0
"""A report that is not answered for so long is told again, as a stored one."""
HEARTBEAT_S = 30.0
SILENT_S = 600.0
EXPIRE_S = 60.0
SERIALS = 65_531
DENIED = (AnswerCode.DUPLICATE, AnswerCode.UNKNOWN)
DAY_S = 86_400


class RefusedError(NotAllowedError):
    """The platform refuses."""


class Relay:
    """Tells one platform. `clock`: the time, as the back-off and the seven days are counted."""

    def __init__(
        self,
        flow: Flow,
        flows: Flows,
        cars: Cars,
        turns: Turns,
        records: Records,
        tenant: str,
        clock: Callable[[], datetime],
    ) -> None:
        assert flow.platform is not None
        self.flow, self._flows, self.platform, self.cars = flow, flows, flow.platform, cars
        self._turns, self._records, self._tenant, self._clock = turns, records, tenant, clock
        self._edition = Edition.E2016 if self.platform.edition == 2016 else Edition.E2025
        self._patience = Patience()
        self._state, self._since, self._error = "waiting", clock(), ""
        self._expired_at = 0.0
        self._forget_session()

    def _forget_session(self) -> None:
        self._in: dict[str, tuple[int, float]] = {}
        self._on_way: dict[int, tuple[Report, float]] = {}
        self._of_car = Counter[str]()
        self._given_back = 0
        self._answers: list[tuple[Report, int]] = []
        self._aside: dict[str, datetime] = {}
        self._noted: set[str] = set()

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            try:
                await self._keep()
                if self._flows.ended(self.flow, self._clock()):
                    self._become("ended")
                elif not self._patience.waits_s(self._clock()):
                    await self._session()
            except CarcloudError as error:
                self._failed(error)
            await asyncio.sleep(LOOK_S)

    # what is kept

    async def _keep(self) -> None:
        """Drop what is too old, and what is of cars that are told of no more; note yesterday's sum."""
        now = self._clock()
        if abs(now.timestamp() - self._expired_at) < EXPIRE_S:
            return
        self._expired_at = now.timestamp()
        await self._turns(lambda spool: spool.expire(self.flow.name, now.timestamp()))
        await self.forget_others()
        day = int(now.timestamp()) // DAY_S
        sums = await self._turns(lambda spool: spool.sums(self.flow.name, day))
        if sums is not None:
            if any(sums.values()):
                await self._note("sumRelay", "done", dict(sums))
            await self._turns(lambda spool: spool.summed(self.flow.name, day))

    async def forget_others(self) -> None:
        """Drop what waits of cars that are told of no more: erased, or without consent."""

        def forget(spool: Spool) -> None:
            for vehicle in spool.vehicles(self.flow.name) - self.cars.known:
                spool.forget(vehicle, self.flow.name)

        await self._turns(forget)

    # a session

    async def _session(self) -> None:
        """Log in, tell what waits and what comes, until the line is cut. Raises why it ended."""
        self._become("connecting")
        link = await open_link(self.platform)
        self._forget_session()
        try:
            await self._log_in(link)
            try:
                await self._tell(link)
            except CarcloudError as error:
                await self._note("endRelay", "done", {"because": error.message})
                raise
            except asyncio.CancelledError:
                with contextlib.suppress(CarcloudError, TimeoutError):
                    async with asyncio.timeout(2.0):
                        await self._log_out(link)
                raise
        finally:
            await link.close()
            await self._settle()

    async def _log_in(self, link: Link) -> None:
        login = messages.PlatformLogin(
            self.platform.code, self._now(), await self._serial(""), self.platform.user, self._password()
        )
        code = await link.ask(login)
        if code != AnswerCode.OK:
            if not self._patience.failures:
                await self._note("beginRelay", "denied", {"answer": code})
            raise RefusedError(f"The platform refuses the login (answer {code:#04x}).", "Check user and password.")
        await self._turns(lambda spool: spool.cut(self.flow.name))
        self._patience.worked()
        self._error = ""
        self._become("up")
        await self._note("beginRelay", "done", {"edition": self.platform.edition})

    async def _tell(self, link: Link) -> None:
        heard = asked = asyncio.get_running_loop().time()
        while True:
            if link.is_cut:
                raise CutError("The platform closed the line.")
            if self._flows.ended(self.flow, self._clock()):
                await self._log_out(link)
                raise CutError("The relay's last day is over.")
            await self._keep()
            self._give_back_unanswered()
            sent, answered = await self._send(link), await self._settle()
            now = asyncio.get_running_loop().time()
            self._given_back = 0 if answered else self._given_back
            heard = now if answered or not (self._on_way or self._given_back) else heard
            if now - heard > 2 * HEARTBEAT_S:
                raise CutError("The platform does not answer any more.")
            if sent or answered:
                asked = now
            elif now - asked > HEARTBEAT_S:
                asked = now
                await link.ask(messages.Heartbeat(self.platform.code))
            if not sent:
                await self._log_out_silent(link)
                await asyncio.sleep(LOOK_S / 4 if self._on_way else LOOK_S)

    async def _send(self, link: Link) -> int:
        """Send what is due, as far as there is room for it on the way; return how many."""
        room = AT_ONCE - len(self._on_way) - len(self._answers)
        if room <= 0:
            return 0
        now = self._clock()
        self._aside = {car: until for car, until in self._aside.items() if until > now}
        busy = {car for car, number in self._of_car.items() if number >= AT_ONCE_A_CAR}
        skip, apart = [*self._on_way, *(one.id for one, _ in self._answers)], {*self._aside, *busy}
        settled = now.timestamp() - SETTLE_S
        due = await self._turns(lambda spool: spool.due(self.flow.name, settled, room, skip, apart))
        ready, of_car = list[Report](), Counter(self._of_car)
        for report in due:
            if of_car[report.vehicle] < AT_ONCE_A_CAR and await self._is_in(link, report.vehicle):
                of_car[report.vehicle] += 1
                ready.append(report)
        if not ready:
            return 0
        ids = [report.id for report in ready]
        await self._turns(lambda spool: spool.tried(ids))
        sent = [report for report in ready if self._put(link, report)]
        await link.drain()
        await self._turns(lambda spool: spool.count(self.flow.name, "sent", len(sent)))
        return len(sent)

    def _put(self, link: Link, report: Report) -> bool:
        vin = self.cars.vin(report.vehicle)
        if vin is None:
            return False
        at, units = datetime.fromtimestamp(report.second, UTC), units_of(report.values, self._edition)
        try:
            if not units:
                raise InputError("Nothing of it has a place in a report.")
            answer = link.send(messages.Report(vin, at, units, resent=not report.fresh))
        except InputError:
            self._answers.append((report, 0))
            return False
        self._on_way[report.id] = report, asyncio.get_running_loop().time()
        self._of_car[report.vehicle] += 1
        answer.add_done_callback(lambda done: self._answered(report, done))
        return True

    def _give_back_unanswered(self) -> None:
        """Have what is not answered for a while told again."""
        late = asyncio.get_running_loop().time() - AGAIN_S
        for report, at in list(self._on_way.values()):
            if at < late:
                del self._on_way[report.id]
                self._of_car[report.vehicle] -= 1
                self._given_back += 1

    def _answered(self, report: Report, done: asyncio.Future[int]) -> None:
        if self._on_way.pop(report.id, None) is None:
            return
        self._of_car[report.vehicle] -= 1
        if not done.cancelled() and done.exception() is None:
            self._answers.append((report, done.result()))

    async def _settle(self) -> int:
        """Take answered reports out of the spool; return how many answers there were."""
        answers, self._answers = self._answers, []
        if not answers:
            return 0
        name = self.flow.name
        accepted = [report.id for report, code in answers if code == AnswerCode.OK]
        unsayable = [report.id for report, code in answers if code == 0]
        refused = [(report, code) for report, code in answers if code not in (0, AnswerCode.OK)]
        lost = [report.id for report, code in refused if code not in DENIED and report.tries + 1 >= TRIES]

        def settle(spool: Spool) -> None:
            spool.done(name, accepted)
            spool.done(name, unsayable, "dropped")
            spool.done(name, lost, "refused")
            for report, code in refused:
                if code not in DENIED and report.id not in lost:
                    spool.refused(report.id)

        await self._turns(settle)
        for report, code in refused:
            self._error = f"The platform refuses reports (answer {code:#04x})."
            if code in DENIED:
                self._in.pop(report.vehicle, None)
                self._put_aside(report.vehicle, code)
        return len(answers)

    # the cars

    async def _is_in(self, link: Link, vehicle: str) -> bool:
        """Tell whether a car is logged in, and log it in where it is not; where it is refused, it waits."""
        now = asyncio.get_running_loop().time()
        if vehicle in self._in:
            self._in[vehicle] = self._in[vehicle][0], now
            return True
        vin = self.cars.vin(vehicle)
        if vin is None or vehicle in self._aside:
            return False
        serial = await self._serial(vehicle)
        code = await link.ask(messages.Login(vin, self._now(), serial, ""))
        if code == AnswerCode.OK:
            self._in[vehicle] = serial, now
            return True
        self._put_aside(vehicle, code)
        self._error = f"The platform refuses the login of car {vehicle} (answer {code:#04x})."
        if vehicle not in self._noted:
            self._noted.add(vehicle)
            await self._note("refuseRelay", "denied", {"vehicle": vehicle, "answer": code})
        return False

    def _put_aside(self, vehicle: str, code: int) -> None:
        self._aside[vehicle] = self._clock() + (LATER if code == AnswerCode.UNKNOWN else SOON)

    async def _log_out_silent(self, link: Link) -> None:
        silent_since = asyncio.get_running_loop().time() - SILENT_S
        for vehicle, (serial, at) in list(self._in.items()):
            if at < silent_since and not self._of_car[vehicle]:
                await self._log_out_car(link, vehicle, serial)

    async def _log_out_car(self, link: Link, vehicle: str, serial: int) -> None:
        del self._in[vehicle]
        if (vin := self.cars.vin(vehicle)) is not None:
            await link.ask(messages.Logout(vin, self._now(), serial))

    async def _log_out(self, link: Link) -> None:
        for vehicle, (serial, _) in list(self._in.items()):
            await self._log_out_car(link, vehicle, serial)
        await link.ask(messages.PlatformLogout(self.platform.code, self._now(), await self._serial("")))

    # what it says of itself

    async def shown(self) -> dict[str, Any]:
        """Return the relay as it is shown to people: no VIN, no password."""

        def ask(spool: Spool) -> tuple[dict[str, int], tuple[int, int | None, int]]:
            return spool.counts(self.flow.name), spool.waiting(self.flow.name)

        counts, (waiting, oldest, _) = await self._turns(ask)
        next_try = self._patience.next_try
        return {
            "name": self.flow.name,
            "to": self.flow.to,
            "edition": self.platform.edition,
            "state": self._state,
            "since": _text(self._since),
            "cars": len(self.cars.allowed),
            "left_out": dict(self.cars.left_out) | ({"stopped": len(self.cars.stopped)} if self.cars.stopped else {}),
            **counts,
            "waiting": waiting,
            "oldest_waiting": None if oldest is None else _text(datetime.fromtimestamp(oldest, UTC)),
            "next_try": None if next_try is None or self._state == "up" else _text(next_try),
            "last_error": self._error or None,
        }

    @property
    def alarms(self) -> list[dict[str, str]]:
        """Return an alarm where the platform was not reached for longer than a first few tries."""
        if self._state != "waiting" or self._patience.failures <= 1:
            return []
        message = f"Relay {self.flow.name}: {self._error}"
        do = "What cars report waits for seven days. Check the address, the line and the login."
        return [{"code": "relay_away", "message": message, "do": do, "since": _text(self._since)}]

    def _failed(self, error: CarcloudError) -> None:
        self._patience.failed(self._clock())
        self._error = error.message
        self._become("waiting")
        log.warning("a relay has no session", extra={"relay": self.flow.name, "reason": error.message})

    def _become(self, state: str) -> None:
        if state == "connecting" and self._state == "waiting" and self._patience.failures:
            return  # a try among others
        if state != self._state:
            self._state, self._since = state, self._clock()

    def _password(self) -> str:
        try:
            password = read_key(Path(self.platform.password_file)).decode("ascii", "replace").strip()
        except OSError as error:
            raise InputError(f"The password file cannot be read: {error.strerror}.", "Write it anew.") from None
        if not 0 < len(password) <= PASSWORD_BYTES:
            raise InputError("The password file holds no password.", f"It has 1 to {PASSWORD_BYTES} signs.")
        return password

    async def _serial(self, vehicle: str) -> int:
        day = int(self._clock().timestamp()) // DAY_S
        return await self._turns(lambda spool: spool.serial(f"{self.flow.name} {vehicle}", day, SERIALS))

    def _now(self) -> datetime:
        return self._clock().replace(microsecond=0)

    async def _note(self, action: str, outcome: Any, facts: dict[str, Any]) -> None:
        entry = Entry(
            "process:relay",
            action,
            f"relay:{self.flow.name}",
            outcome,
            {"to": self.flow.to} | facts,
            tenant=self._tenant,
        )
        await asyncio.to_thread(self._records.audit.add, entry)


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
