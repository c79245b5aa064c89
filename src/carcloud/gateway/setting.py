"""Setting a value of a car: what a caller may order becomes an order that a door signs.

Rules:
* Nothing can be set but what the table of settable actuators names, within its bounds.
* The caller is asked first: what they may not order of this car, no door signs.
* The order signer asks again, of the door: what its key is not registered for is refused, whoever asks.
* The order is noted in the caller's name, with the door's key.
"""

from __future__ import annotations

import asyncio

from carcloud.backends.records import Entry, Records
from carcloud.backends.records.orders import Order
from carcloud.errors import NotAllowedError
from carcloud.gateway.orders import Look
from carcloud.gateway.outbox import check, give
from carcloud.safety.grants.reach import Reach
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.doors import Doors, Signed
from carcloud.vehicle.commands import Parameters
from carcloud.vehicle.settable import order_of


async def set_value(
    records: Records,
    signer: OrderSignerClient,
    look: Look,
    doors: Doors,
    reach: Reach,
    actor: str,
    vehicle: str,
    path: str,
    value: object,
) -> Order:
    """Queue the order that sets an actuator of a car. Tell the courier afterwards.

    Args:
        reach: what the caller may order.

    Raises:
        InputError: this cannot be set, or not to this value.
        NotAllowedError: the caller may not order it, no door may, or the car's state forbids it now.
        MissingError, ConflictError, TryLaterError: as of any order.
    """
    signed = await _signed(records, signer, doors, reach, actor, vehicle, path, value)
    (queued,) = await give(records, signer, look, signed.text, signed.signatures, reach, actor)
    return queued


async def check_value(
    records: Records,
    signer: OrderSignerClient,
    look: Look,
    doors: Doors,
    reach: Reach,
    actor: str,
    vehicle: str,
    path: str,
    value: object,
) -> None:
    """Raise what `set_value` would raise now, and order nothing."""
    signed = await _signed(records, signer, doors, reach, actor, vehicle, path, value)
    await check(records, signer, look, signed.text, signed.signatures, reach, actor)


async def _signed(
    records: Records,
    signer: OrderSignerClient,
    doors: Doors,
    reach: Reach,
    actor: str,
    vehicle: str,
    path: str,
    value: object,
) -> Signed:
    command, parameters = order_of(path, value)
    try:
        return await asyncio.to_thread(_sign, signer, doors, reach, vehicle, command, parameters)
    except NotAllowedError as error:
        facts = {"command": command, "vehicles": 1, "code": error.code}
        denied = Entry(actor, "sendOrder", f"vehicle:{vehicle}", "denied", facts, tenant=reach.tenant)
        await asyncio.to_thread(records.audit.add, denied)
        raise


def _sign(
    signer: OrderSignerClient, doors: Doors, reach: Reach, vehicle: str, command: str, parameters: Parameters
) -> Signed:
    if not reach.orders(vehicle, command):
        message = f"No grant lets you order {command} ({vehicle})."
        raise NotAllowedError(message, "Ask the car's owner, or who runs the zone, for one.")
    return doors.sign(reach.tenant, vehicle, command, parameters, signer.of(reach.tenant).people())
