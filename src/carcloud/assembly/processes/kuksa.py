"""The door to the twin that speaks kuksa.val over gRPC."""

from __future__ import annotations

from carcloud.api.kuksa.server import make_server
from carcloud.api.ports import Access, TwinPorts
from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.desk import order_desk
from carcloud.assembly.governance import governance_of
from carcloud.assembly.records import records_of
from carcloud.assembly.shares import Shares
from carcloud.assembly.typed import TypedTwin, catalogues_of
from carcloud.safety.people.reception import Reception
from carcloud.settings import catalogue_in_force, load_policies, own_signals_in_force
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader


async def run(context: Context) -> None:
    """Serve kuksa.val."""
    cloud, records, settings = await open_bus(context, "cloud"), records_of(context), context.settings
    governance, catalogue = governance_of(context, records), catalogue_in_force(settings, context.folder)
    shares = Shares(records)
    await cloud.listen(subjects.TENANT, shares.changed)
    ports = TwinPorts(
        zone=settings.zone,
        twin=TypedTwin(TwinReader(cloud), catalogue),
        records=records,
        catalogue=catalogues_of(catalogue, own_signals_in_force(context.folder)),
        governance=lambda: governance,
        notify=cloud.publish,
        reception=Reception(records, load_policies(settings), context.folder.keys, settings.oidc, settings.tenant),
        keys=context.folder.keys,
        shares=shares,
        orders=order_desk(settings, context.folder, cloud),
    )
    await cloud.listen(subjects.GRANT, ports.grants.heard)
    access = Access(context.zone.token, settings.tenant)
    server = make_server(ports, access, f"{context.zone.api_host}:{context.zone.kuksa}")
    await server.start()

    async def serve() -> None:
        await server.wait_for_termination()

    try:
        await together(serve(), tell(cloud, context.name, dict))
    finally:
        await server.stop(None)
