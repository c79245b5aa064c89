"""The keeper of the twin."""

from __future__ import annotations

from carcloud.assembly.context import Context, tell, together
from carcloud.twin.keeper import TwinKeeper


async def run(context: Context) -> None:
    """Keep the twin."""
    cloud = await context.bus("cloud")
    part = TwinKeeper(cloud, context.records(), context.folder.twin, context.signed())
    await together(part.run(), tell(cloud, context.name, part.metrics))
