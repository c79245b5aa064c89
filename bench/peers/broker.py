"""mosquitto as the peers' broker: mutual TLS for the cars, plain loopback for the sink.

It keeps nothing on disk (`persistence false`) and drops nothing from a sink's queue: the fastest it can be, kind to
the peers.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path

from carcloud.errors import MissingError

CONFIGURATION = """
per_listener_settings false
allow_anonymous true
persistence false
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 0
set_tcp_nodelay true
log_dest none
user root
listener {plain} 127.0.0.1
listener {tls} 127.0.0.1
cafile {folder}/ca.pem
certfile {folder}/server.pem
keyfile {folder}/server.key
require_certificate true
use_identity_as_username true
"""


def free_port() -> int:
    """Return a port nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """A running mosquitto; `folder` holds ca.pem, server.pem and server.key."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if not program:
            raise MissingError(
                "mosquitto is missing.", "Install the package mosquitto, or leave the peers out: --only."
            )
        self.plain, self.tls = free_port(), free_port()
        file = folder / "mosquitto.conf"
        file.write_text(CONFIGURATION.format(plain=self.plain, tls=self.tls, folder=folder))
        self._child = subprocess.Popen([program, "-c", file])
        self.pid = self._child.pid
        self._wait()

    def _wait(self) -> None:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.tls), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise MissingError("mosquitto does not answer.", f"Read its message above; it ended with {self._child.poll()}.")

    def close(self) -> None:
        """Stop it."""
        self._child.terminate()
        self._child.wait(20)


def version() -> str:
    """Return mosquitto's own version line."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    text = subprocess.run([program, "-h"], capture_output=True, text=True, check=False).stdout
    return text.splitlines()[0] if text else "mosquitto"
