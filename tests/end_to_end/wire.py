"""A car that says exactly what a test wants, by the written wire and with the codec of examples/wire_client.py."""

from __future__ import annotations

import importlib.util
import json
import secrets
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import paho.mqtt.client as mqtt

from tests.zone import ROOT, RunningZone, until

_spec = importlib.util.spec_from_file_location("wire_client", ROOT / "examples" / "wire_client.py")
assert _spec is not None
assert _spec.loader is not None
wire = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wire)

SPEED, STATE, UNKNOWN = 0, 1, 2
TABLE = {"signals": [["Vehicle.Speed", "km/h"], ["Vehicle.LowVoltageSystemState", None], ["Vehicle.Warp", None]]}
Row = tuple[int, int, Any]


class WireCar:
    """One connected car of a zone with a queue of its own. What the zone answers is in `acks`."""

    def __init__(self, zone: RunningZone, name: str, *, hello: bool = True) -> None:
        self.zone, self.acks = zone, list[dict[str, Any]]()
        enrolled, place = zone.enrol(name)
        self.vehicle, self.queue = enrolled.vehicle.id, secrets.randbits(63) + 1
        self._topic, self._before = f"cc/1/default/{self.vehicle}", dict(zone.status()["stream"]["refused"])
        self.connected = self._granted = False
        self._client = client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, self.vehicle, reconnect_on_failure=False)
        client.tls_set(str(place / "ca.pem"), str(place / "vehicle.pem"), str(place / "vehicle.key"))
        client.max_inflight_messages_set(0)
        client.on_connect, client.on_message = self._on_connect, self._on_message
        client.on_disconnect, client.on_subscribe = self._on_disconnect, self._on_subscribe
        self.connect(place)
        if hello:
            self.hello()

    def connect(self, place: Path) -> None:
        """Connect with the credentials in a folder, and wait for it."""
        card = json.loads((place / "vehicle.json").read_text())
        self._client.connect(card["mqtt"]["host"], card["mqtt"]["port"])
        self._client.loop_start()
        until(lambda: self._granted, f"{self.vehicle} cannot connect")

    def __enter__(self) -> WireCar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.connected = not reason.is_failure
        client.subscribe(f"{self._topic}/dn/ack")

    def _on_subscribe(self, *_: Any) -> None:
        self._granted = True

    def _on_disconnect(self, *_: Any) -> None:
        self.connected = False

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.acks.append(json.loads(message.payload))

    # saying

    def hello(self, table: dict[str, Any] = TABLE) -> None:
        """Announce an id table under this car's queue."""
        self.publish("event", {"event": "hello", "queue": f"{self.queue:016x}", "table": table, "agent": "test/1"})

    def publish(self, kind: str, payload: bytes | dict[str, Any]) -> None:
        """Send a payload as it is."""
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(f"{self._topic}/up/{kind}", body, qos=1)

    def payload(self, number: int, rows: list[Row], table: dict[str, Any] = TABLE, provenance: int = 0) -> bytes:
        """Return a batch of this car's queue."""
        return bytes(wire.encode(wire.table_hash(table), self.queue, number, rows, provenance))

    def send(self, number: int, rows: list[Row], provenance: int = 0) -> None:
        """Send a batch."""
        self.publish("batch", self.payload(number, rows, provenance=provenance))

    # hearing

    def until_acked(self, number: int) -> None:
        """Wait until the zone says that all up to the number is done, and no more."""
        until(lambda: self.acked() >= number, f"{number} is not acknowledged: {self.acks}")
        assert self.acked() == number

    def acked(self) -> int:
        """Return the highest acknowledged number of this queue."""
        return max((ack["number"] for ack in self.acks if ack.get("queue") == f"{self.queue:016x}"), default=0)

    def told(self) -> dict[str, int]:
        """Return what the zone told this car of refusals, added up by cause."""
        total: dict[str, int] = {}
        for ack in self.acks:
            for cause, count in ack.get("refused", {}).items():
                total[cause] = total.get(cause, 0) + count
        return total

    def until_refused(self, **causes: int) -> None:
        """Wait until exactly so much is refused, by the zone's status and by what it told the car."""
        until(lambda: self._counted() == causes, f"refused: {self._counted()}, wanted: {causes}", 10)
        until(lambda: self.told() == causes, f"told: {self.told()}, wanted: {causes}", 5)

    def _counted(self) -> dict[str, int]:
        now = self.zone.status()["stream"]["refused"]
        more = {cause: count - self._before.get(cause, 0) for cause, count in now.items()}
        return {cause: count for cause, count in more.items() if count}

    # looking

    def lake(self, rows: int) -> list[list[Any]]:
        """Return this car's rows as [signal, time µs, value, text], once the lake has taken all there is."""
        until(self.zone.lake_is_level, "the lake does not take the chunks that are there")
        query = "select signal, epoch_us(time), value, text from samples where vehicle = $vehicle order by 1, 2, 3"
        found = self.zone.sql(query, vehicle=self.vehicle)
        assert len(found) == rows, found
        return found

    def quarantined(self) -> list[str]:
        """Return the causes of this car's entries in quarantine, sorted."""
        entries = self.zone.get("/v1/quarantine", limit=1000)["entries"]
        return sorted(entry["cause"] for entry in entries if entry["vehicle"] == self.vehicle)


def now_us() -> int:
    """Return the time, µs since 1970 UTC."""
    return time.time_ns() // 1000
