"""Connections over TLS: a handshake takes a stranger's place from its first byte on, and ends in time.

`create_server` tells nobody of a connection before its handshake is done, so nobody could bound them.
"""

from __future__ import annotations

import asyncio
import socket
import ssl

from carcloud.gateway.gbt32960.connection import Connection
from carcloud.gateway.gbt32960.door import Door

HANDSHAKE_S = 10.0
BACKLOG = 2048
_PAUSE_S = 0.1


def bound(host: str, port: int) -> list[socket.socket]:
    """Return sockets that listen at an address. Raise OSError where it cannot be had."""
    sockets = []
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    for family, kind, protocol, _, address in dict.fromkeys(found):
        one = socket.socket(family, kind, protocol)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        one.bind(address)
        one.listen(BACKLOG)
        one.setblocking(False)
        sockets.append(one)
    return sockets


async def serve(door: Door, listening: socket.socket, tls: ssl.SSLContext) -> None:
    """Let in who comes by a socket, until cancelled."""
    loop = asyncio.get_running_loop()
    with listening:
        while True:
            try:
                one, peer = await loop.sock_accept(listening)
            except OSError:  # no more files, or who came has gone
                await asyncio.sleep(_PAUSE_S)
                continue
            connection = door.connection()
            if door.comes(connection, str(peer[0])):
                door.start(_shake(door, connection, one, tls))
            else:
                one.close()


async def _shake(door: Door, connection: Connection, one: socket.socket, tls: ssl.SSLContext) -> None:
    connection.unmade = asyncio.current_task()
    if connection.closed:  # it gave its place already
        one.close()
        return
    try:
        await asyncio.get_running_loop().connect_accepted_socket(
            lambda: connection, one, ssl=tls, ssl_handshake_timeout=HANDSHAKE_S
        )
    except OSError:
        door.ended["no_handshake"] += 1
        door.places.leave(connection)
