"""The desk at which the API takes orders."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import orjson

from carcloud.api.ports import OrderDesk
from carcloud.assembly.orders import cloud_view, signer_client
from carcloud.backends.nats import Bus
from carcloud.settings import Folder, Settings
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader

QUIET_S = 10.0
LIMIT_WAITING = 1000


def order_desk(settings: Settings, folder: Folder, cloud: Bus) -> OrderDesk:
    """Return what the API needs to take orders."""
    return OrderDesk(signer_client(settings, folder), cloud_view(TwinReader(cloud)), partial(_watch, cloud))


async def _watch(cloud: Bus) -> AsyncGenerator[Mapping[str, Any] | None, None]:
    """Yield what the courier tells of orders; a reader that is too slow loses the oldest, and asks for the list."""
    told: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(LIMIT_WAITING)

    async def heard(_: str, data: bytes) -> None:
        if told.full():
            told.get_nowait()
        told.put_nowait(orjson.loads(data))

    stop = await cloud.listen(subjects.ORDER_CHANGED, heard)
    try:
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    change = await told.get()
            except TimeoutError:
                yield None
            else:
                yield change
    finally:
        await stop()
