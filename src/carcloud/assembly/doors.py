"""Where cars find a zone."""

from __future__ import annotations

from carcloud.assembly.zonefile import ZoneFile
from carcloud.gateway.enrolment import Endpoints
from carcloud.settings import Settings


def endpoints(settings: Settings, zone: ZoneFile | None) -> Endpoints:
    """Return where cars find the zone: its present ports if it runs, else those of its settings."""
    listen = settings.listen
    host = listen.names[0] if listen.names else listen.host
    if zone is None:
        return Endpoints(host, listen.mqtt, f"https://{host}:{listen.https}")
    return Endpoints(host, zone.mqtt, f"https://{host}:{zone.https}")
