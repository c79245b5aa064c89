"""What the order signer and those who ask it say to each other over a socket: u32 length (big endian), then bytes."""

from __future__ import annotations

import base64
import socket
import struct

LIMIT_REQUEST_BYTES = 1024 * 1024
LENGTH = struct.Struct(">I")


def send(connection: socket.socket, data: bytes) -> None:
    """Send one message."""
    connection.sendall(LENGTH.pack(len(data)) + data)


def read_bytes(text: str) -> bytes:
    """Return bytes that travel as base64; raise ValueError."""
    return base64.b64decode(text, validate=True)


def written(data: bytes) -> str:
    """Return bytes as they travel, base64."""
    return base64.b64encode(data).decode()
