"""The broker's configuration, from a zone's settings and keys."""

from __future__ import annotations

from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats_server import ServerFiles, ServerPorts, configuration
from carcloud.gateway.mqtt.callout import AccountKey
from carcloud.safety.identity import Authority
from carcloud.safety.keys import write_file
from carcloud.settings import Folder, Settings

NATS = "nats-server"


def write_broker_file(settings: Settings, folder: Folder, zone: ZoneFile, authority: Authority) -> None:
    """Write `run/nats.conf` for the ports and passwords of a zone, and a new certificate for its door."""
    certificate, key = authority.server_certificate(settings.listen.names)
    files = ServerFiles(folder.stream / "jetstream", certificate, key, authority.vehicle_trust)
    text = configuration(
        settings.zone,
        files,
        ServerPorts(zone.nats, zone.mqtt, settings.listen.host),
        zone.passwords,
        AccountKey(folder.keys).public,
        settings.governor.raw_bytes,
        settings.governor.governed_bytes,
        folder.logs / f"{NATS}.log",
        settings.listen.tls,
    )
    write_file(folder.run / "nats.conf", text.encode())
