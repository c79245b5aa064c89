"""The line that a zone's processes have to the broker, and to each other over it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any

import orjson

from carcloud.assembly.context import Context
from carcloud.backends.nats import Bus
from carcloud.errors import TryLaterError
from carcloud.stream import subjects


async def open_bus(context: Context, account: str) -> Bus:
    """Connect to the broker as one of the cloud's users."""
    return await Bus.connect(context.zone.bus(account), context.name)


async def tell(cloud: Bus, name: str, metrics: Callable[[], dict[str, Any]]) -> None:
    """Tell the bus this process's numbers every second."""
    while True:
        body = metrics() | {"process": name, "at": time.time()}
        with contextlib.suppress(TryLaterError):
            await cloud.publish(f"{subjects.METRICS}.{name}", orjson.dumps(body))
        await asyncio.sleep(1.0)
