"""The writer of the lake."""

from __future__ import annotations

from carcloud.assembly.context import Context, tell, together
from carcloud.lake.workers import GRACE_S
from carcloud.lake.writer import LakeWriter
from carcloud.safety.signer import SignerClient


async def run(context: Context) -> None:
    """Write the lake."""
    cloud, settings = await context.bus("cloud"), context.settings
    signer, patience_s = SignerClient(context.folder.run), settings.query.time_s + GRACE_S
    part = LakeWriter(
        cloud,
        context.records(),
        context.folder.lake,
        settings.lake,
        context.signed(),
        lambda said: signer.sign("erasure", said),
        patience_s,
    )
    await together(part.run(), tell(cloud, context.name, part.metrics))
