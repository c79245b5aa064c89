"""The fold of the relays: follows GOVERNED, and puts what each relay tells into the spool.

Rules:
* What the spool holds and how far the stream was read move together; the stream is purged only behind that.
* Before a car's first row of a class and year leaves, the export meter counts its person, or stops: then it stays.
* Where chunks are gone, it says so and goes on with the oldest there is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime

import pyarrow as pa

from carcloud.backends.records import Records
from carcloud.errors import ConflictError, TryLaterError
from carcloud.gateway.relay.relay import Relay
from carcloud.gateway.relay.reports import Said, chosen, known_signals, said
from carcloud.gateway.relay.turns import Turns
from carcloud.safety.flows.flow import Flows
from carcloud.safety.flows.meter import ExportStoppedError, Meter
from carcloud.safety.flows.plan import Plan
from carcloud.stream.chunk import Chunk
from carcloud.stream.follower import Follower
from carcloud.stream.genuine import ForgedError

log = logging.getLogger(__name__)

NAME = "relay"
"""What the fold is called where positions are kept."""
SAVE_EVERY_S = 5.0


class Fold:
    """Follows one partition for all relays."""

    def __init__(
        self,
        follower: Follower,
        relays: Sequence[tuple[Relay, Plan]],
        turns: Turns,
        records: Records,
        flows: Flows,
        meter: Meter,
        tenant: str,
        clock: Callable[[], datetime],
        partition: int = 0,
    ) -> None:
        self._follower, self._turns, self._records, self._partition = follower, turns, records, partition
        self._relays = [(relay, plan, plan.signals.keys() & known_signals()) for relay, plan in relays]
        self._flows, self._meter, self._tenant, self._clock = flows, meter, tenant, clock
        self._counted: set[tuple[str, int, str, str]] = set()
        self._saved_at, self._year = 0.0, 0
        self.alarm: dict[str, str] | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        position = await self._turns(lambda spool: spool.position)
        await asyncio.to_thread(self._records.set_position, NAME, self._partition, position)
        while True:
            try:
                async for chunk in self._follower.chunks(position):
                    await self._take(chunk)
                    position = chunk.record.number
            except TryLaterError as error:  # the stream keeps what is not in the spool
                log.warning("the relay reads nothing", extra={"reason": str(error)})
            except ConflictError as error:
                if position and not isinstance(error, ForgedError):
                    since = self._clock().isoformat(timespec="seconds").replace("+00:00", "Z")
                    message = f"Relays missed what came meanwhile. {error.message}"
                    self.alarm = {"code": "relay_gap", "message": message, "do": error.do, "since": since}
                    log.error("the relay missed chunks", extra={"reason": str(error)})
                position = max(self._follower.oldest - 1, position)
            await asyncio.sleep(1.0)

    async def _take(self, chunk: Chunk) -> None:
        found = await asyncio.to_thread(self._said, chunk.rows)
        number, now = chunk.record.number, time.monotonic()
        if found or now - self._saved_at >= SAVE_EVERY_S:
            at = self._clock().timestamp()
            await self._turns(lambda spool: spool.take(number, found, at))
        if now - self._saved_at >= SAVE_EVERY_S:
            self._saved_at = now
            await asyncio.to_thread(self._records.set_position, NAME, self._partition, number)

    def _said(self, rows: pa.RecordBatch) -> list[tuple[str, Said]]:
        """Return what each relay tells of a chunk."""
        found: list[tuple[str, Said]] = []
        for relay, plan, signals in self._relays:
            if not rows.num_rows or self._flows.ended(relay.flow, self._clock()):
                continue
            relay.cars.meet(rows["vehicle"].dictionary.to_pylist())
            mine = chosen(rows, relay.cars.allowed, signals)
            if mine.num_rows and (stopped := self._count(relay, plan, mine)):
                keep = pa.compute.is_in(mine["vehicle"], pa.array(sorted(stopped), pa.string()))
                mine = mine.filter(pa.compute.invert(keep))
            if mine.num_rows:
                sent = plan.sent(mine, lambda car, _: car, 0)
                found += [(relay.flow.name, one) for one in said(sent)]
        return found

    def _count(self, relay: Relay, plan: Plan, rows: pa.Table) -> set[str]:
        """Count whose rows are about to leave; return the cars whose rows may not."""
        year, name = self._flows.year(self._meter.now()), relay.flow.name
        if year != self._year:
            self._year = year
            self._counted.clear()
            relay.cars.stopped.clear()
        new: dict[str, set[str]] = {}
        for row in rows.group_by(["vehicle", "signal"]).aggregate([]).to_pylist():
            kind = plan.signals[row["signal"]].kind
            if (name, year, kind, row["vehicle"]) not in self._counted:
                new.setdefault(kind, set()).add(row["vehicle"])
        if not new:
            return set()
        try:
            self._meter.let_out(self._flows, relay.flow, new, rows.num_rows, "process:relay", self._tenant)
        except ExportStoppedError:
            cars = set().union(*new.values())
            relay.cars.stopped |= cars
            return cars
        self._counted |= {(name, year, kind, car) for kind, cars in new.items() for car in cars}
        return set()
