"""The audit log."""

from __future__ import annotations

import asyncio

from carcloud.assembly.context import Context, tell, together
from carcloud.errors import InputError, TryLaterError
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.note import LOG, Key, origin_of
from carcloud.safety.audit.witnesses import WitnessClient, Witnesses, built_in, elsewhere
from carcloud.safety.signer import SignerClient, load_public_key
from carcloud.stream.audit import AuditKeeper


async def run(context: Context) -> None:
    """Write the audit log, and have it witnessed."""
    cloud, records, signer = await context.bus("cloud"), context.records(), SignerClient(context.folder.run)
    folder, settings = context.folder, context.settings
    key = await key_of_log(context)
    witnesses = Witnesses([await _own_witness(context), *map(elsewhere, settings.audit.witnesses)])
    audit = AuditLog(folder.audit, records, lambda text: signer.sign("checkpoint", text).value, key, witnesses)
    part = AuditKeeper(cloud, records, audit, witnesses.alarms, context.signed(), settings.tenant)
    await together(part.run(), tell(cloud, context.name, part.metrics))


async def key_of_log(context: Context) -> Key:
    """Return the key of the zone's log, once the signer has made it."""
    while True:
        try:
            public = load_public_key(context.folder.keys / "checkpoint.pub")
            return Key(origin_of(context.settings.zone), LOG, public.public_bytes_raw())
        except InputError:
            await asyncio.sleep(0.1)


async def _own_witness(context: Context) -> WitnessClient:
    while True:
        try:
            return built_in(context.folder.run, context.folder.witness)
        except TryLaterError:
            await asyncio.sleep(0.1)
