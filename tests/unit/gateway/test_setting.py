"""Setting a value: the caller is asked, then the door, then the order signer; and both are named in what is noted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select
from test_outbox import Desk

from carcloud.backends.records.audit import pending
from carcloud.backends.records.orders import Order
from carcloud.errors import InputError, NotAllowedError
from carcloud.gateway.setting import set_value
from carcloud.safety.grants.reach import Part, Reach
from carcloud.safety.orders.doors import Doors, door_file, new_door
from carcloud.vehicle.commands import CarState

LOCKED = "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
COOL = "Vehicle.Cabin.HVAC.IsAirConditioningActive"


class Setting(Desk):
    """The desk, with a door that may lock, unlock and cool car a1."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.pair.clock.now = time.time()
        self.keys = folder / "zone"
        made = new_door(door_file(self.keys, "default", "viss"))
        can = ["lock", "unlock", "climate-start"]
        self.door = self.pair.people.add("viss", made, ["fleet"], ["a1"], "door", can, 600)

    def set(self, path: str, value: object, vehicle: str = "a1", parts: tuple[Part, ...] | None = None) -> Order:
        reach = Reach("default", parts)
        given = self.records, self.client, self.look, Doors(self.keys), reach, "token:t1", vehicle, path, value
        return asyncio.run(set_value(*given))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Setting]:
    made = Setting(tmp_path)
    yield made
    made.client.close()
    made.server.close()
    made.records.close()


def test_caller_and_door_are_noted(desk: Setting) -> None:
    order = desk.set(LOCKED, True)
    assert (order.command, order.role, order.keys) == ("lock", "fleet", desk.door.key)
    (row,) = desk.records.rows(select(pending).where(pending.c.action == "sendOrder"))
    assert (row.actor, row.object, row.outcome) == ("token:t1", f"order:{order.id}", "done")
    assert orjson.loads(row.facts)["keys"] == desk.door.key


def test_a_caller_by_grant_sets_what_the_grant_opens_and_the_door_may(desk: Setting) -> None:
    mine = (Part("a1", {}, frozenset({"lock", "climate-stop"})),)
    assert desk.set(LOCKED, True, parts=mine).command == "lock"
    with pytest.raises(NotAllowedError, match="No grant lets you order unlock"):
        desk.set(LOCKED, False, parts=mine)
    with pytest.raises(NotAllowedError, match="No door may order climate-stop"):
        desk.set(COOL, False, parts=mine)
    with pytest.raises(NotAllowedError, match="No grant"):
        desk.set(LOCKED, True, "b2", parts=mine)
    with pytest.raises(NotAllowedError, match="No door"):
        desk.set(LOCKED, True, "b2")
    assert [row[3] for row in desk.noted()] == ["done", "denied", "denied", "denied", "denied"]


def test_a_removed_door_and_a_car_that_must_not_set_nothing(desk: Setting) -> None:
    desk.states["a1"] = CarState(speed_kmh=60.0)
    with pytest.raises(NotAllowedError, match="moves"):
        desk.set(LOCKED, False)
    desk.pair.people.remove("viss")
    with pytest.raises(NotAllowedError, match="No door"):
        desk.set(LOCKED, True)
    with pytest.raises(InputError):
        desk.set("Vehicle.Speed", 3.0)
    assert desk.records.orders.listed("default") == []
