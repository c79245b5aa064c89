"""Takes orders to cars: out of the outbox, signed by the order signer, until the car says what became of them.

Rules:
* It holds no key. It carries messages between the order signer and cars; what it changes on the way is refused there.
* An order is delivered when its car has proved, for it, that it is there; one that is offered to nobody stays queued.
* An order is offered when it is given, on every hello, and again with growing pauses until result or expiry. The car's
  journal makes that harmless.
* What a car was offered and has not answered goes before what it was ordered later in the same domain: an older order
  that came again after a newer one would undo it. What later orders about a plan replace is not offered any more.
* A session is opened where the signer needs one, and anew where the car says that the old one does not fit.
* A plan's document goes right before each message of an order to take it; what the car takes is what the order names. A
  plan that was withdrawn, or is over, is not delivered.
* An order whose time is over has ended: not delivered, or without a result. A result that comes later still counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.backends.records.orders import NO_RESULT, OPEN, Order, OrderState
from carcloud.errors import CarcloudError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.gateway.delivery import SUPERSEDED, about, plan_of, superseded, undeliverable
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.ledger import Finished
from carcloud.stream import subjects
from carcloud.vehicle.commands import COMMANDS, PLAN_TAKE, CarState, interlock
from carcloud.vehicle.order import Fault, OrderError, Refused, Result, SessionInfo, SessionRequest, SignedOrder, read

log = logging.getLogger(__name__)

ANSWER_S = 2.0
PAUSES_S = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
LATE_S = 5.0
LOOK_EVERY_S = 1.0
TRIES = 3
JUST_GIVEN = timedelta(seconds=2)
ACTOR = "process:orders"

Look = Callable[[str], Awaitable[CarState]]
"""Returns what the cloud knows of a car's state now; unknown where it has not heard of late."""


