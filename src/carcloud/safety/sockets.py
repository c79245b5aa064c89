"""Unix sockets in a zone's run folder: reached by the zone's own user only, however long the folder's path.

Rules:
* A socket has mode 0600, in a folder of mode 0700.
* Beyond about 100 bytes no system takes a socket's path; the socket then stands in a temporary folder, and the file
  `NAME.path` in the run folder says where.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from carcloud.safety.keys import write_file

LIMIT_SOCKET_PATH_BYTES = 100


def socket_path(run: Path, name: str) -> Path:
    """Return where the process of this name listens."""
    elsewhere = run / f"{name}.path"
    return Path(elsewhere.read_text()) if elsewhere.exists() else run / f"{name}.sock"


def bound_socket(run: Path, name: str) -> socket.socket:
    """Return a socket bound in the run folder, in place of one that a dead process left."""
    elsewhere, path = run / f"{name}.path", run / f"{name}.sock"
    elsewhere.unlink(missing_ok=True)
    if len(os.fsencode(path)) > LIMIT_SOCKET_PATH_BYTES:
        path = Path(tempfile.mkdtemp(prefix="carcloud-")) / f"{name}.sock"
        write_file(elsewhere, os.fsencode(path))
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    return listener


def remove_socket(run: Path, name: str) -> None:
    """Remove a socket, and the temporary folder it may stand in."""
    path = socket_path(run, name)
    path.unlink(missing_ok=True)
    if path.parent != run:
        path.parent.rmdir()


def receive(connection: socket.socket, size: int) -> bytes:
    """Return exactly so many bytes; raise ConnectionError where the other end hung up."""
    parts = b""
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise ConnectionError("it hung up")
        parts += part
    return parts
