"""The audit log."""

from __future__ import annotations

import asyncio

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.log_keys import key_of_log
from carcloud.assembly.records import records_of
from carcloud.errors import TryLaterError
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.witnesses import WitnessClient, Witnesses, built_in, elsewhere
from carcloud.safety.backup.keeper import LedgerKeeper
from carcloud.safety.seal import NameVault
from carcloud.safety.signer import SignerClient, Verifier
from carcloud.stream.audit import AuditKeeper


async def run(context: Context) -> None:
    """Write the audit log and have it witnessed, and write erasures into the ledgers beside backups."""
    folder, settings = context.folder, context.settings
    cloud, records, signer = await open_bus(context, "cloud"), records_of(context), SignerClient(folder.run)
    key = await key_of_log(folder, settings)
    witnesses = Witnesses([await _own_witness(context), *map(elsewhere, settings.audit.witnesses)])
    audit = AuditLog(folder.audit, records, lambda text: signer.sign("checkpoint", text).value, key, witnesses)
    signed = Verifier(folder.keys, "receipt")
    ledger = LedgerKeeper(
        records, NameVault(folder.keys), lambda line: signer.sign("ledger", line), Verifier(folder.keys, "ledger")
    )
    part = AuditKeeper(cloud, records, audit, lambda: [*witnesses.alarms(), *ledger.alarms()], signed, settings.tenant)
    await together(part.run(), ledger.run(), tell(cloud, context.name, part.metrics))


async def _own_witness(context: Context) -> WitnessClient:
    while True:
        try:
            return built_in(context.folder.run, context.folder.witness)
        except TryLaterError:
            await asyncio.sleep(0.1)
