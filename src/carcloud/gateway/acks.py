"""Waiting for an acknowledgement on behalf of a car that came by the second door."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from carcloud.backends.nats import Bus
from carcloud.stream import subjects


class Acks:
    """Hears what the governor tells cars."""

    def __init__(self, vehicles: Bus) -> None:
        self._vehicles = vehicles

    async def wait(self, tenant: str, vehicle: str, queue: int, number: int, timeout_s: float) -> dict[str, Any] | None:
        """Return the first ack that covers this number of the queue, None where none comes in time."""
        found: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

        async def heard(_: str, data: bytes) -> None:
            ack = orjson.loads(data)
            covers = ack.get("queue") == f"{queue:016x}" and (ack.get("number", 0) >= number or "want" in ack)
            if covers and not found.done():
                found.set_result(ack)

        stop = await self._vehicles.listen(subjects.ack(tenant, vehicle), heard)
        try:
            async with asyncio.timeout(timeout_s):
                return await found
        except TimeoutError:
            return None
        finally:
            await stop()
