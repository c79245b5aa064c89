"""The courier of orders."""

from __future__ import annotations

from carcloud.assembly.context import Context, tell, together
from carcloud.assembly.orders import cloud_view, signer_client
from carcloud.gateway.orders import Courier
from carcloud.twin.reader import TwinReader


async def run(context: Context) -> None:
    """Take orders to cars."""
    cloud, vehicles = await context.bus("cloud"), await context.bus("vehicles")
    client = signer_client(context.settings, context.folder)
    courier = Courier(vehicles, cloud, context.records(), client, cloud_view(TwinReader(cloud)))
    await together(courier.run(), tell(cloud, context.name, courier.metrics))
