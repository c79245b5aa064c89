"""The signer: holds the signing keys and signs."""

from __future__ import annotations

import asyncio

from carcloud.assembly.context import Context
from carcloud.safety.identity import Authority
from carcloud.safety.issuer import CERTIFICATE, Issuer
from carcloud.safety.signer import Signer


async def run(context: Context) -> None:
    """Hold the signing keys and sign."""
    others = {CERTIFICATE: Issuer(Authority(context.folder.keys)).answer}
    process = Signer(context.folder.keys, context.folder.run, context.settings.zone, others)
    await process.open()
    try:
        await asyncio.Event().wait()
    finally:
        await process.close()
