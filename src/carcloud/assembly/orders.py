"""What more than one process needs to deal with orders: the way to the order signer, and the cloud's view of a car."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from carcloud.api.ports import OrderDesk
from carcloud.backends.nats import Bus
from carcloud.errors import TryLaterError
from carcloud.safety import sockets
from carcloud.safety.orders.server import SOCKET, OrderSignerClient
from carcloud.settings import Folder, Settings
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader
from carcloud.vehicle.commands import CarState

FRESH_S = 60.0
QUIET_S = 10.0
LIMIT_WAITING = 1000
BATTERY = "Vehicle.Powertrain.TractionBattery"
PATHS = {
    "speed_kmh": "Vehicle.Speed",
    "plugged": f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected",
    "charge_pct": f"{BATTERY}.StateOfCharge.Current",
    "door_open": "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen",
}
"""What an interlock asks about, as the catalogue names it."""


def signer_client(settings: Settings, folder: Folder) -> OrderSignerClient:
    """Return the way to the zone's order signer, or to another user's where the settings name its socket."""
    elsewhere = settings.orders.signer_socket
    return OrderSignerClient(lambda: Path(elsewhere) if elsewhere else sockets.socket_path(folder.run, SOCKET))


def cloud_view(twin: TwinReader) -> Callable[[str], Awaitable[CarState]]:
    """Return what tells a car's state as the twin knows it: what is older than a minute is not known."""

    async def look(vehicle: str) -> CarState:
        try:
            found = await twin.get(vehicle, list(PATHS.values()))
        except TryLaterError:
            return CarState()
        oldest_us = (time.time() - FRESH_S) * 1e6
        fresh: dict[str, Any] = {
            name: found[path].value for name, path in PATHS.items() if path in found and found[path].time_us > oldest_us
        }
        for name in ("plugged", "door_open"):
            if name in fresh:
                fresh[name] = bool(fresh[name])
        return CarState(**fresh)

    return look


def order_desk(settings: Settings, folder: Folder, cloud: Bus) -> OrderDesk:
    """Return what the API needs to take orders."""
    return OrderDesk(signer_client(settings, folder), cloud_view(TwinReader(cloud)), partial(_watch, cloud))


async def _watch(cloud: Bus) -> AsyncGenerator[Mapping[str, Any] | None, None]:
    """Yield what the courier tells of orders; a reader that is too slow loses the oldest, and asks for the list."""
    told: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(LIMIT_WAITING)

    async def heard(_: str, data: bytes) -> None:
        if told.full():
            told.get_nowait()
        told.put_nowait(orjson.loads(data))

    stop = await cloud.listen(subjects.ORDER_CHANGED, heard)
    try:
        while True:
            try:
                async with asyncio.timeout(QUIET_S):
                    change = await told.get()
            except TimeoutError:
                yield None
            else:
                yield change
    finally:
        await stop()
