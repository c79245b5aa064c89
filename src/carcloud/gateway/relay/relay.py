"""One relay: a session with an authority's platform, again and again, and what waits in the spool told in it.

Rules:
* First the platform's own login, then each car's, then its reports: those that came since the session began as live
  ones, what lay here as stored ones, in between. A car that was silent for a while is logged out.
* A report leaves the spool when it was answered, and not before: a session that ends has lost nothing. One that is
  not answered for a while is told again; until then its car waits, and no other.
* What is refused three times is given up and counted; so is what cannot be said. A fault of ours
  ends a session at most.
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
from carcloud.gateway.relay.logins import Logins
from carcloud.gateway.relay.spool import Report, Spool
from carcloud.gateway.relay.standing import FaultError, Standing
from carcloud.gateway.relay.turns import Turns
from carcloud.safety.flows.flow import Flow, Flows
from carcloud.safety.keys import read_key
from carcloud.vehicle.gbt32960 import messages
from carcloud.vehicle.gbt32960.composing import units_of
from carcloud.vehicle.gbt32960.forms import PASSWORD_BYTES
from carcloud.vehicle.gbt32960.frames import AnswerCode, Edition
from carcloud.vehicle.gbt32960.times import AHEAD

log = logging.getLogger(__name__)

LOOK_S = 0.2
SETTLE_S = 2.0
"""So long a report waits for the rest of its second, which another chunk may bring."""
AT_ONCE, AT_ONCE_A_CAR = 256, 16
TRIES = 3
AGAIN_S = 15.0
"""A report that is not answered for so long is told again, as a stored one, when its car has waited."""
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
        self._standing, self._logins = Standing(flow, clock), Logins(clock, self._serial)
        self._expired_at = 0.0
        self._forget_session()

    def _forget_session(self) -> None:
        self._logins.begin()
        self._on_way: dict[int, tuple[Report, float, asyncio.Future[int]]] = {}
        self._of_car = Counter[str]()
        self._given_back = 0
        self._answers: list[tuple[Report, int]] = []
        self._noted: set[str] = set()
        self._platform_serial = 0

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            try:
                await self._keep()
                if self._flows.ended(self.flow, self._clock()):
                    self._standing.become("ended")
                elif not self._standing.patience.waits_s(self._clock()):
                    await self._session()
            except CarcloudError as error:
                self._standing.failed(error)
            except Exception as error:  # noqa: BLE001 (whatever it is, the relay goes on)
                self._standing.failed(FaultError(error))
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

        self._logins.forget_others(self.cars.known)
        await self._turns(forget)

    # a session

    async def _session(self) -> None:
        """Log in, tell what waits and what comes, until the line is cut. Raises why it ended."""
        self._standing.become("connecting")
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
        self._platform_serial = serial = await self._serial("")
        login = messages.PlatformLogin(self.platform.code, self._now(), serial, self.platform.user, self._password())
        code = await link.ask(login)
        if code != AnswerCode.OK:
            if not self._standing.patience.failures:
                await self._note("beginRelay", "denied", {"answer": code})
            raise RefusedError(f"The platform refuses the login (answer {code:#04x}).", "Check user and password.")
        await self._turns(lambda spool: spool.cut(self.flow.name))
        self._standing.error = ""
        await self._note("beginRelay", "done", {"edition": self.platform.edition})
        self._standing.become("up")

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
            await self._hear_logins()
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
                heard, self._given_back = now, 0
                self._standing.patience.worked()
            if not sent:
                self._log_out_silent(link)
                await asyncio.sleep(LOOK_S / 4 if self._on_way else LOOK_S)

    async def _send(self, link: Link) -> int:
        """Send what is due, as far as there is room for it on the way; return how many."""
        room = AT_ONCE - len(self._on_way) - len(self._answers)
        if room <= 0:
            return 0
        busy = {car for car, number in self._of_car.items() if number >= AT_ONCE_A_CAR}
        skip, apart = [*self._on_way, *(one.id for one, _ in self._answers)], self._logins.aside | busy
        settled = self._clock().timestamp() - SETTLE_S
        due = await self._turns(lambda spool: spool.due(self.flow.name, settled, room, skip, apart))
        ready, of_car = list[Report](), Counter(self._of_car)
        for report in due:
            vin = self.cars.vin(report.vehicle)
            if vin is None or of_car[report.vehicle] >= AT_ONCE_A_CAR:
                continue
            if await self._logins.is_in(link, report.vehicle, vin):
                of_car[report.vehicle] += 1
                ready.append(report)
        if not ready:
            return 0
        ids = [report.id for report in ready]
        await self._turns(lambda spool: spool.tried(ids))
        fields = list[int]()
        sent = [report for report in ready if self._put(link, report, fields)]
        await link.drain()

        def count(spool: Spool) -> None:
            spool.count(self.flow.name, "sent", len(sent))
            spool.count(self.flow.name, "unsaid", sum(fields))

        await self._turns(count)
        return len(sent)

    def _put(self, link: Link, report: Report, fields: list[int]) -> bool:
        """Send a report; `fields` gets how many of its signals cannot be said. One of which none can is done."""
        vin = self.cars.vin(report.vehicle)
        if vin is None:
            return False
        unsaid = set[str]()
        try:
            at, units = datetime.fromtimestamp(report.second, UTC), units_of(report.values, self._edition, unsaid)
            if not units:
                raise InputError("Nothing of it has a place in a report.")
            answer = link.send(messages.Report(vin, at, units, resent=not report.fresh))
        except Exception as error:  # noqa: BLE001 (one report ends nothing)
            if not isinstance(error, InputError):
                reason = FaultError(error).message
                log.error("a report cannot be said", extra={"relay": self.flow.name, "reason": reason})
            self._answers.append((report, 0))
            return False
        finally:
            fields.append(len(unsaid))
        self._on_way[report.id] = report, asyncio.get_running_loop().time(), answer
        self._of_car[report.vehicle] += 1
        answer.add_done_callback(lambda done: self._answered(report, done))
        return True

    def _give_back_unanswered(self) -> None:
        """Have what is not answered for a while told again, when its car has waited."""
        late = asyncio.get_running_loop().time() - AGAIN_S
        unanswered = [(report, answer) for report, at, answer in self._on_way.values() if at < late]
        for report, answer in unanswered:
            del self._on_way[report.id]
            answer.cancel()
            self._of_car[report.vehicle] -= 1
            self._given_back += 1
        for vehicle in {report.vehicle for report, _ in unanswered}:
            self._logins.put_aside(vehicle, None)

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
        for _, code in refused:
            self._standing.error = f"The platform refuses reports (answer {code:#04x})."
        for vehicle, code in {report.vehicle: code for report, code in refused if code in DENIED}.items():
            self._logins.put_aside(vehicle, code)
        for vehicle in {report.vehicle for report, code in answers if code == AnswerCode.OK}:
            self._logins.worked(vehicle)
        if accepted:
            self._standing.patience.worked()
        return len(answers)

    # the cars

    async def _hear_logins(self) -> None:
        """Take in what the platform says to cars' logins; a refusal is noted once a session."""
        for vehicle, code in self._logins.heard():
            how = "does not answer" if code is None else f"refuses (answer {code:#04x})"
            self._standing.error = f"The platform {how} the login of car {vehicle}."
            if vehicle not in self._noted:
                self._noted.add(vehicle)
                await self._note("refuseRelay", "denied", {"vehicle": vehicle, "answer": code})

    def _log_out_silent(self, link: Link) -> None:
        for vehicle in self._logins.silent(SILENT_S):
            if not self._of_car[vehicle]:
                self._logins.log_out(link, vehicle, self.cars.vin(vehicle))

    async def _log_out(self, link: Link) -> None:
        for vehicle in self._logins.all_in:
            self._logins.log_out(link, vehicle, self.cars.vin(vehicle))
        await link.ask(messages.PlatformLogout(self.platform.code, self._now(), self._platform_serial))

    # what it says of itself

    async def shown(self) -> dict[str, Any]:
        """Return the relay as it is shown to people: no VIN, no password."""

        def ask(spool: Spool) -> tuple[dict[str, int], tuple[int, int | None, int]]:
            return spool.counts(self.flow.name), spool.waiting(self.flow.name)

        return {
            "name": self.flow.name,
            "to": self.flow.to,
            "edition": self.platform.edition,
            "cars": len(self.cars.allowed),
            "left_out": dict(self.cars.left_out) | ({"stopped": len(self.cars.stopped)} if self.cars.stopped else {}),
            **self._standing.shown(*await self._turns(ask)),
        }

    @property
    def alarms(self) -> list[dict[str, str]]:
        """Return the alarms that stand."""
        return self._standing.alarms

    def _password(self) -> str:
        try:
            password = read_key(Path(self.platform.password_file)).decode("ascii", "replace").strip()
        except OSError as error:
            raise InputError(f"The password file cannot be read: {error.strerror}.", "Write it anew.") from None
        if not 0 < len(password) <= PASSWORD_BYTES:
            raise InputError("The password file holds no password.", f"It has 1 to {PASSWORD_BYTES} signs.")
        return password

    async def _serial(self, vehicle: str) -> int:
        day = int((self._clock() + AHEAD).timestamp()) // DAY_S  # the wire's
        return await self._turns(lambda spool: spool.serial(self.flow.name, vehicle, day, SERIALS))

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
