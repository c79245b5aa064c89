"""The keeper of the twin."""

from __future__ import annotations

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.records import records_of
from carcloud.safety.signer import Verifier
from carcloud.twin.keeper import TwinKeeper


async def run(context: Context) -> None:
    """Keep the twin."""
    cloud = await open_bus(context, "cloud")
    part = TwinKeeper(
        cloud,
        records_of(context),
        context.folder.twin,
        Verifier(context.folder.keys, "receipt"),
    )
    await together(part.run(), tell(cloud, context.name, part.metrics))
