"""Bringing one car's batches in by the one way in: hello, numbered batches, acknowledgements.

Rules:
* As any car does: what is not acknowledged is sent again, and the governor's marks drop what comes twice.
* Few batches of a car are on their way at once, so a replica never floods the stream.
* A car that was erased meanwhile is let go.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson

from carcloud.backends.nats import Bus
from carcloud.errors import TryLaterError
from carcloud.gateway.acks import Acks
from carcloud.stream import subjects
from carcloud.vehicle.batch import IdTable

ACK_TIMEOUT_S = 5.0
TRIES = 6
BATCHES_AT_ONCE = 24


class StuckError(TryLaterError):
    """This zone's own stream acknowledges nothing."""

    code = "stuck"


class Delivery:
    """Brings batches in for the vehicles of a tenant. `stands(vehicle)` tells whether it was not erased."""

    def __init__(
        self, vehicles: Bus, tenant: str, tables: Sequence[IdTable], stands: Callable[[str], Awaitable[bool]]
    ) -> None:
        self._vehicles, self._acks, self._tenant, self._stands = vehicles, Acks(vehicles), tenant, stands
        self._tables, self._announced = tables, set[int]()

    async def mark(self, vehicle: str, queue: int, tables: set[int]) -> int | None:
        """Return the number up to which a queue is acknowledged, with its id tables announced; None: the car is gone.

        Raises:
            StuckError: nothing is acknowledged for a while.
        """
        new, number = sorted(tables - self._announced), 0
        for hello in [self._hello(queue, at) for at in new] or [self._hello(queue)]:
            ack = await self._told(vehicle, queue, 0, [("event", hello)])
            if ack is None:
                return None
            number = int(ack["number"])
        self._announced |= tables
        return number

    async def bring(
        self, vehicle: str, queue: int, many: int, tables: set[int], payload: Callable[[int], bytes], begin: int
    ) -> bool:
        """Send the batches behind number `begin`, `many` in all, until all are acknowledged; False: the car is gone.

        Args:
            payload: returns the batch of a number.

        Raises:
            StuckError: nothing is acknowledged for a while.
        """
        done, idle = begin, 0
        while done < many:
            if idle == TRIES:
                raise _stuck()
            last = min(done + BATCHES_AT_ONCE, many)
            batches = [("batch", payload(number)) for number in range(done + 1, last + 1)]
            ack = await self._told(vehicle, queue, last, batches)
            if ack is None:
                return False
            if "want" in ack:  # the stream lost its tables, as after a restored backup
                self._announced -= tables
                await self.mark(vehicle, queue, tables)
            before, done = done, max(done, int(ack["number"]))
            idle = idle + 1 if done == before else 0
        return True

    async def _told(
        self, vehicle: str, queue: int, number: int, messages: list[tuple[str, bytes]]
    ) -> dict[str, Any] | None:
        """Send messages until an ack covers a number; None: the car is gone."""
        for _ in range(TRIES):
            wanted = self._acks.wait(self._tenant, vehicle, queue, number, ACK_TIMEOUT_S)
            waiting = asyncio.ensure_future(wanted)
            await asyncio.sleep(0)  # it listens before anything is on its way
            try:
                for kind, payload in messages:
                    await self._vehicles.append(subjects.raw(self._tenant, vehicle, kind), payload)
                if (ack := await waiting) is not None:
                    return ack
            except TryLaterError:
                await asyncio.sleep(1.0)  # RAW is full, or the broker begins anew
            finally:
                waiting.cancel()
            if not await self._stands(vehicle):
                return None
        raise _stuck()

    def _hello(self, queue: int, table: int | None = None) -> bytes:
        body: dict[str, Any] = {"event": "hello", "queue": f"{queue:016x}"}
        if table is not None:
            body["table"] = orjson.loads(self._tables[table].canonical())
        return orjson.dumps(body)


def _stuck() -> StuckError:
    do = "Look at the zone's other alarms; it goes on by itself."
    return StuckError("This zone's stream acknowledges nothing of it.", do)
