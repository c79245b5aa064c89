"""The governor of the stream."""

from __future__ import annotations

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.governance import governance_of
from carcloud.assembly.records import records_of
from carcloud.safety.governance.table import Table
from carcloud.safety.seal import Seals
from carcloud.safety.signer import SignerClient, Verifier
from carcloud.settings import catalogue_in_force, own_signals_in_force
from carcloud.stream.governor import Governor
from carcloud.stream.quarantine import Quarantine


async def run(context: Context) -> None:
    """Govern the stream."""
    vehicles, cloud = await open_bus(context, "vehicles"), await open_bus(context, "cloud")
    records, settings, folder = records_of(context), context.settings, context.folder
    catalogue = catalogue_in_force(settings, folder)
    part = Governor(
        vehicles,
        cloud,
        records,
        catalogue,
        Table(governance_of(context, records), catalogue),
        SignerClient(folder.run),
        Verifier(folder.keys, "receipt"),
        Quarantine(records, Seals(folder.keys, settings.tenant)),
        folder.stream,
        settings.governor,
        settings.zone,
        whose=own_signals_in_force(folder),
    )
    await together(part.run(), tell(cloud, context.name, part.metrics))
