"""The relay to authorities' platforms. Runs only where the flows file declares some."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import orjson

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.governance import governance_of
from carcloud.assembly.records import records_of
from carcloud.assembly.relays import Relays
from carcloud.stream import subjects


def _now() -> datetime:
    return datetime.now(UTC)


async def run(context: Context) -> None:
    """Tell every declared platform."""
    cloud, records = await open_bus(context, "cloud"), records_of(context)
    relays = Relays(context.settings, context.folder, records, governance_of(context, records), cloud, _now)

    async def show(question: bytes) -> bytes:
        return orjson.dumps(await relays.shown())

    def numbers() -> dict[str, Any]:
        return {"alarms": relays.alarms}

    await cloud.answer(subjects.RELAYS, show)
    for subject in (subjects.GRANT, subjects.ERASE, subjects.REVOKED):
        await cloud.listen(subject, relays.heard)
    try:
        await together(relays.run(), tell(cloud, context.name, numbers))
    finally:
        await asyncio.shield(asyncio.to_thread(relays.close))
