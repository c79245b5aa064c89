"""How the door for GB/T 32960 stands, as people see it: who is connected, and what was refused."""

from __future__ import annotations

from typing import Any

from carcloud.gateway.gbt32960.door import Door


def standing(door: Door, tenant: str, *, home: bool) -> dict[str, Any]:
    """Return sessions, faults by cause and connected platforms of a tenant.

    home: whether the zone is run for it: it sees also the faults of those who never logged in. Refused rows are of what
    all terminals said.
    """
    settings = door.settings
    platforms = [one for one in door.connections if one.tenant == tenant and one.session.platform is not None]
    return {
        "listening": {
            "tcp": bool(settings.port),
            "tls": bool(settings.tls_port),
            "certificates": bool(settings.tls_port and settings.tls_clients),
            "idle_s": settings.idle_s,
        },
        "sessions": [car.shown() for _, car in door.cars.values() if car.tenant == tenant],
        "faults": {str(cause): count for cause, count in door.faults(None if home else tenant).items()},
        "refused": dict(door.delivery.refused) if home else {},
        "platforms": [
            {
                "name": one.session.platform,
                "since": one.since,
                "cars": len(one.cars),
                "frames": one.session.frames,
                "faults": sum(one.session.faults.values()),
            }
            for one in platforms
        ],
    }
