"""The writer of the lake."""

from __future__ import annotations

from carcloud.assembly.context import Context, tell, together
from carcloud.lake.writer import LakeWriter


async def run(context: Context) -> None:
    """Write the lake."""
    cloud = await context.bus("cloud")
    part = LakeWriter(cloud, context.records(), context.folder.lake, context.settings.lake, context.signed())
    await together(part.run(), tell(cloud, context.name, part.metrics))
