"""The writer of the lake."""

from __future__ import annotations

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.governance import governance_of
from carcloud.assembly.recordings import forget_car
from carcloud.assembly.records import records_of
from carcloud.lake.workers import GRACE_S
from carcloud.lake.writer import LakeWriter
from carcloud.safety.signer import SignerClient, Verifier


async def run(context: Context) -> None:
    """Write the lake."""
    cloud, settings = await open_bus(context, "cloud"), context.settings
    signer, patience_s = SignerClient(context.folder.run), settings.query.time_s + GRACE_S
    records = records_of(context)
    part = LakeWriter(
        cloud,
        records,
        context.folder.lake,
        settings.lake,
        Verifier(context.folder.keys, "receipt"),
        lambda said: signer.sign("erasure", said),
        Verifier(context.folder.keys, "erasure"),
        lambda: governance_of(context, records),
        patience_s,
        recordings=lambda erasure: forget_car(settings, context.folder, erasure, patience_s),
    )
    await together(part.run(), tell(cloud, context.name, part.metrics))
