"""Delivery: what terminals report becomes numbered batches, and is answered once it is durable.

Rules:
* A terminal has one batch on its way at a time; what it reports meanwhile goes together into the next.
* The numbers of a round of batches are on disk before one of them is sent; see `numbers.py`.
* A frame is answered when the governor has acknowledged its batch: judged, and flushed. One that is known to be durable
  is answered and goes no further; one that waits already waits once, and the newer connection is answered.
* A batch that is not acknowledged is asked after, then sent again, ever more seldom; it stays in memory until then.
* What waits is bounded. Beyond the bound a frame is not taken and not answered: the terminal sends it again.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import orjson

from carcloud.backends.nats import Bus
from carcloud.errors import TryLaterError
from carcloud.gateway.gbt32960.columns import Samples, batch_of, fits_beside
from carcloud.gateway.gbt32960.numbers import Numbered, Numbers
from carcloud.stream import subjects
from carcloud.vehicle.batch import BatchError, IdTable

log = logging.getLogger(__name__)

LIMIT_FRAMES = 64
"""Frames of a terminal that wait at once, and in one batch."""
LIMIT_ROWS = 1_000_000
"""Samples of all terminals that wait at once, about 50 bytes each."""
LIMIT_KNOWN = 128
"""Frames of a terminal that are known again when they are sent again, after a restart too: a hundred bytes each."""
GATHER_S = 0.02
ASK_AFTER_S, LONGEST_PAUSE_S = 3.0, 30.0
SETTLE_TRIES = 10

Done = Callable[[bool], None]
"""Told once what became of a frame: durable, or given up."""


@dataclass
class Waiting:
    """A frame that waits to be durable."""

    digest: bytes
    samples: Samples
    done: Done


@dataclass
class Lane:
    """One terminal's way into the stream."""

    vehicle: str
    tenant: str
    queue: int = 0
    numbered: int = 0
    known: dict[bytes, None] = field(default_factory=dict)
    waiting: dict[bytes, Waiting] = field(default_factory=dict)
    flying: dict[bytes, Waiting] = field(default_factory=dict)
    payload: bytes = b""
    rows: int = 0
    ask_at: float = 0.0
    tries: int = 0
    users: int = 0
    settled: asyncio.Future[int] | None = None

    @property
    def idle(self) -> bool:
        """Tell whether nothing waits."""
        return not self.waiting and not self.flying

    def remember(self, digest: bytes) -> None:
        """Know a durable frame."""
        self.known[digest] = None
        if len(self.known) > LIMIT_KNOWN:
            del self.known[next(iter(self.known))]


