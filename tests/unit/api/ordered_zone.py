"""A served API whose cars can be ordered about: a real order signer behind its socket, and a door's key."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import AsyncGenerator, Collection, Mapping
from pathlib import Path
from typing import Any

from served import CARS, MOMENT_US, Zone, enrol

from carcloud.api.ports import Last, OrderDesk
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.doors import door_file, new_door
from carcloud.safety.orders.server import OrderServer, OrderSigners
from carcloud.settings import CORE
from carcloud.vehicle.catalogue import parse
from carcloud.vehicle.commands import CarState
from tests.unit.safety.orders.pair import Clock, Pair

CATALOGUE = parse(CORE.read_bytes(), "core.yaml")


class Now(Clock):
    """The clock that doors look at too."""

    def __call__(self) -> float:
        return time.time()


class OrderedZone(Zone):
    """The API, the order signer, and what the cloud knows of the cars."""

    def __init__(self, folder: Path) -> None:
        self.pair = Pair(folder / "signer", Now())
        place = Path(tempfile.mkdtemp()) / "s"  # the path of a socket must be short
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(place))
        self._signers = OrderServer(OrderSigners([self.pair.signer]), listener)
        self._signers.start()
        self._client = OrderSignerClient(lambda: place)
        self.states: dict[str, CarState] = {}
        super().__init__(folder, CATALOGUE, OrderDesk(self._client, self._look, self._moves))
        enrol(self)
        self.at_us = MOMENT_US

    async def _look(self, vehicle: str) -> CarState:
        return self.states.get(vehicle, CarState())

    async def _moves(self) -> AsyncGenerator[Mapping[str, Any] | None, None]:
        yield None

    def door(self, *commands: str, name: str = "viss", cars: Collection[str] = CARS[:1], within_s: int = 600) -> Path:
        """Make a door's key; return where its private half lies."""
        file = door_file(self.ports.keys, "default", name)
        self.pair.people.add(name, new_door(file), ["fleet"], list(cars), "door", commands, within_s)
        return file

    def say(self, path: str, value: Any, vehicle: str = CARS[0]) -> None:
        """Have a car say something, a second after the last."""
        self.at_us += 1_000_000
        self.twin.put(vehicle, path, Last(value, self.at_us, "simulated"))

    def stop(self) -> None:
        super().stop()
        self._client.close()
        self._signers.close()
