"""Orders to take and drop plans: the document is what was signed for, or nothing happens."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import Queue
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.commands import Domain
from carcloud.vehicle.order import Fault, Refused, canonical
from tests.unit.safety.orders.pair import Clock, Pair

COLLECTION = int(Domain.COLLECTION)
DONE = [("accepted", None), ("done", None)]
SPEED = "Vehicle.Speed"
CATALOGUE = Catalogue([Signal(SPEED, "float", "km/h"), Signal("Vehicle.Heat", "float", "Celsius")])
PLAN = {
    "plan": "fast",
    "version": 1,
    "signals": [SPEED],
    "purpose": "research",
    "basis": "consent",
    "budget": "1 MB",
    "until": "2099-01-01T00:00:00Z",
    "priority": 5,
}


class Road:
    """A fleet's signer and one car with a queue."""

    def __init__(self, folder: Path) -> None:
        self.pair = Pair(folder, Clock())
        self.pair.person("ada", "fleet")
        self.queue = Queue(folder / "car.queue")
        self.plans = Plans(self.queue, CATALOGUE, [SPEED])
        self.car = self.pair.car("car", None, self.plans)
        self.pair.handshake("car", self.car, COLLECTION)

    def order(self, command: str, text: bytes) -> bytes:
        asked = self.pair.authorise("ada", command, "car", plan=hashlib.sha256(text).hexdigest())
        self.asked = asked
        return self.again()

    def again(self) -> bytes:
        return self.pair.signed("car", *self.asked).encode()

    def tell(self, message: bytes) -> list[tuple[str, str | None]]:
        return self.pair.tell("car", self.car, message)


@pytest.fixture
def road(tmp_path: Path) -> Road:
    return Road(tmp_path)


def test_a_plan_is_taken_and_dropped_by_signed_order(road: Road) -> None:
    text = canonical(PLAN)
    road.plans.hear(text)
    assert road.tell(road.order("plan-take", text)) == DONE
    assert [kept.name for kept in road.queue.plans()] == ["fast"]
    assert road.tell(road.order("plan-drop", text)) == DONE
    assert road.queue.plans() == []


def test_without_its_document_an_order_is_not_noted_and_can_come_again(road: Road) -> None:
    text = canonical(PLAN)
    message = road.order("plan-take", text)
    (answer,) = road.car.hear(message)
    assert Refused.decode(answer).fault == Fault.DOCUMENT
    road.plans.hear(text.replace(b"fast", b"slow"))
    (answer,) = road.car.hear(road.again())
    assert Refused.decode(answer).fault == Fault.DOCUMENT, "another document does not stand in"
    road.plans.hear(text)
    assert road.tell(road.again()) == DONE


def test_a_plan_that_this_car_cannot_do_is_rejected_with_the_reason(road: Road) -> None:
    for text, reason in (
        (canonical(PLAN | {"signals": ["Vehicle.Heat"]}), "unsupported"),
        (canonical(PLAN | {"signals": ["Vehicle.Nothing"]}), "wrong_plan"),
        (b"no plan at all", "wrong_plan"),
    ):
        road.plans.hear(text)
        assert road.tell(road.order("plan-take", text)) == [("rejected", reason)]
    assert road.queue.plans() == []


def test_a_car_that_collects_nothing_takes_no_plan(tmp_path: Path) -> None:
    pair = Pair(tmp_path, Clock())
    pair.person("ada", "fleet")
    car = pair.car("car", None)
    pair.handshake("car", car, COLLECTION)
    asked = pair.authorise("ada", "plan-take", "car", plan="0" * 64)
    assert pair.tell("car", car, pair.signed("car", *asked).encode()) == [("rejected", "unsupported")]
