"""The courier between a real order signer and a real car's side of orders, on a line that a test interrupts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import socket
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.orders import Order
from carcloud.backends.records.plans import KeptPlan
from carcloud.gateway import orders
from carcloud.gateway.delivery import superseded
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


def document(name: str, version: int) -> bytes:
    said = {"purpose": "research", "basis": "consent", "budget": "1 MB", "until": "2099-01-01T00:00:00Z"}
    return canonical({"plan": name, "version": version, "signals": [SPEED], "priority": 5, **said})


class Line:
    """One car at the end of a line that loses the first messages to it."""

    def __init__(self, folder: Path, loses: int) -> None:
        self.pair = Pair(folder, Clock(time.time()))  # the courier goes by the time of day
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


class Desk:
    """Orders to the car on the line, and the courier that carries them."""

    def __init__(self, line: Line, records: Records) -> None:
        self.line, self.records, self.now = line, records, datetime.now(UTC)
        records.add_vehicle(Vehicle("car", "default", f"{'car':0>17}", None, "active", self.now))
        place = Path(tempfile.mkdtemp()) / "s"  # the path of a socket must be short
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(place))
        signers = OrderSigners([line.pair.signer])
        self.server, self.client = OrderServer(signers, listener), OrderSignerClient(lambda: place)
        self.server.start()

    async def look(self, _: str) -> CarState:
        return CarState()

    async def order(self, name: str, version: int) -> Order:
        text = document(name, version)
        digest = hashlib.sha256(text).hexdigest()
        self.records.plans.add(KeptPlan("default", name, version, digest, text, UNTIL, "person:ada", self.now))
        asked, signatures = self.line.pair.authorise("ada", "plan-take", "car", plan=digest)
        signed = [{"key": one.key, "signature": base64.b64encode(one.value).decode()} for one in signatures]
        mine = self.records, self.client, self.look, asked.decode(), signed, Reach("default"), "person:ada"
        (given,) = await give(*mine)
        return given

    async def carry(self) -> None:
        """Carry until nothing is open."""
        line: Any = self.line
        running = asyncio.create_task(Courier(line, line, self.records, self.client, self.look).run())
        async with asyncio.timeout(15):
            while self.records.orders.open("car"):
                await asyncio.sleep(0.05)
        running.cancel()

    def told(self, *orders: Order) -> list[tuple[str, str | None]]:
        found = [self.records.orders.order(one.id) for one in orders]
        return [(one.state, one.reason) for one in found]


@pytest.fixture
def desk(
    tmp_path: Path, records: Records, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Desk]:
    monkeypatch.setattr(orders, "ANSWER_S", 0.05)
    monkeypatch.setattr(orders, "PAUSES_S", (0.05,))
    desk = Desk(Line(tmp_path, request.param), records)
    yield desk
    desk.client.close()
    desk.server.close()


@pytest.mark.parametrize("desk", [1, 3], indirect=True)
def test_what_a_car_was_ordered_first_it_does_first_however_bad_the_line(desk: Desk) -> None:
    async def carry() -> list[Order]:
        given = [await desk.order(name, 1) for name in ("fast", "slow", "fair")]
        await desk.carry()
        return given

    given = asyncio.run(carry())
    ended = [desk.records.orders.order(one.id) for one in given]
    assert [one.state for one in ended] == ["done"] * 3
    assert [one.id for one in sorted(ended, key=lambda one: one.ended_at or UNTIL)] == [one.id for one in given]


@pytest.mark.parametrize("desk", [0, 3], indirect=True)
def test_a_later_version_replaces_an_older_one_that_the_car_was_not_told_of(desk: Desk) -> None:
    async def carry() -> list[Order]:
        given = [await desk.order("fast", 1), await desk.order("slow", 1), await desk.order("fast", 2)]
        await desk.carry()
        return given

    assert desk.told(*asyncio.run(carry())) == [("rejected", "superseded_plan"), ("done", None), ("done", None)]
    assert [(one.plan.name, one.plan.version) for one in desk.line.plans.current()] == [("fast", 2), ("slow", 1)]


@pytest.mark.parametrize("desk", [0], indirect=True)
def test_what_a_car_may_have_done_is_not_called_refused_where_a_later_version_replaces_it(desk: Desk) -> None:
    async def carry() -> list[Order]:
        given = [await desk.order("fast", 1), await desk.order("fast", 2)]
        desk.records.orders.advance(given[0].id, "delivered", None, desk.now, "process:orders")
        await desk.carry()
        return given

    assert desk.told(*asyncio.run(carry())) == [("expired", "no_result"), ("done", None)]
    assert [one.plan.version for one in desk.line.plans.current()] == [2]


@pytest.mark.parametrize(
    ("asked", "over"),
    [
        (["take fast/1", "take fast/2"], [0]),
        (["take fast/2", "take fast/1", "take slow/1"], [0]),
        (["take fast/1", "drop fast/1"], [0]),
        (["take fast/2", "drop fast/1"], []),
        (["take fast/1", "drop fast/1", "take fast/2"], [0, 1]),
        (["take fast/1", "take past/1", "drop past/1"], [1]),
        (["take past/1", "take past/2"], []),
        (["take fast/1", "lock"], []),
    ],
)
def test_which_orders_later_ones_replace(asked: list[str], over: list[int]) -> None:
    now = datetime.now(UTC)
    given, plans = list[Order](), dict[str, KeptPlan]()
    for at, words in enumerate(asked):
        command, _, label = words.partition(" ")
        name, _, version = label.partition("/")
        parameters = canonical({"plan": label} if label else {}).decode()
        command = f"plan-{command}" if label else command
        given.append(
            Order(str(at), "a", "default", "car", command, parameters, "fleet", "k", "queued", None, UNTIL, now)
        )
        until = now if name == "past" else UNTIL
        plans[label] = KeptPlan("default", name, int(version or 0), label, b"", until, "person:ada", now)
    assert [int(one.id) for one in superseded(given, plans, now)] == over
