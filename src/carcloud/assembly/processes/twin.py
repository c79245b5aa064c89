"""The keeper of the twin."""

from __future__ import annotations

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.governance import governance_of
from carcloud.assembly.records import records_of
from carcloud.safety.signer import Verifier
from carcloud.twin.keeper import TwinKeeper


async def run(context: Context) -> None:
    """Keep the twin."""
    cloud = await open_bus(context, "cloud")
    records = records_of(context)
    part = TwinKeeper(
        cloud,
        records,
        context.folder.twin,
        Verifier(context.folder.keys, "receipt"),
        lambda: governance_of(context, records),
    )
    await together(part.run(), tell(cloud, context.name, part.metrics))
