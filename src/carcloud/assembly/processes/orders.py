"""The courier of orders."""

from __future__ import annotations

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.orders import cloud_view, signer_client
from carcloud.assembly.records import records_of
from carcloud.gateway.orders import Courier
from carcloud.twin.reader import TwinReader


async def run(context: Context) -> None:
    """Take orders to cars."""
    cloud, vehicles = await open_bus(context, "cloud"), await open_bus(context, "vehicles")
    client = signer_client(context.settings, context.folder)
    courier = Courier(vehicles, cloud, records_of(context), client, cloud_view(TwinReader(cloud)))
    await together(courier.run(), tell(cloud, context.name, courier.metrics))
