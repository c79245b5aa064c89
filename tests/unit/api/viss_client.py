"""A client of the VISS door that knows the public specification only, and the zone it meets."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from ordered_zone import OrderedZone
from served import CARS, TOKEN
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from carcloud.safety.people.register import Register

CAR, OTHER, THIRD = CARS
SPEED, LOCKED = "Vehicle.Speed", "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
WIDE = "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def opened_zone(folder: Path) -> OrderedZone:
    """Return a zone, started, whose door may lock, unlock and warm its first car."""
    made = OrderedZone(folder)
    made.door("lock", "unlock", "climate-temperature")
    made.start()
    return made


def headers_of(zone: OrderedZone, role: str, app: str | None = None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(zone, role, app)}"}


def filter_of(variant: str, parameter: Any) -> dict[str, str]:
    """Return a filter as it stands in an address."""
    return {"filter": json.dumps({"variant": variant, "parameter": parameter})}


class Client:
    """A client as the specification has it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.number, self.events = socket, 0, list[dict[str, Any]]()

    def ask(self, action: str, **said: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"action": action, "requestId": str(self.number)} | said))
        while (answer := self.receive()).get("action") == "subscription":
            self.events.append(answer)
        assert (answer["action"], answer["requestId"]) == (action, str(self.number))
        assert answer["ts"].endswith("Z")
        return answer

    def receive(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv(timeout=15))
        return found

    def event(self) -> dict[str, Any]:
        found = self.events.pop(0) if self.events else self.receive()
        assert found["action"] == "subscription"
        return found

    def subscribe(self, path: str, variant: str, parameter: Any, **more: Any) -> str:
        answer = self.ask("subscribe", path=path, filter={"variant": variant, "parameter": parameter}, **more)
        assert "error" not in answer, answer
        return str(answer["subscriptionId"])


def opened(zone: OrderedZone, car: str = CAR, headers: dict[str, str] | None = BEARER, **more: Any) -> ClientConnection:
    address = f"{zone.url.replace('http', 'ws')}/v1/vehicles/{car}/viss"
    known = {"subprotocols": [Subprotocol("VISSv3")], "additional_headers": headers, "proxy": None}
    return connect(address, **known | more)


def token(zone: OrderedZone, role: str, app: str | None = None) -> str:
    return Register(zone.records).make_token(None, role, [role], 30, "default", app)[1]


def until(question: Any) -> None:
    deadline = time.monotonic() + 15
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)
