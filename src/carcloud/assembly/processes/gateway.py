"""The gateway: answers connecting cars, closes sessions that must end, and keeps the second door."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from carcloud.assembly.context import Context, QuietServer, tell, together
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import TryLaterError
from carcloud.gateway.acks import Acks
from carcloud.gateway.gate import Gate
from carcloud.gateway.https import CertificateProtocol, second_door, ssl_context
from carcloud.gateway.mqtt.callout import AccountKey, Callout
from carcloud.gateway.sessions import Sessions, flooding
from carcloud.gateway.violations import Violations
from carcloud.safety.identity import Authority
from carcloud.stream import subjects
from carcloud.stream.raw import prepare

log = logging.getLogger(__name__)

REFUSE_FLOOD_S = 30.0
LOOK_EVERY_S = 3.0


async def run(context: Context) -> None:
    """Answer connecting cars, close sessions that must end, and keep the second door."""
    cloud, vehicles = await context.bus("cloud"), await context.bus("vehicles")
    system, auth = await context.bus("system"), await context.bus("auth")
    gate = Gate(context.records(), context.settings.tenant)
    callout, sessions = Callout(gate, AccountKey(context.folder.keys)), Sessions(system.request)
    prepared: tuple[int, int] | None = None

    async def answer(request: bytes) -> bytes:
        nonlocal prepared
        now = auth.epoch, vehicles.epoch
        if prepared != now:  # before the first car, else the broker would make RAW itself, on disk
            await prepare(vehicles, context.settings.governor.raw_bytes)
            prepared = now
        return callout.answer(request)

    async def revoked(_: str, vehicle: bytes) -> None:
        gate.forget(vehicle.decode())
        await sessions.close(vehicle.decode())

    async def refuse_flood(_: str, vehicle: bytes) -> None:
        gate.refuse(vehicle.decode(), REFUSE_FLOOD_S)
        await sessions.close(vehicle.decode())

    await cloud.listen(subjects.REVOKED, revoked)
    await cloud.listen(subjects.FLOODING, refuse_flood)
    await auth.answer("$SYS.REQ.USER.AUTH", answer, queue="gateway")
    door = second_door(gate, _into_raw(vehicles), Acks(vehicles).wait)
    works = [_serve_vehicles(context, door)]
    numbers: dict[str, Any] = {}
    if context.name in ("gateway", "gateway-1"):  # the broker is one: one gateway watches
        works.append(_watch(context, cloud, sessions, numbers))
    await together(*works, tell(cloud, context.name, lambda: dict(numbers)))


async def _watch(context: Context, cloud: Bus, sessions: Sessions, numbers: dict[str, Any]) -> None:
    """Look at the sessions: count them and what the broker refused, and have floods and left-over sessions closed."""
    violations, records = Violations(context.folder.logs / "nats-server.log"), context.records()
    limit = int(context.settings.governor.flood.messages_per_s * LOOK_EVERY_S)
    before: dict[str, int] | None = None
    while True:
        with contextlib.suppress(TryLaterError, KeyError):
            connected = await sessions.vehicles()
            numbers["vehicles"] = {"connected": len(connected)}
            for vehicle in flooding(before, connected, limit) if before is not None else ():
                log.warning("a car floods the broker; its session is closed", extra={"vehicle": vehicle})
                await cloud.publish(subjects.FLOODING, vehicle.encode())
            before = connected
            for vehicle in await asyncio.to_thread(_revoked, records, connected):  # a notice may have been lost
                await cloud.publish(subjects.REVOKED, vehicle.encode())
        numbers["violations"] = await asyncio.to_thread(violations.read)
        await asyncio.sleep(LOOK_EVERY_S)


def _revoked(records: Records, connected: dict[str, int]) -> set[str]:
    return {car.id for car in records.vehicles(limit=1_000_000, state="revoked")} & connected.keys()


def _into_raw(vehicles: Bus) -> Callable[[str, bytes], Awaitable[None]]:
    async def publish(subject: str, payload: bytes) -> None:
        await vehicles.append(f"$MQTT.msgs.{subject}", payload)

    return publish


async def _serve_vehicles(context: Context, app: Any) -> None:
    authority, listen = Authority(context.folder.keys), context.settings.listen
    certificate, key = authority.server_certificate(listen.names)
    config = uvicorn.Config(
        app, http=CertificateProtocol, log_config=None, access_log=False, lifespan="off", limit_concurrency=2000
    )
    config.load()
    config.ssl = ssl_context(certificate, key, authority.vehicle_trust)
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind((listen.host, context.zone.https))
        await QuietServer(config).serve(sockets=[door])
