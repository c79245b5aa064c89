"""The courier between a real order signer and a real car's side of orders, on a line that a test interrupts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.plans import KeptPlan
from carcloud.gateway import orders
from carcloud.gateway.orders import Courier
from carcloud.gateway.outbox import give
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import Queue
from carcloud.safety.grants.reach import Reach
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.server import OrderServer, OrderSigners
from carcloud.stream import subjects
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.commands import CarState
from carcloud.vehicle.order import canonical
from tests.unit.safety.orders.pair import Clock, Pair

SPEED = "Vehicle.Speed"
UNTIL = datetime(2099, 1, 1, tzinfo=UTC)


def document(version: int) -> bytes:
    said = {"purpose": "research", "basis": "consent", "budget": "1 MB", "until": "2099-01-01T00:00:00Z"}
    return canonical({"plan": "fast", "version": version, "signals": [SPEED], "priority": 5, **said})


class Line:
    """One car at the end of a line that loses the first messages to it."""

    def __init__(self, folder: Path, loses: int) -> None:
        self.pair = Pair(folder, Clock())
        self.pair.person("ada", "fleet")
        self.plans = Plans(Queue(folder / "car.queue"), Catalogue([Signal(SPEED, "float", "km/h")]), [SPEED])
        self.car = self.pair.car("car", None, self.plans)
        self.loses = loses
        self._hear: Callable[[str, bytes], Awaitable[None]] | None = None

    async def listen(self, subject: str, hear: Callable[[str, bytes], Awaitable[None]]) -> None:
        if subject == subjects.order_results("*", "*"):
            self._hear = hear

    async def publish(self, subject: str, data: bytes) -> None:
        if subject == subjects.plan("default", "car"):
            self.plans.hear(data)
        elif subject == subjects.order("default", "car"):
            self.loses -= 1
            if self.loses < 0:
                assert self._hear is not None
                for answer in self.car.hear(data):
                    await self._hear(subjects.order_results("default", "car"), answer)


@pytest.mark.parametrize("loses", [1, 3])
def test_what_a_car_was_ordered_first_it_does_first_however_bad_the_line(
    tmp_path: Path, records: Records, monkeypatch: pytest.MonkeyPatch, loses: int
) -> None:
    monkeypatch.setattr(orders, "ANSWER_S", 0.05)
    monkeypatch.setattr(orders, "PAUSES_S", (0.05,))
    line, now = Line(tmp_path, loses), datetime.now(UTC)
    records.add_vehicle(Vehicle("car", "default", f"{'car':0>17}", None, "active", now))
    place = Path(tempfile.mkdtemp()) / "s"  # the path of a socket must be short
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(place))
    server, client = OrderServer(OrderSigners([line.pair.signer]), listener), OrderSignerClient(lambda: place)
    server.start()

    async def look(_: str) -> CarState:
        return CarState()

    async def order(version: int) -> None:
        text = document(version)
        digest = hashlib.sha256(text).hexdigest()
        records.plans.add(KeptPlan("default", "fast", version, digest, text, UNTIL, "person:ada", now))
        asked, signatures = line.pair.authorise("ada", "plan-take", "car", plan=digest)
        signed = [{"key": one.key, "signature": base64.b64encode(one.value).decode()} for one in signatures]
        await give(records, client, look, asked.decode(), signed, Reach("default"), "person:ada")

    async def carry() -> None:
        for version in (1, 2):
            await order(version)
        running = asyncio.create_task(Courier(line, line, records, client, look).run())  # type: ignore[arg-type]
        async with asyncio.timeout(15):
            while records.orders.open("car"):
                await asyncio.sleep(0.05)
        running.cancel()

    asyncio.run(carry())
    client.close()
    server.close()
    assert [one.state for one in records.orders.listed("default")] == ["done", "done"]
    assert [one.plan.version for one in line.plans.current()] == [2]