class Delivery:
    """Brings the frames of all terminals in. `vehicles`: the line to the broker on which cars' messages go."""

    def __init__(self, vehicles: Bus, numbers: Numbers, table: IdTable, clock: Callable[[], float] = time.monotonic):
        self._vehicles, self._numbers, self._table, self._clock = vehicles, numbers, table, clock
        self._hash, self._announced = table.hash, False
        self._lanes: dict[str, Lane] = {}
        self._ready: dict[str, Lane] = {}
        self._wake = asyncio.Event()
        self._writing = asyncio.Lock()
        self._rows = 0
        self.batches = self.repeated = 0
        self.refused: Counter[str] = Counter()

    @property
    def rows(self) -> int:
        """Return how many samples wait."""
        return self._rows

    async def open(self, vehicle: str, tenant: str) -> Lane:
        """Return a terminal's lane, its queue settled with the governor; raise TryLaterError where that is silent."""
        while (lane := self._lanes.get(vehicle)) is not None:
            if lane.settled is None:
                lane.users += 1
                return lane
            await asyncio.wait({lane.settled}, timeout=ASK_AFTER_S)
            await asyncio.sleep(GATHER_S)
        lane = self._lanes[vehicle] = Lane(vehicle, tenant, settled=asyncio.get_running_loop().create_future())
        try:
            await self._settle(lane)
        except BaseException:
            self._lanes.pop(vehicle, None)
            raise
        finally:
            if lane.settled is not None:
                lane.settled.cancel()
            lane.settled = None
        lane.users = 1
        return lane

    async def _settle(self, lane: Lane) -> None:
        """Find out what of a queue of before is durable, and go on with it or begin anew."""
        known, frames = await self._stored(lane.vehicle)
        if known is None:
            queue, numbered = secrets.randbits(64) or 1, 0  # written with its first number
        else:
            queue, numbered = known
            durable = await self._mark(lane, queue) if numbered else 0
            if durable != numbered:
                async with self._writing:
                    await asyncio.to_thread(self._numbers.begin_anew, lane.vehicle, durable)
                known, frames = await self._stored(lane.vehicle)
                queue, numbered = known or (0, 0)
        lane.queue, lane.numbered = queue, numbered
        for digest in frames:
            lane.remember(digest)

    async def _stored(self, vehicle: str) -> tuple[tuple[int, int] | None, list[bytes]]:
        def read() -> tuple[tuple[int, int] | None, list[bytes]]:
            return self._numbers.of(vehicle), self._numbers.frames(vehicle)

        async with self._writing:
            return await asyncio.to_thread(read)

    async def _mark(self, lane: Lane, queue: int) -> int:
        assert lane.settled is not None
        lane.queue = queue
        for _ in range(SETTLE_TRIES):
            await self._hello(lane)
            done, _ = await asyncio.wait({lane.settled}, timeout=ASK_AFTER_S)
            if done:
                return lane.settled.result()
        raise TryLaterError("The governor says nothing of a terminal's queue.", "Look at its log.")

    def take(self, lane: Lane, digest: bytes, samples: Samples, done: Done) -> bool:
        """Take a frame in; tell whether it was: else there is no room, and it shall be sent again.

        `done` is called at once where the frame is durable already or says nothing.
        """
        if not samples[1] or digest in lane.known:
            self.repeated += digest in lane.known
            done(True)
            return True
        same = lane.waiting.get(digest) or lane.flying.get(digest)
        if same is not None:
            same.done, self.repeated = done, self.repeated + 1
            return True
        rows = len(samples[1])
        if len(lane.waiting) >= LIMIT_FRAMES or self._rows + rows > LIMIT_ROWS:
            return False
        lane.waiting[digest] = Waiting(digest, samples, done)
        lane.rows += rows
        self._rows += rows
        if not lane.flying:
            self._ready[lane.vehicle] = lane
            self._wake.set()
        return True

    def close(self, vehicle: str) -> None:
        """Give up what waits of a vehicle, which may not speak any more."""
        lane = self._lanes.pop(vehicle, None)
        self._ready.pop(vehicle, None)
        if lane is not None:
            self._rows -= lane.rows
            for waiting in (*lane.flying.values(), *lane.waiting.values()):
                waiting.done(False)

    def leave(self, lane: Lane) -> None:
        """Use a lane no more; what waits in it goes on."""
        lane.users -= 1
        self._rest(lane)

    def _rest(self, lane: Lane) -> None:
        """Forget a lane that nobody uses; its numbers stay in the store."""
        if not lane.users and lane.idle and self._lanes.get(lane.vehicle) is lane:
            del self._lanes[lane.vehicle]

    async def forget(self, vehicle: str) -> None:
        """Drop all that is kept of a vehicle, which is erased."""
        self.close(vehicle)
        async with self._writing:
            await asyncio.to_thread(self._numbers.forget, vehicle)

    async def run(self) -> None:
        """Deliver until cancelled."""
        await self._vehicles.listen(subjects.ack("*", "*"), self._heard)
        await asyncio.gather(self._send_rounds(), self._ask_after())

    async def _send_rounds(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            lanes, self._ready = list(self._ready.values()), {}
            try:
                await self._send(lanes)
            except TryLaterError as error:
                log.warning("a round of batches was not sent", extra={"reason": str(error)})
                await asyncio.sleep(1.0)
                for lane in lanes:
                    if lane.waiting and not lane.flying and self._lanes.get(lane.vehicle) is lane:
                        self._ready[lane.vehicle] = lane
                self._wake.set()

    async def _send(self, lanes: list[Lane]) -> None:
        """Number a batch of each lane, and send them; a lane with one on its way comes again when that has landed."""
        made = [(lane, chosen) for lane in lanes if not lane.flying and (chosen := self._pack(lane))]
        if not made:
            return
        numbered = [
            Numbered(lane.vehicle, lane.queue, lane.numbered + 1, b"".join(one.digest for one in chosen))
            for lane, chosen in made
        ]
        async with self._writing:
            await asyncio.to_thread(self._numbers.give, numbered)
        due = self._clock() + ASK_AFTER_S
        for lane, chosen in made:
            lane.numbered += 1
            lane.ask_at, lane.tries = due, 0
            lane.flying = {one.digest: one for one in chosen}
            for one in chosen:
                lane.waiting.pop(one.digest, None)
        self.batches += len(made)
        for lane, _ in made:
            if not self._announced:
                await self._hello(lane, announce=True)
                self._announced = True
            if self._lanes.get(lane.vehicle) is lane:
                await self._vehicles.publish(subjects.raw(lane.tenant, lane.vehicle, "batch"), lane.payload)

    def _pack(self, lane: Lane) -> list[Waiting]:
        """Encode as many of a lane's waiting frames as fit one batch; what can never fit is given up."""
        while lane.waiting:
            first = next(iter(lane.waiting.values())).samples[0]
            chosen = [one for one in lane.waiting.values() if fits_beside(first, one.samples[0])]
            while chosen:
                try:
                    frames = [one.samples for one in chosen]
                    lane.payload = batch_of(self._hash, lane.queue, lane.numbered + 1, frames)
                except BatchError as error:
                    if len(chosen) > 1:
                        chosen = chosen[: len(chosen) // 2]
                        continue
                    self.refused[error.cause] += 1
                    self._drop(lane, chosen.pop())
                else:
                    return chosen
        return []

    def _drop(self, lane: Lane, one: Waiting) -> None:
        del lane.waiting[one.digest]
        lane.rows -= len(one.samples[1])
        self._rows -= len(one.samples[1])
        one.done(False)

    async def _heard(self, subject: str, data: bytes) -> None:
        """Take an acknowledgement."""
        lane = self._lanes.get(subject.split(".", 4)[3])
        if lane is None:
            return
        ack: dict[str, Any] = orjson.loads(data)
        self.refused.update(ack.get("refused", {}))
        if ack.get("queue") != f"{lane.queue:016x}":
            return
        if "want" in ack:
            await self._hello(lane, announce=True)
        elif lane.settled is not None and not lane.settled.done():
            lane.settled.set_result(int(ack["number"]))
        elif lane.flying and int(ack["number"]) >= lane.numbered:
            self._land(lane)

    def _land(self, lane: Lane) -> None:
        """Answer the frames of a lane's batch: they are durable."""
        flying, lane.flying, lane.payload = lane.flying, {}, b""
        for digest, one in flying.items():
            lane.remember(digest)
            lane.rows -= len(one.samples[1])
            self._rows -= len(one.samples[1])
            one.done(True)
        if lane.waiting:
            self._ready[lane.vehicle] = lane
            self._wake.set()
        self._rest(lane)

    async def _ask_after(self) -> None:
        while True:
            await asyncio.sleep(0.5)
            now = self._clock()
            late = [lane for lane in self._lanes.values() if lane.flying and lane.ask_at <= now]
            for lane in late:
                lane.tries += 1
                lane.ask_at = now + min(ASK_AFTER_S * 2 ** (lane.tries - 1), LONGEST_PAUSE_S)
                try:
                    if lane.tries == 1:
                        await self._hello(lane)
                    elif lane.payload:
                        await self._vehicles.publish(subjects.raw(lane.tenant, lane.vehicle, "batch"), lane.payload)
                except TryLaterError:
                    break

    async def _hello(self, lane: Lane, *, announce: bool = False) -> None:
        body: dict[str, Any] = {"event": "hello", "queue": f"{lane.queue:016x}"}
        if announce:
            body["table"] = orjson.loads(self._table.canonical())
        await self._vehicles.publish(subjects.raw(lane.tenant, lane.vehicle, "event"), orjson.dumps(body))
