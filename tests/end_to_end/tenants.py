"""Tenants with a car each, on one zone: every batch is numbered, and its way to the acknowledgement is timed."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import paho.mqtt.client as mqtt

from carcloud.backends.records import Quotas
from carcloud.gateway.enrolment import Endpoints, enrol, write_credentials
from carcloud.gateway.garage import stand_in_vin
from carcloud.safety import tenants
from carcloud.safety.identity import Authority
from carcloud.safety.people.register import MACHINE, Register
from carcloud.settings import Settings, catalogue_in_force
from carcloud.stream import subjects
from carcloud.vehicle.batch import IdTable
from tests.stream import batch, hello
from tests.zone import RunningZone, told

SPEED = "Vehicle.Speed"
TABLE = IdTable(((SPEED, "km/h"),))
QUEUE = 7
ROWS = 5
LIMIT_OPEN = 20


class TenantCar:
    """A tenant's only car. `delays_s`: from sending a batch until its acknowledgement, batch by batch."""

    def __init__(self, zone: RunningZone, tenant: str, place: Path, token: str) -> None:
        self.tenant, self.token = tenant, token
        self.id = json.loads((place / "vehicle.json").read_text())["id"]
        self._topic = f"cc/1/{tenant}/{self.id}"
        self._zone, self.sent, self.acked, self.connected = zone, 0, 0, threading.Event()
        self.sent_at: dict[int, float] = {}
        self.delays_s: list[float] = []
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, self.id, protocol=mqtt.MQTTv311)
        self.mqtt.tls_set(str(place / "ca.pem"), str(place / "vehicle.pem"), str(place / "vehicle.key"))
        self.mqtt.max_inflight_messages_set(1000)
        self.mqtt.on_connect, self.mqtt.on_message = self._greet, self._hear

    def start(self) -> None:
        """Connect, in a thread of its own."""
        self.mqtt.connect("127.0.0.1", self._zone.file.mqtt, 60)
        self.mqtt.loop_start()

    def stop(self) -> None:
        """Leave."""
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def send(self) -> None:
        """Send the next batch."""
        self.sent += 1
        self._publish(self.sent)

    def flood(self, first: int, last: int) -> None:
        """Send batches again and again that are in nobody's way but the others'."""
        for number in range(first, last):
            self._publish(number)

    def again(self) -> None:
        """Send again what is not acknowledged, as an agent does."""
        for number in range(self.acked + 1, min(self.sent, self.acked + LIMIT_OPEN) + 1):
            self._publish(number)

    def _publish(self, number: int) -> None:
        base_us = 1_790_000_000_000_000 + number * 1_000_000
        rows = [(SPEED, base_us + at * 1000, float(number % 200)) for at in range(ROWS)]
        self.sent_at.setdefault(number, time.monotonic())
        self.mqtt.publish(f"{self._topic}/up/batch", batch(rows, QUEUE, number, provenance=1, table=TABLE), 1)

    def _greet(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(f"{self._topic}/dn/ack", 0)
        client.publish(f"{self._topic}/up/event", hello(QUEUE, TABLE), 1)
        self.connected.set()

    def _hear(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        said, now = json.loads(message.payload), time.monotonic()
        if "number" not in said:
            return
        for number in range(self.acked + 1, int(said["number"]) + 1):
            if number in self.sent_at:
                self.delays_s.append(now - self.sent_at[number])
        self.acked = max(self.acked, int(said["number"]))


def made(zone: RunningZone, names: Sequence[str], quotas: dict[str, Quotas]) -> list[TenantCar]:
    """Make tenants with an operator, a token for a program, and a car each, not yet connected."""
    found, home = [], "default"
    settings = Settings()
    endpoints = Endpoints("localhost", zone.file.mqtt, f"https://localhost:{zone.file.https}")
    with contextlib.closing(zone.records()) as records:
        catalogue, authority = catalogue_in_force(settings, zone.folder), Authority(zone.folder.keys)
        for name in names:
            wanted = tenants.Wanted(name, quotas=quotas.get(name, Quotas()))
            tenants.create(records, zone.folder.keys, home, catalogue, wanted, MACHINE)
            roles = ["operator", "engineer"]
            _, token = Register(records).make_token(None, "test", roles, 1, name)
            car = enrol(records, authority, stand_in_vin(name), endpoints, tenant=name)
            place = zone.data / "credentials" / name
            write_credentials(car, place)
            found.append(TenantCar(zone, name, place, token))
    told(zone, subjects.TENANT, b"")
    return found


@contextmanager
def driving(cars: Sequence[TenantCar], patience_s: float = 60) -> Iterator[None]:
    """Have the cars connected meanwhile."""
    for car in cars:
        car.start()
    try:
        assert all(car.connected.wait(patience_s) for car in cars), "not all cars came in"
        yield
    finally:
        for car in cars:
            car.stop()


class Flood:
    """A car that sends without an end, in a thread, many times its tenant's quota."""

    def __init__(self, car: TenantCar, messages_per_s: int = 300) -> None:
        self._car, self._pause_s = car, 10 / messages_per_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.messages = 0

    def __enter__(self) -> Flood:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            self._car.flood(self._car.acked + 1, self._car.acked + 11)
            self.messages += 10


def quantile(delays_s: Sequence[float], share: float) -> float:
    """Return a quantile of delays."""
    ordered = sorted(delays_s)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
