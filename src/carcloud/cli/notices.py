"""Telling the running zone what was changed in its records, so that it acts at once and not when it next looks."""

from __future__ import annotations

import asyncio

from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.errors import MissingError, TryLaterError
from carcloud.settings import Folder

PATIENCE_S = 5.0


def tell(folder: Folder, subject: str, data: bytes) -> None:
    """Tell the zone of this folder; where none runs, the next reads it when it starts. Raise TryLaterError."""
    try:
        zone = ZoneFile.read(folder)
    except MissingError:
        return
    asyncio.run(_told(zone, subject, data))


async def _told(zone: ZoneFile, subject: str, data: bytes) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            bus = await Bus.connect(zone.bus("cloud"), "command line")
            await bus.publish(subject, data)
            await bus.flush()
            await bus.close()
    except TimeoutError:
        do = "If it was killed, it will know when it starts again."
        raise TryLaterError("The zone does not answer.", do) from None
