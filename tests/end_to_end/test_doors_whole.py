"""The doors to the twin of a running zone: others' clients read, follow and set a simulated car."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from kuksa_client.grpc import Datapoint, VSSClientError
from kuksa_client.grpc.aio import VSSClient
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from carcloud.onboard.drive import drive
from carcloud.onboard.simulator import Simulator
from carcloud.safety.orders.doors import door_file
from carcloud.safety.people.register import Register
from tests.zone import RunningZone, carcloud, running_zone, until

SPEED, LOCKED = "Vehicle.Speed", "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
WARM = "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature"
MAY = ("lock", "unlock", "climate-temperature")

pytestmark = pytest.mark.timeout(600)


class Seen:
    """A zone with a car, a program that may set values, and a door."""

    def __init__(self, zone: RunningZone) -> None:
        self.zone = zone
        enrolment, self.place = zone.enrol("sim-000")
        self.car = enrolment.vehicle.id
        records = zone.records()
        _, self.secret = Register(records).make_token(None, "app", ["fleet"], 30, "default", None)
        records.close()
        self.http = httpx.Client(
            base_url=f"{zone.url}/v1/vehicles/{self.car}",
            headers={"Authorization": f"Bearer {self.secret}"},
            timeout=20,
            trust_env=False,
        )

    def door(self, name: str, *options: str) -> None:
        commands = [word for command in MAY for word in ("--command", command)]
        made = carcloud("operator", "door", name, *commands, "--data", str(self.zone.data), *options)
        assert made.returncode == 0, made.stderr

    def close(self, name: str) -> None:
        assert carcloud("operator", "remove", name, "--data", str(self.zone.data)).returncode == 0
        assert not door_file(self.zone.folder.keys, "default", name).exists()

    def set(self, path: str, value: str) -> httpx.Response:
        return self.http.post(f"/viss/{path}", json={"value": value})

    def desired(self, path: str) -> dict[str, Any]:
        found = self.http.get("/desired").json()["desired"]
        return {one["path"]: one for one in found}.get(path, {})

    def until(self, path: str, state: str) -> dict[str, Any]:
        until(lambda: self.desired(path).get("state") == state, f"{path} is not {state}: {self.desired(path)}")
        return self.desired(path)

    @contextmanager
    def driving(self, folder: Path) -> Iterator[None]:
        """Let the car drive; it stands at first, so that it can be unlocked."""
        simulator, stop = Simulator(1, 4, time.time_ns() // 1000), threading.Event()
        simulator._cars["sim-000"].rest_s = 3600.0
        given = (simulator, {"sim-000": self.place}, folder)
        running = threading.Thread(target=drive, args=given, kwargs={"stop": stop, "body": simulator.body})
        running.start()
        try:
            yield
        finally:
            stop.set()
            running.join()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with running_zone(tmp_path_factory.mktemp("doors")) as zone:
        made = Seen(zone)
        yield made
        made.http.close()


def test_a_car_that_was_away_is_set_when_it_returns_and_others_clients_see_it(seen: Seen, tmp_path: Path) -> None:
    assert seen.set(LOCKED, "false").json()["error"]["reason"] == "forbidden_request", "no door was made"
    seen.door("apps")
    assert seen.set(LOCKED, "false").status_code == 200
    assert seen.desired(LOCKED)["state"] == "waiting"
    with seen.driving(tmp_path / "queues"):
        found = seen.until(LOCKED, "converged")
        assert (found["wanted"], found["reported"]) == (False, False)
        listed = carcloud("vehicle", "desired", seen.car, "--data", str(seen.zone.data))
        assert "converged" in listed.stdout, listed.stderr
        asyncio.run(_by_kuksa(seen))
        _by_viss(seen)


async def _by_kuksa(seen: Seen) -> None:
    async with VSSClient("127.0.0.1", seen.zone.file.kuksa, token=f"{seen.car}:{seen.secret}") as car:
        values = await car.get_current_values([SPEED, LOCKED])
        assert (values[SPEED].value, values[LOCKED].value) == (0.0, False)
        await car.set_target_values({WARM: Datapoint(24.5)})
        async with asyncio.timeout(60):
            async for updates in car.subscribe_current_values([WARM]):
                if WARM in updates and updates[WARM] is not None and updates[WARM].value == 24.5:
                    break
        with pytest.raises(VSSClientError):
            await car.set_current_values({SPEED: Datapoint(30.0)})


def _by_viss(seen: Seen) -> None:
    address = f"{seen.zone.url.replace('http', 'ws')}/v1/vehicles/{seen.car}/viss"
    with connect(address, subprotocols=[Subprotocol("VISSv3")], proxy=None) as socket:

        def ask(**said: Any) -> dict[str, Any]:
            socket.send(json.dumps({"authorization": seen.secret, "requestId": "1"} | said))
            return next(one for one in _messages(socket.recv) if one.get("requestId") == "1")

        assert ask(action="get", path=WARM)["data"]["dp"]["value"] == "24.5"
        flips = {"variant": "change", "parameter": {"logic-op": "gt", "diff": "0"}}
        assert "subscriptionId" in ask(action="subscribe", path=LOCKED, filter=flips)
        time.sleep(0.5)
        assert "error" not in ask(action="set", path=LOCKED, value="true")
        event = next(one for one in _messages(socket.recv) if one["action"] == "subscription")
        assert event["data"]["dp"]["value"] == "true"


def _messages(receive: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    while True:
        yield json.loads(receive(timeout=60))


def test_what_a_car_is_not_there_for_expires(seen: Seen) -> None:
    seen.close("apps")
    assert seen.set(LOCKED, "true").json()["error"]["reason"] == "forbidden_request", "the door is closed"
    seen.door("brief", "--within", "2")
    assert seen.set(WARM, "18").status_code == 200
    found = seen.until(WARM, "expired")
    assert (found["wanted"], found["reason"]) == (18, "not_delivered")
