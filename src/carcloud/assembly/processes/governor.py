"""The governor of the stream."""

from __future__ import annotations

from carcloud.assembly.context import Context, tell, together
from carcloud.safety.governance.table import Table
from carcloud.safety.seal import Seal
from carcloud.safety.signer import SignerClient
from carcloud.stream.governor import Governor
from carcloud.stream.quarantine import Quarantine


async def run(context: Context) -> None:
    """Govern the stream."""
    vehicles, cloud = await context.bus("vehicles"), await context.bus("cloud")
    records, catalogue = context.records(), context.catalogue()
    part = Governor(
        vehicles,
        cloud,
        records,
        catalogue,
        Table(context.governance(), catalogue),
        SignerClient(context.folder.run),
        context.signed(),
        Quarantine(records, Seal(context.folder.keys)),
        context.folder.stream,
        context.settings.governor,
    )
    await together(part.run(), tell(cloud, context.name, part.metrics))