class Courier:
    """Carries the orders of one zone. Run `run()`."""

    def __init__(self, vehicles: Bus, cloud: Bus, records: Records, signer: OrderSignerClient, look: Look) -> None:
        self._vehicles, self._cloud, self._records = vehicles, cloud, records
        self._signer, self._look = signer, look
        self._rounds: dict[str, asyncio.Task[None]] = {}
        self._wakes: dict[str, asyncio.Event] = {}
        self._answers: dict[tuple[str, bytes], asyncio.Future[bytes]] = {}
        self.counts = {"sessions": 0, "ended": 0, "refused_messages": 0}

    def metrics(self) -> dict[str, Any]:
        """Return counters for the zone's status."""
        return {"orders": self.counts | {"cars_waiting": len(self._rounds)}}

    async def run(self) -> None:
        """Carry until cancelled."""
        await self._vehicles.listen(subjects.order_results("*", "*"), self._hear)
        await self._vehicles.listen(subjects.hellos("*", "*"), self._greeted)
        await self._cloud.listen(subjects.ORDERED, self._given)
        for vehicle in await asyncio.to_thread(self._records.orders.waiting):
            self._wake(vehicle)
        while True:
            with contextlib.suppress(TryLaterError):
                await self._expire()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _given(self, _: str, data: bytes) -> None:
        for vehicle in data.decode().split(","):
            self._wake(vehicle)

    async def _greeted(self, subject: str, _: bytes) -> None:
        vehicle = subject.split(".")[3]
        waiting = await asyncio.to_thread(self._records.orders.open, vehicle)
        if waiting or vehicle in self._rounds:
            self._wake(vehicle)

    def _wake(self, vehicle: str) -> None:
        self._wakes.setdefault(vehicle, asyncio.Event()).set()
        if vehicle not in self._rounds:
            self._rounds[vehicle] = asyncio.create_task(self._round(vehicle))

    async def _round(self, vehicle: str) -> None:
        """Offer a car its orders until none is open."""
        attempt = 0
        try:
            while True:
                self._wakes[vehicle].clear()
                try:
                    waiting = await self._waiting(vehicle)
                    silent: set[int] = set()
                    for order in waiting:
                        domain = COMMANDS[order.command].domain
                        if domain not in silent and await self._offer(order):
                            silent.add(domain)
                    if not waiting and not self._wakes[vehicle].is_set():
                        return
                    left = await asyncio.to_thread(self._records.orders.open, vehicle)
                except CarcloudError as error:
                    log.warning("an order was not offered", extra={"vehicle": vehicle, "reason": str(error)})
                    left = [None]  # type: ignore[list-item]
                if not left:
                    attempt = 0
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSES_S[min(attempt, len(PAUSES_S) - 1)]):
                        await self._wakes[vehicle].wait()
                        attempt = -1  # it said hello, or has a new order: begin with short pauses
                attempt += 1
        finally:
            self._rounds.pop(vehicle, None)
            self._wakes.pop(vehicle, None)

    async def _waiting(self, vehicle: str) -> list[Order]:
        """Return what a car still has to be told, the oldest first; end what later orders replace.

        The car's word of what it was given, and may have done, still counts.
        """
        waiting = await asyncio.to_thread(self._records.orders.open, vehicle)
        digests = sorted({digest for digest in map(about, waiting) if digest is not None})
        if not digests:
            return waiting
        plans = await asyncio.to_thread(self._records.plans.of, waiting[0].tenant, digests)
        over = superseded(waiting, plans, datetime.now(UTC))
        for order in over:
            if order.state == "queued":
                await self._advance(order.id, "rejected", SUPERSEDED)
            else:
                await self._advance(order.id, "expired", NO_RESULT)
        return [order for order in waiting if order not in over]

    async def _offer(self, order: Order) -> bool:
        """Have an order signed and give it to its car, if it is active; what the car says comes by `_hear`.

        Return whether the car was asked, and has not answered.
        """
        if not await asyncio.to_thread(self._records.tenants.stands, order.tenant):
            return False
        if datetime.now(UTC) - order.queued_at > JUST_GIVEN:  # else whoever queued it has just looked
            vehicle = await asyncio.to_thread(self._records.vehicle, order.vehicle)
            if vehicle.state != "active":  # in quarantine it could do, but not say so
                return False
            if order.state == "queued" and (reason := await self._forbids(order)) is not None:
                await self._advance(order.id, "rejected", reason)
                return False
        if not await self._is_open(order):
            return False  # it ended while others were offered: its car changed hands
        document = None
        if order.command == PLAN_TAKE:
            found = await asyncio.to_thread(plan_of, self._records, order.tenant, orjson.loads(order.parameters))
            if (reason := undeliverable(found, datetime.now(UTC))) is not None or found is None:
                if order.state == "queued":  # else the car may have taken it: its word counts when it comes
                    await self._advance(order.id, "rejected", reason)
                return False
            document = found.document
        given = await asyncio.to_thread(self._records.orders.given, order.authorisation)
        text, signatures = given.text.decode(), orjson.loads(given.signatures)
        signer = self._signer.of(order.tenant)
        for _ in range(TRIES):
            try:
                made = await asyncio.to_thread(signer.sign, order.vehicle, text, signatures)
            except (InputError, NotAllowedError) as error:
                if datetime.now(UTC) < order.expires_at:  # else its time is over, which is not a refusal
                    log.warning("the order signer refuses", extra={"order": order.id, "reason": str(error)})
                    await self._advance(order.id, "rejected", "not_authorised")
                return False
            if isinstance(made, Finished):
                await self._advance(order.id, made.state, made.reason)  # type: ignore[arg-type]
                return False
            if made is None:
                if not await self._handshake(order):
                    return True
            elif await self._give(order, made, document):
                break
        return await self._is_open(order)

    async def _is_open(self, order: Order) -> bool:
        return (await asyncio.to_thread(self._records.orders.order, order.id)).state in OPEN

    async def _forbids(self, order: Order) -> str | None:
        state = await self._look(order.vehicle)
        return interlock(order.command, orjson.loads(order.parameters), state)

    async def _handshake(self, order: Order) -> bool:
        """Open a session with the order's domain of the car; False where the car does not answer."""
        domain = int(COMMANDS[order.command].domain)
        signer = self._signer.of(order.tenant)
        asked = await asyncio.to_thread(signer.begin, order.vehicle, domain, order.role)
        answer = await self._exchange(order, SessionRequest.decode(asked).challenge, asked)
        if answer is None:
            return False
        try:
            await asyncio.to_thread(signer.open, order.vehicle, answer)
        except NotAllowedError as error:
            log.warning("a car gave no session", extra={"vehicle": order.vehicle, "reason": str(error)})
            return False
        self.counts["sessions"] += 1
        await self._advance(order.id, "delivered", None)
        return True

    async def _give(self, order: Order, message: bytes, document: bytes | None) -> bool:
        """Give a signed order, and before it what it names; False where the car could not take it as it was signed."""
        signed = SignedOrder.decode(message)
        if document is not None:
            await self._vehicles.publish(subjects.plan(order.tenant, order.vehicle), document)
        answer = await self._exchange(order, signed.order, message)
        if answer is None:
            return True
        refused = read(answer)
        if not isinstance(refused, Refused):
            return True
        log.info("a car could not take an order", extra={"order": order.id, "fault": Fault(refused.fault).name})
        if refused.fault == Fault.COUNTER:
            return True  # it has heard this very message before
        if refused.fault == Fault.DOCUMENT:
            return False  # the document was lost on the way: once more, in the same session
        await asyncio.to_thread(self._signer.of(order.tenant).forget, order.vehicle, signed.domain, signed.role)
        return False

    async def _exchange(self, order: Order, named: bytes, message: bytes) -> bytes | None:
        """Send a message to a car; return what it answers, None where it says nothing in time."""
        found: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[order.vehicle, named] = found
        try:
            await self._vehicles.publish(subjects.order(order.tenant, order.vehicle), message)
            async with asyncio.timeout(ANSWER_S):
                return await found
        except TimeoutError:
            return None
        finally:
            if self._answers.get((order.vehicle, named)) is found:
                del self._answers[order.vehicle, named]

    async def _hear(self, subject: str, data: bytes) -> None:
        tenant, vehicle = subject.split(".")[2:4]
        try:
            message = read(data)
        except OrderError:
            self.counts["refused_messages"] += 1
            return
        if isinstance(message, SessionInfo | Refused):
            self._answered(vehicle, message.challenge, data)
        elif isinstance(message, Result):
            try:
                said = await asyncio.to_thread(self._signer.of(tenant).result, vehicle, data)
            except MissingError:
                self._wake(vehicle)  # the order signer restarted: a new session, and the order once more
                return
            except (NotAllowedError, TryLaterError):
                self.counts["refused_messages"] += 1
                return
            await self._advance(said.order, said.state, said.reason, f"vehicle:{vehicle}")  # type: ignore[arg-type]
            if said.state != "accepted":
                self._answered(vehicle, message.order, data)

    def _answered(self, vehicle: str, named: bytes, data: bytes) -> None:
        waiting = self._answers.get((vehicle, named))
        if waiting is not None and not waiting.done():
            waiting.set_result(data)

    async def _advance(self, order: str, state: OrderState, reason: str | None, actor: str = ACTOR) -> bool:
        """Move an order on, and tell whoever watches."""
        at = datetime.now(UTC)
        moved = await asyncio.to_thread(self._records.orders.advance, order, state, reason, at, actor)
        if moved is None:
            return False
        self.counts["ended"] += moved.ended_at is not None
        told = {"id": moved.id, "vehicle": moved.vehicle, "state": moved.state, "reason": moved.reason}
        with contextlib.suppress(TryLaterError):
            await self._cloud.publish(subjects.ORDER_CHANGED, orjson.dumps(told | {"tenant": moved.tenant}))
        return True

    async def _expire(self) -> None:
        late = datetime.now(UTC) - timedelta(seconds=LATE_S)
        for order in await asyncio.to_thread(self._records.orders.overdue, late):
            reason = "not_delivered" if order.state == "queued" else NO_RESULT
            await self._advance(order.id, "expired", reason)
