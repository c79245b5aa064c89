"""The gateway: answers connecting cars, closes sessions that must end, keeps the second door and the claims' door."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
import uvicorn

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.doors import endpoints
from carcloud.assembly.records import records_of
from carcloud.assembly.serving import QuietServer
from carcloud.backends.nats import Bus
from carcloud.backends.records import Entry, Records
from carcloud.errors import TryLaterError
from carcloud.gateway.acks import Acks
from carcloud.gateway.clones import Coming, Comings
from carcloud.gateway.desk import Desk
from carcloud.gateway.est import AddressProtocol, claims_door, renewal
from carcloud.gateway.gate import Gate
from carcloud.gateway.https import CertificateProtocol, second_door, ssl_context
from carcloud.gateway.mqtt.callout import AccountKey, Callout
from carcloud.gateway.sessions import Sessions, flooding
from carcloud.gateway.violations import Violations
from carcloud.safety.identity import Issued, Trust
from carcloud.safety.issuer import issue
from carcloud.safety.signer import SignerClient
from carcloud.stream import subjects
from carcloud.stream.raw import prepare

log = logging.getLogger(__name__)

REFUSE_FLOOD_S = 30.0
LOOK_EVERY_S = 3.0
LIMIT_ARRIVALS = 20_000
LIMIT_ALARMS = 20


async def run(context: Context) -> None:
    """Answer connecting cars, close sessions that must end, and keep both doors over HTTPS."""
    cloud, vehicles = await open_bus(context, "cloud"), await open_bus(context, "vehicles")
    system, auth = await open_bus(context, "system"), await open_bus(context, "auth")
    records = records_of(context)
    gate = Gate(records)
    arrivals: asyncio.Queue[Coming] = asyncio.Queue(LIMIT_ARRIVALS)
    callout = Callout(gate, AccountKey(context.folder.keys), came=functools.partial(_note_arrival, arrivals))
    sessions = Sessions(system.request)
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

    async def tenant_changed(_: str, __: bytes) -> None:
        gate.forget_all()
        await _close_outsiders(records, sessions)

    async def tell_sessions(vehicle: bytes) -> bytes:
        return orjson.dumps(await sessions.of(vehicle.decode()))

    await cloud.answer(subjects.SESSIONS, tell_sessions, queue="gateway")
    await cloud.listen(subjects.REVOKED, revoked)
    await cloud.listen(subjects.FLOODING, refuse_flood)
    await cloud.listen(subjects.TENANT, tenant_changed)
    await auth.answer("$SYS.REQ.USER.AUTH", answer, queue="gateway")
    desk = _desk(context)
    door = second_door(gate, _into_raw(vehicles), Acks(vehicles).wait, [renewal(gate, desk)])
    works = [_serve_vehicles(context, door), _serve_claims(context, claims_door(desk)), _tell_arrivals(cloud, arrivals)]
    numbers: dict[str, Any] = {}
    if context.name in ("gateway", "gateway-1"):  # the broker is one: one gateway watches
        works.append(_watch(context, cloud, sessions, numbers))
        await _watch_clones(context, cloud)
    await together(*works, tell(cloud, context.name, lambda: dict(numbers)))


async def _watch(context: Context, cloud: Bus, sessions: Sessions, numbers: dict[str, Any]) -> None:
    """Look at the sessions: count them and what the broker refused, and have floods and left-over sessions closed."""
    violations, records = (
        Violations(context.folder.logs / "nats-server.log"),
        records_of(context),
    )
    limit = int(context.settings.governor.flood.messages_per_s * LOOK_EVERY_S)
    before: dict[str, int] | None = None
    while True:
        with contextlib.suppress(TryLaterError, KeyError):
            connected = await sessions.vehicles()
            numbers["vehicles"] = {"connected": len(connected)}
            numbers["connected_of"] = await asyncio.to_thread(_by_tenant, records, set(connected))
            for vehicle in flooding(before, connected, limit) if before is not None else ():
                log.warning("a car floods the broker; its session is closed", extra={"vehicle": vehicle})
                await cloud.publish(subjects.FLOODING, vehicle.encode())
            before = connected
            outside = await asyncio.to_thread(records.life.outside)
            for vehicle in outside & connected.keys():  # a notice may have been lost
                await cloud.publish(subjects.REVOKED, vehicle.encode())
        numbers["violations"] = await asyncio.to_thread(violations.read)
        with contextlib.suppress(TryLaterError):
            numbers["alarms"] = await asyncio.to_thread(_clone_alarms, records)
        await asyncio.sleep(LOOK_EVERY_S)


async def _close_outsiders(records: Records, sessions: Sessions) -> None:
    """Close the sessions of cars that may not come in any more."""
    with contextlib.suppress(TryLaterError, KeyError):
        outside = await asyncio.to_thread(records.life.outside)
        leaving = sorted(outside & (await sessions.vehicles()).keys())
        await asyncio.gather(*map(sessions.close, leaving))


def _into_raw(vehicles: Bus) -> Callable[[str, bytes], Awaitable[None]]:
    async def publish(subject: str, payload: bytes) -> None:
        await vehicles.append(f"$MQTT.msgs.{subject}", payload)

    return publish


async def _serve_vehicles(context: Context, app: Any) -> None:
    trust, listen = Trust(context.folder.keys), context.settings.listen
    await _serve(context, app, CertificateProtocol, ssl_context(trust, listen.tls), context.zone.https)


async def _serve_claims(context: Context, app: Any) -> None:
    trust, listen = Trust(context.folder.keys), context.settings.listen
    await _serve(context, app, AddressProtocol, ssl_context(trust, listen.tls, ask=False), context.zone.claims)


async def _serve(context: Context, app: Any, protocol: type, tls: ssl.SSLContext, port: int) -> None:
    config = uvicorn.Config(
        app,
        http=protocol,
        proxy_headers=False,
        log_config=None,
        access_log=False,
        lifespan="off",
        limit_concurrency=2000,
    )
    config.load()
    config.ssl = tls
    with socket.socket() as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        door.bind((context.settings.listen.host, port))
        await QuietServer(config).serve(sockets=[door])


def _desk(context: Context) -> Desk:
    signer, days = SignerClient(context.folder.run), context.settings.vehicle_days

    def by_signer(key: bytes, vehicle: str, tenant: str) -> Issued:
        return issue(signer, key, vehicle, tenant, days)

    trust = Trust(context.folder.keys).servers.read_bytes()
    return Desk(records_of(context), by_signer, endpoints(context.settings, context.zone), trust)


def _note_arrival(arrivals: asyncio.Queue[Coming], coming: Coming) -> None:
    with contextlib.suppress(asyncio.QueueFull):  # in a storm of cars some are not looked at
        arrivals.put_nowait(coming)


async def _tell_arrivals(cloud: Bus, arrivals: asyncio.Queue[Coming]) -> None:
    """Tell the watching gateway which cars came in here: the two share the cars by chance."""
    while True:
        coming = await arrivals.get()
        with contextlib.suppress(TryLaterError):
            await cloud.publish(subjects.CAME, orjson.dumps(coming))


async def _watch_clones(context: Context, cloud: Bus) -> None:
    """Look at how cars come, on every gateway; record those that look like two."""
    records, comings = records_of(context), Comings()

    async def came(_: str, data: bytes) -> None:
        coming = Coming(**orjson.loads(data))
        if (reason := comings.add(coming)) is not None:
            facts = {"why": reason}
            object_, tenant = f"vehicle:{coming.vehicle}", await asyncio.to_thread(_tenant_of, records, coming.vehicle)
            entry = Entry("process:gateway", "suspectClone", object_, facts=facts, tenant=tenant)
            at = datetime.fromtimestamp(coming.at, UTC)
            if await asyncio.to_thread(records.suspicions.raise_, coming.vehicle, reason, at, entry):
                log.warning("a car seems to be two", extra={"vehicle": coming.vehicle, "reason": reason})

    async def changed(_: str, vehicle: bytes) -> None:
        comings.forget(vehicle.decode())

    await cloud.listen(subjects.CAME, came)
    await cloud.listen(subjects.REVOKED, changed)


def _by_tenant(records: Records, connected: set[str]) -> list[tuple[str, int]]:
    return list(Counter(records.life.tenants(connected).values()).items())


def _tenant_of(records: Records, vehicle: str) -> str:
    return records.vehicle(vehicle).tenant


def _clone_alarms(records: Records) -> list[dict[str, Any]]:
    """Return an alarm for each car that seems to be two, the newest first."""
    do = "Find out whose it is; then carcloud vehicle rekey, quarantine, release or retire it."
    return [
        {
            "code": "clone_suspected",
            "message": f"Vehicle {each.vehicle} {each.why}.",
            "do": do,
            "tenant": _tenant_of(records, each.vehicle),
            "since": each.since.isoformat(timespec="seconds").replace("+00:00", "Z"),
        }
        for each in records.suspicions.open(LIMIT_ALARMS)
    ]
