"""A car that is ordered about, a person who orders, and an attacker who has taken everything between the two.

Run as a program it is the car, in a process of its own that can be killed: CREDENTIALS QUEUE FILE SECONDS.
"""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.assembly.orders import cloud_view, signer_client
from carcloud.assembly.records import open_records
from carcloud.backends.nats import Bus
from carcloud.backends.records.orders import Order
from carcloud.gateway.outbox import give
from carcloud.onboard.agent import Agent
from carcloud.onboard.queue import Queue
from carcloud.safety.grants.reach import Reach
from carcloud.safety.orders.authorisation import Signature, draft, sign
from carcloud.safety.orders.keys import orders_folder
from carcloud.safety.orders.people import People
from carcloud.settings import Settings
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader
from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.commands import CarState, Parameters
from tests.zone import RunningZone, until

TABLE = IdTable((("Vehicle.Speed", "km/h"),))
ENDED = ("rejected", "done", "failed", "expired")
T = TypeVar("T")


@dataclass
class Body:
    """A car's body that writes down what it was made to do, and may take its time."""

    speed_kmh: float = 0.0
    takes_s: float = 0.0
    file: Path | None = None
    done: list[str] = field(default_factory=list)

    def state(self) -> CarState:
        return CarState(self.speed_kmh, True, 80.0, False)

    def carry_out(self, command: str, parameters: Parameters) -> None:
        self.done.append(command)
        if self.file is not None:
            with self.file.open("a") as file:
                file.write(f"{command}\n")
        time.sleep(self.takes_s)


class OrderedCar:
    """A tenant's enrolled car with its agent, connected."""

    def __init__(self, zone: RunningZone, name: str, tenant: str = "default") -> None:
        enrolment, self.place = zone.enrol(name, tenant)
        self.tenant = tenant
        self.id, self.zone, self.body = enrolment.vehicle.id, zone, Body()
        self._queue = zone.data / f"{name}.queue"
        self.start()

    def start(self) -> None:
        """Boot the car: a new epoch begins."""
        self.agent = Agent(self.place, Queue(self._queue), TABLE, self.body)
        self.agent.start()
        until(lambda: self.agent.connected, "the car did not connect")

    def stop(self) -> None:
        """Switch the car off."""
        self.agent.stop()

    def reboot(self) -> None:
        """Switch the car off and on."""
        self.stop()
        self.start()


class Taken:
    """Everything between person and car, taken over: the broker's passwords, the records, the order signer's socket."""

    def __init__(self, zone: RunningZone) -> None:
        self.zone = zone
        self.heard: list[tuple[str, bytes]] = []
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.vehicles = self.run(Bus.connect(zone.file.bus("vehicles"), "attacker"))
        self.cloud = self.run(Bus.connect(zone.file.bus("cloud"), "attacker"))
        self.run(self.vehicles.listen("cc.1.>", self._hear))
        self.client = signer_client(Settings(), zone.folder)
        self.signer = self.client.of("default")
        self.records = open_records(Settings(), zone.folder)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something on the bus."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _hear(self, subject: str, data: bytes) -> None:
        self.heard.append((subject, data))

    def said(self, subject: str) -> list[bytes]:
        """Return what was heard on a subject."""
        return [data for name, data in list(self.heard) if name == subject]

    def tell(self, vehicle: str, message: bytes, tenant: str = "default") -> list[bytes]:
        """Give a car a message as if it came from the zone; return all it says in the next moment."""
        answers = subjects.order_results(tenant, vehicle)
        before = len(self.said(answers))
        self.run(self.vehicles.publish(subjects.order(tenant, vehicle), message))
        self.run(self.vehicles.flush())
        deadline = time.monotonic() + 3
        while len(self.said(answers)) == before and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.said(answers)[before:]

    def claim(self, vehicle: str, message: bytes) -> None:
        """Say something to the zone as if it came from a car."""
        self.run(self.vehicles.publish(subjects.order_results("default", vehicle), message))
        self.run(self.vehicles.flush())

    def session(self, vehicle: str, domain: int = 1, role: str = "fleet") -> None:
        """Open a session between order signer and car, by hand."""
        (answer,) = self.tell(vehicle, self.signer.begin(vehicle, domain, role))[:1]
        self.signer.open(vehicle, answer)

    def signed(self, vehicle: str, text: bytes, signatures: list[Signature]) -> bytes:
        """Have an authorised order signed behind the courier's back."""
        made = self.signer.sign(vehicle, text.decode(), as_sent(signatures))
        if made is None:
            self.session(vehicle)
            made = self.signer.sign(vehicle, text.decode(), as_sent(signatures))
        assert isinstance(made, bytes)
        return made

    def give(self, text: bytes, signatures: list[Signature], tenant: str = "default") -> Order:
        """Give an order by the front door, as the command line does."""
        look = cloud_view(TwinReader(self.cloud))
        (queued,) = self.run(
            give(self.records, self.client, look, text.decode(), as_sent(signatures), Reach(tenant), "machine")
        )
        self.run(self.cloud.publish(subjects.ORDERED, queued.vehicle.encode()))
        return queued

    def outcome(self, order: Order, patience_s: float = 30) -> Order:
        """Wait until an order has ended."""
        until(
            lambda: self.records.orders.order(order.id).state in ENDED,
            f"the order did not end: {self.records.orders.order(order.id)}",
            patience_s,
        )
        return self.records.orders.order(order.id)

    def close(self) -> None:
        """Let go of it all."""
        self.run(self.vehicles.close())
        self.run(self.cloud.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.client.close()
        self.records.close()


class Person:
    """A person with a key that is registered with a tenant's order signer."""

    role = "fleet"

    def __init__(self, zone: RunningZone, name: str, folder: Path | None = None, tenant: str = "default") -> None:
        self.key, self.tenant = ec.generate_private_key(ec.SECP256R1()), tenant
        People(folder or orders_folder(zone.folder.keys, tenant, "default")).add(
            name, self.key.public_key(), [self.role], (), "given"
        )

    def authorise(
        self, command: str, *vehicles: str, lasts_s: int = 60, **parameters: float | str
    ) -> tuple[bytes, list[Signature]]:
        """Sign an authorisation."""
        now = int(time.time())
        text = draft(self.tenant, vehicles, command, parameters, self.role, now, now + lasts_s)
        return text, [sign(self.key, text)]


def as_sent(signatures: list[Signature]) -> list[dict[str, str]]:
    """Return signatures as they travel."""
    return [{"key": one.key, "signature": base64.b64encode(one.value).decode()} for one in signatures]


def car_process(car: OrderedCar, file: Path, takes_s: float) -> subprocess.Popen[bytes]:
    """Run a car that is switched off as a process that can be killed; what it does it writes into the file."""
    command = [sys.executable, "-m", "tests.attacks.ordered", str(car.place), str(car._queue), str(file), str(takes_s)]
    return subprocess.Popen(command, cwd=Path(__file__).parents[2])


if __name__ == "__main__":
    place, queue, told, takes = sys.argv[1:]
    body = Body(takes_s=float(takes), file=Path(told))
    Agent(Path(place), Queue(Path(queue)), TABLE, body).start()
    threading.Event().wait()
