"""What more than one process needs to deal with orders: the order signers' keys, the way to them, the cloud's view."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from carcloud.backends.records import Records
from carcloud.errors import MissingError, TryLaterError
from carcloud.safety import sockets
from carcloud.safety.identity import Authority
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.keys import certify, orders_folder
from carcloud.safety.orders.server import SOCKET
from carcloud.safety.seal import keys_of
from carcloud.settings import Folder, Settings
from carcloud.twin.reader import TwinReader
from carcloud.vehicle.commands import CarState

FRESH_S = 60.0
BATTERY = "Vehicle.Powertrain.TractionBattery"
PATHS = {
    "speed_kmh": "Vehicle.Speed",
    "plugged": f"{BATTERY}.Charging.ChargingPort.AnyPosition.IsChargingCableConnected",
    "charge_pct": f"{BATTERY}.StateOfCharge.Current",
    "door_open": "Vehicle.Cabin.Door.Row1.DriverSide.IsOpen",
}
"""What an interlock asks about, as the catalogue names it."""


def certify_tenants(settings: Settings, folder: Folder, records: Records, authority: Authority) -> str:
    """Have every tenant's order signer certified, where the zone runs it itself; say whose could not be.

    Raises:
        MissingError: the root's key is kept elsewhere, and the home tenant needs it now.
    """
    if settings.orders.signer_socket:
        return ""
    certify(folder.orders, authority, settings.tenant)
    without = []
    for tenant in records.tenants.all():
        keys_of(folder.keys, tenant.name, settings.tenant)
        try:
            certify(orders_folder(folder.keys, tenant.name, settings.tenant), authority, tenant.name)
        except MissingError:
            without.append(tenant.name)
    return f"No orders for cars of {', '.join(without)}: the root's key is kept elsewhere." if without else ""


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
