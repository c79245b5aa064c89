"""The signer: holds the signing keys and signs."""

from __future__ import annotations

import asyncio

from carcloud.assembly.context import Context
from carcloud.safety.signer import Signer


async def run(context: Context) -> None:
    """Hold the signing keys and sign."""
    process = Signer(context.folder.keys, context.folder.run, context.settings.zone)
    await process.open()
    try:
        await asyncio.Event().wait()
    finally:
        await process.close()
