"""The replicas: brings in what other zones let out to this one. Runs only where the flows file declares some."""

from __future__ import annotations

import asyncio
from typing import Any

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.records import records_of
from carcloud.gateway.replicas.replicator import Replicator
from carcloud.settings import catalogue_in_force, flows_in_force

PAGES_AT_ONCE = 4


async def run(context: Context) -> None:
    """Bring every declared replica in."""
    cloud, vehicles = await open_bus(context, "cloud"), await open_bus(context, "vehicles")
    settings, records = context.settings, records_of(context)
    catalogue, turns = catalogue_in_force(settings, context.folder), asyncio.Semaphore(PAGES_AT_ONCE)
    replicators = [
        Replicator(replica, replica.tenant or settings.tenant, catalogue, records, vehicles)
        for replica in flows_in_force(context.folder).replicas
    ]

    def numbers() -> dict[str, Any]:
        return {"alarms": [alarm for replicator in replicators for alarm in replicator.alarms]}

    await together(*(replicator.run(turns) for replicator in replicators), tell(cloud, context.name, numbers))
