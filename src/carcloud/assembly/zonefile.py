"""What the processes of a running zone need to find each other: `run/zone.json`, readable by the zone's user only."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

from carcloud.backends.nats_server import ACCOUNTS
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.safety.keys import read_or_make_key, write_file
from carcloud.settings import Folder, Settings

PORTS = ("api", "mqtt", "https", "claims", "nats", "kuksa")
FREE = range(20_000, 32_000)
"""Where free ports are looked for: below those that systems give to outgoing connections, which would take one between
its choice and its use."""
TRIES = 100


@dataclass(frozen=True)
class ZoneFile:
    """Ports of a running zone, 0 where it does not listen; the API's token, and the broker's passwords by account."""

    pid: int
    host: str
    api_host: str
    api: int
    mqtt: int
    https: int
    claims: int
    nats: int
    token: str
    passwords: dict[str, str]
    gbt32960: int = 0
    gbt32960_tls: int = 0
    kuksa: int = 0

    @property
    def url(self) -> str:
        """Return the API's address."""
        return f"http://{self.api_host}:{self.api}"

    def console(self, link: str) -> str:
        """Return the address that opens the console by a one-time link, of which this is the secret."""
        return f"{self.url}/?link={link}"

    def bus(self, account: str) -> str:
        """Return the broker's address for one of the cloud's users."""
        return f"nats://{account}:{self.passwords[account]}@127.0.0.1:{self.nats}"

    def write(self, path: Path) -> None:
        """Write the file for the zone's processes and the command line."""
        write_file(path, json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, folder: Folder) -> ZoneFile:
        """Read the file; raise MissingError where no zone runs on the folder."""
        try:
            return cls(**json.loads(folder.zone_file.read_text("utf-8")))
        except FileNotFoundError:
            raise MissingError(f"No zone runs on {folder.path}.", "Start one with `carcloud up`.") from None
        except (ValueError, TypeError):
            raise InputError(f"{folder.zone_file} is damaged.", "Start the zone again with `carcloud up`.") from None


def new_zone_file(settings: Settings, folder: Folder, *, free_ports: bool) -> ZoneFile:
    """Choose ports, make passwords, and read or make the API's token."""
    listen = settings.listen
    free = iter(secrets.SystemRandom().sample(FREE, len(FREE)))
    hosts = dict.fromkeys(PORTS, listen.host) | {"api": listen.api_host, "kuksa": listen.api_host, "nats": "127.0.0.1"}
    ports = {
        name: _port(hosts[name], 0 if free_ports else getattr(listen, name), f"listen.{name}", free)
        for name in PORTS
        if name != "kuksa" or find_spec("kuksa")
    }
    terminals = {
        "gbt32960": _optional_port(listen.host, settings.gbt32960.port, "gbt32960.port", free_ports, free),
        "gbt32960_tls": _optional_port(listen.host, settings.gbt32960.tls_port, "gbt32960.tls_port", free_ports, free),
    }
    token = read_or_make_key(folder.keys / "api.token", lambda: secrets.token_urlsafe(24).encode()).decode()
    passwords = {account: secrets.token_hex(16) for account in ACCOUNTS}
    return ZoneFile(os.getpid(), listen.host, listen.api_host, **ports, token=token, passwords=passwords, **terminals)


def _optional_port(host: str, wanted: int, name: str, free_ports: bool, free: Iterator[int]) -> int:
    """Choose a port of a door that need not be there: 0 where it is not wanted."""
    return _port(host, 0 if free_ports else wanted, name, free) if wanted else 0


def _port(host: str, wanted: int, name: str, free: Iterator[int]) -> int:
    """Return the wanted port if it is free; for 0 the first of `free` that is."""
    if not 0 <= wanted <= 65535:
        raise InputError(f"{wanted} is no port.", f"Set {name} to one from 1 to 65535, or 0 for any free one.")
    fault: OSError | None = None
    for port in [wanted] if wanted else islice(free, TRIES):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                fault = error
            else:
                return port
    said = f"Port {wanted}" if wanted else f"None of {TRIES} ports"
    do = f"Stop what uses it, set {name} in the configuration, or use --free-ports."
    why = fault.strerror if fault else "none is left"
    raise ConflictError(f"{said} ({name.removeprefix('listen.')}) on {host} is not free: {why}.", do)


@contextlib.contextmanager
def sole_instance(folder: Folder) -> Iterator[None]:
    """Hold the folder's lock; raise ConflictError where another zone runs on it."""
    with (folder.run / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "unknown"
            do = "Use it, stop it, or give another folder with --data."
            raise ConflictError(f"A zone already runs on {folder.path} (process {holder}).", do) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            yield
        finally:
            folder.zone_file.unlink(missing_ok=True)
