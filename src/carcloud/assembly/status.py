"""The zone's state, put together from what its processes tell the bus every second."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.settings import Settings
from carcloud.stream import subjects
from carcloud.stream.guards import QUARANTINED

SILENT_AFTER_S = 5.0
COUNT_EVERY_S = 5.0
NEEDED = ("governor", "twin", "lake")


class ZoneStatus:
    """Listens to the bus and answers with the newest."""

    def __init__(self, settings: Settings, records: Records, *, personal: bool = False) -> None:
        self._settings, self._records, self._personal = settings, records, personal
        self._told: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, dict[str, Any]] = {}
        self._enrolled, self._counted = 0, -COUNT_EVERY_S

    async def listen(self, cloud: Bus) -> None:
        """Begin to listen."""
        await cloud.listen(f"{subjects.METRICS}.*", self._on_metrics)
        await cloud.listen(subjects.PARTS, self._on_parts)

    def processes(self) -> Mapping[str, Mapping[str, Any]]:
        """Return each process's newest numbers, flat."""
        return {name: _flat(body) for name, body in self._told.items()}

    def status(self) -> Mapping[str, Any] | None:
        """Return the zone's state, or None until its needed processes have told theirs."""
        if not all(name in self._told for name in NEEDED) or not self._parts:
            return None
        governor, twin, lake = (self._told[name] for name in NEEDED)
        stream = governor["stream"]
        refused = Counter(stream["refused"])
        refused["wrong_vehicle"] += sum(body.get("violations", 0) for body in self._told.values())
        connected = sum(body["vehicles"]["connected"] for body in self._told.values() if "vehicles" in body)
        vehicles = {"enrolled": self._count(), "connected": connected, "reporting": twin["twin"]["reporting"]}
        return {
            "zone": self._settings.zone,
            "tenant": self._settings.tenant,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "personal_data": self._personal,
            "stream": stream | {"refused": +refused, "quarantined": sum(refused[cause] for cause in QUARANTINED)},
            "delay": {"twin_s": twin["delay"], "lake_s": lake["delay"]},
            "lake": lake["lake"],
            "vehicles": vehicles,
            "tenants": self._by_tenant(),
            "parts": self._parts,
            "alarms": self._alarms(),
        }

    def _by_tenant(self) -> dict[str, dict[str, int]]:
        """Return how many cars of each tenant are connected, and report."""
        found: dict[str, dict[str, int]] = {}
        for body in self._told.values():
            for word in ("connected", "reporting"):
                for tenant, many in body.get(f"{word}_of", []):
                    found.setdefault(tenant, {})[word] = many
        return found

    def _alarms(self) -> list[dict[str, Any]]:
        alarms = [alarm for body in self._told.values() for alarm in body.get("alarms", [])]
        for name in NEEDED:
            silent = time.time() - self._told[name]["at"]
            if silent > SILENT_AFTER_S:
                since = datetime.fromtimestamp(self._told[name]["at"], UTC).isoformat(timespec="seconds")
                message = f"The {name} has told nothing for {silent:.0f} s."
                do = "It is started again by itself; if this stays, look into its log."
                alarms.append({"code": "silent", "message": message, "do": do, "since": since.replace("+00:00", "Z")})
        return alarms

    def _count(self) -> int:
        now = time.monotonic()
        if now - self._counted >= COUNT_EVERY_S:
            self._enrolled, self._counted = self._records.count_vehicles(), now
        return self._enrolled

    async def _on_metrics(self, _: str, data: bytes) -> None:
        body = orjson.loads(data)
        self._told[body["process"]] = body

    async def _on_parts(self, _: str, data: bytes) -> None:
        self._parts = orjson.loads(data)


def _flat(body: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    found: dict[str, float] = {}
    for key, value in body.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}_")
        elif isinstance(value, int | float) and key != "at":
            found[prefix + key] = value
    return found
