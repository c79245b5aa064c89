"""The door for terminals that speak GB/T 32960. Runs only where the settings give it a port."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import ssl
from collections import Counter
from typing import Any

import orjson

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.records import records_of
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import TryLaterError
from carcloud.gateway.gate import Gate
from carcloud.gateway.gbt32960.admission import Admission
from carcloud.gateway.gbt32960.delivery import Delivery
from carcloud.gateway.gbt32960.door import Door
from carcloud.gateway.gbt32960.downwards import asked
from carcloud.gateway.gbt32960.numbers import Numbers
from carcloud.gateway.gbt32960.proofs import own_key
from carcloud.gateway.gbt32960.standing import standing
from carcloud.gateway.gbt32960.tls import BACKLOG, bound, serve
from carcloud.gateway.https import ssl_context
from carcloud.safety.identity import Trust
from carcloud.stream import subjects
from carcloud.vehicle.gbt32960.rules import table
from carcloud.vehicle.gbt32960.sealing import Keys

log = logging.getLogger(__name__)

LOOK_EVERY_S = 3.0
GARBAGE_AFTER = 50_000, 20, 20
"""Looked for seldom: what thousands of sessions hold is no garbage, and looking through it again and again is dear."""


async def run(context: Context) -> None:
    """Let terminals in, take what they report, and tell them what people want of them."""
    cloud, vehicles = await open_bus(context, "cloud"), await open_bus(context, "vehicles")
    records, settings = records_of(context), context.settings.gbt32960
    numbers = Numbers(context.folder.terminals)
    delivery = Delivery(vehicles, numbers, table())
    keys = Keys(rsa_own=own_key(context.folder.keys))
    door = Door(settings, Admission(records), delivery, Gate(records), keys)
    await asyncio.to_thread(_forget_erased, records, numbers)
    await _listen_to_changes(cloud, records, door)

    async def tell_standing(question: bytes) -> bytes:
        asker = orjson.loads(question)
        return orjson.dumps(standing(door, asker["tenant"], home=asker["tenant"] == context.settings.tenant))

    async def ask_terminal(question: bytes) -> bytes:
        return orjson.dumps(await asked(door, orjson.loads(question)))

    await cloud.answer(subjects.TERMINALS, tell_standing)
    await cloud.answer(subjects.TERMINAL_ASKED, ask_terminal)
    async with contextlib.AsyncExitStack() as stack:
        works = [delivery.run(), door.run(), _look(records, door)]
        host = context.settings.listen.host
        for port, tls in _ports(context):
            if tls is not None:
                works += [serve(door, one, tls) for one in bound(host, port)]
                continue
            server = await asyncio.get_running_loop().create_server(
                door.connection, host, port, backlog=BACKLOG, reuse_address=True
            )
            stack.push_async_callback(_closed, server)
        gc.freeze()
        gc.set_threshold(*GARBAGE_AFTER)
        await together(*works, tell(cloud, context.name, lambda: _numbers(door)))


def _ports(context: Context) -> list[tuple[int, ssl.SSLContext | None]]:
    """Return the ports to listen on, each with its TLS."""
    found: list[tuple[int, ssl.SSLContext | None]] = []
    if context.zone.gbt32960:
        found.append((context.zone.gbt32960, None))
    if context.zone.gbt32960_tls:
        ask, oldest = context.settings.gbt32960.tls_clients, context.settings.listen.tls
        found.append((context.zone.gbt32960_tls, ssl_context(Trust(context.folder.keys), oldest, ask=ask)))
    return found


async def _closed(server: asyncio.Server) -> None:
    server.close()


async def _listen_to_changes(cloud: Bus, records: Records, door: Door) -> None:
    """End the sessions of cars that may not speak any more, as soon as that is told."""

    async def changed(_: str, vehicle: bytes) -> None:
        door.admission.forget()
        if not await door.admission.may_stay(vehicle.decode()):
            door.close_car(vehicle.decode(), "not_active")

    async def flooding(_: str, vehicle: bytes) -> None:
        door.flooding(vehicle.decode())

    async def erased(_: str, vehicle: bytes) -> None:
        door.admission.forget()
        door.close_car(vehicle.decode(), "not_active")
        await door.delivery.forget(vehicle.decode())

    async def tenant_changed(_: str, __: bytes) -> None:
        door.admission.forget()
        for vehicle in list(door.cars):
            if not await door.admission.may_stay(vehicle):
                door.close_car(vehicle, "not_active")
        await _close_platforms(records, door)

    await cloud.listen(subjects.REVOKED, changed)
    await cloud.listen(subjects.FLOODING, flooding)
    await cloud.listen(subjects.ERASE, erased)
    await cloud.listen(subjects.TENANT, tenant_changed)


async def _look(records: Records, door: Door) -> None:
    """End what may not go on though no notice of it came: one may have been lost."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        with contextlib.suppress(TryLaterError):
            here = set(door.cars)
            if here:
                stays = await asyncio.to_thread(records.terminals.among, here)
                outside = await asyncio.to_thread(records.life.outside)
                for vehicle in here - stays | here & outside:
                    door.close_car(vehicle, "not_active")
            await _close_platforms(records, door)


async def _close_platforms(records: Records, door: Door) -> None:
    """End the connections of platforms that may not come in any more."""
    connected = [one for one in door.connections if one.session.platform is not None]
    if connected:
        known = {(one.name, one.tenant) for one in await asyncio.to_thread(records.terminals.platforms)}
        for one in connected:
            if (one.session.platform, one.tenant) not in known:
                one.close("not_active")


def _forget_erased(records: Records, numbers: Numbers) -> None:
    """Drop what is kept of cars that were erased while nobody listened."""
    for vehicle in numbers.vehicles() & records.erasures.vehicles():
        numbers.forget(vehicle)


def _numbers(door: Door) -> dict[str, Any]:
    """Return the process's numbers for the zone's state."""
    tenants = Counter(car.tenant for _, car in door.cars.values())
    gbt32960 = {
        "connections": len(door.connections),
        "frames": door.taking.frames,
        "batches": door.delivery.batches,
        "repeated": door.delivery.repeated,
        "waiting_rows": door.delivery.rows,
        "faults": sum(door.faults().values()),
    }
    return {"vehicles": {"connected": len(door.cars)}, "connected_of": list(tenants.items()), "gbt32960": gbt32960}
