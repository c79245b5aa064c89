"""Taking a flows file into force: an act in the audit log, and a copy that the zone keeps to until it starts anew."""

from __future__ import annotations

from typing import Any

from carcloud.assembly.context import Context
from carcloud.backends.files import write_flushed
from carcloud.backends.records import Entry, Records
from carcloud.errors import InputError
from carcloud.gateway.relay.fold import NAME as FOLD
from carcloud.lake.border import Border
from carcloud.safety.flows.plan import Plan
from carcloud.settings import Folder, Settings, catalogue_in_force, flows_in_force, governance_in_force, load_flows
from carcloud.vehicle.catalogue import Catalogue

NONE = "flows: {}\n"


def take_flows(settings: Settings, folder: Folder, records: Records, catalogue: Catalogue) -> str:
    """Take the flows and replicas that the settings ask for into force; return a sentence on a change, or nothing.

    Raises:
        MissingError: there is no such file.
        InputError: it is none, or does not fit governance and catalogue; the flows in force stay.
    """
    wanted, governance = load_flows(settings), governance_in_force(settings, folder)
    for flow in wanted.leaving:
        Plan(flow, governance, catalogue)
    if not wanted.relays:  # the stream waits for no relay then, and what waited for one is gone
        records.forget_position(FOLD)
        for file in folder.relay.parent.glob(f"{folder.relay.name}*"):
            file.unlink()
    for replica in wanted.replicas:
        if replica.tenant and records.tenants.find(replica.tenant) is None:
            do = f"Leave `tenant` out for {settings.tenant}, or make the tenant first: carcloud tenant create."
            raise InputError(f"Replica {replica.name} is for {replica.tenant}, which is no tenant of the zone.", do)
    before = flows_in_force(folder)
    if before.hash == wanted.hash:
        return ""
    comes = sorted(replica.name for replica in wanted.replicas)
    facts = {"from": before.hash, "to": wanted.hash, "flows": sorted(wanted.flows), "replicas": comes}
    facts |= {"relays": sorted(wanted.relays)} if wanted.relays or before.relays else {}
    records.audit.add(Entry("machine", "changeFlows", "zone", facts=facts, tenant=settings.tenant))
    write_flushed(folder.flows, (wanted.text or NONE).encode())
    names = ", ".join(sorted(wanted.flows))
    said = f"Flows out of the zone now: {names}." if names else "Nothing leaves the zone by flows any more."
    if wanted.relays or before.relays:
        said += f" Relays to platforms: {', '.join(sorted(wanted.relays)) or 'none'}."
    if comes or before.replicas:
        said += f" Replicas into it: {', '.join(comes) or 'none'}."
    return said


def border_of(context: Context, records: Records) -> Border:
    """Return the border by the flows in force."""
    settings, folder = context.settings, context.folder
    flows = flows_in_force(folder)
    return Border(
        records,
        flows,
        governance_in_force(settings, folder),
        catalogue_in_force(settings, folder),
        folder.keys,
        settings.tenant,
        settings.zone,
    )


def border_numbers(border: Border) -> dict[str, Any]:
    """Return what the API tells of the border every second: the alarms of reads that were stopped."""
    return {"alarms": list(border.meter.alarms(border.flows))}
