"""The order signer: holds the keys of orders, and signs what registered people have authorised."""

from __future__ import annotations

import asyncio

from carcloud.assembly.context import Context
from carcloud.safety import sockets
from carcloud.safety.orders.keys import orders_folder
from carcloud.safety.orders.server import SOCKET, OrderServer, OrderSigners, order_signer


async def run(context: Context) -> None:
    """Hold the keys of orders."""
    keys, home = context.folder.keys, context.settings.tenant
    signers = OrderSigners([order_signer(context.folder.orders)], lambda tenant: orders_folder(keys, tenant, home))
    server = OrderServer(signers, sockets.bound_socket(context.folder.run, SOCKET))
    server.start()
    try:
        await asyncio.Event().wait()
    finally:
        server.close()
        sockets.remove_socket(context.folder.run, SOCKET)
