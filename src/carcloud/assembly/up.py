"""Starting a zone: one supervisor, the broker and the zone's processes as its children."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import httpx
import orjson

from carcloud.assembly.broker import NATS, write_broker_file
from carcloud.assembly.flows import take_flows
from carcloud.assembly.governance import take_governance
from carcloud.assembly.orders import certify_tenants
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile, new_zone_file, sole_instance
from carcloud.backends.files import write_flushed
from carcloud.backends.nats import Bus
from carcloud.backends.nats_server import executable
from carcloud.backends.processes import Child, Supervisor, heed_signals
from carcloud.errors import CarcloudError, TryLaterError
from carcloud.safety.identity import Authority
from carcloud.safety.people.accounts import first_person
from carcloud.safety.tenants import overlay_of, own_signals
from carcloud.settings import Folder, Settings, check_tenant, flows_in_force, load_catalogue, load_policies
from carcloud.stream import subjects

STOP_GRACE_S = 8.0
START_PATIENCE_S = 120.0
REPORT_EVERY_S = 5.0
ANSWER_FIRST_S = 0.5
PROCESSES = (
    *("order-signer", "orders", "signer", "witness", "audit", "governor"),
    *("gateway", "twin", "lake", "api", "research", "replicas", "relay", "gbt32960", "kuksa"),
)

OBEYING = ("governor", "twin", "lake", "api", "relay", "kuksa")
"""What reads the governance when it starts, and is started anew under a changed one."""


async def up(
    settings: Settings,
    folder: Folder,
    *,
    config: Path | None = None,
    free_ports: bool = False,
    ready: Callable[[ZoneFile], None],
    said: Callable[[str], None],
    extra: Callable[[ZoneFile], dict[str, list[str]]] = lambda _: {},
    report: bool = False,
) -> None:
    """Run a zone until SIGINT or SIGTERM; a second one ends it at once. `ready` is called once it works.

    `said` hears what was done to the folder, and of processes that restart. `report`: say every few seconds how far
    the stream and the lake are. `extra` may name further commands to run beside the zone once it is ready, by process
    name.
    """
    if done := folder.make():
        said(done)
    stopping, supervisor = asyncio.Event(), Supervisor(_teller(said))

    def at_once() -> None:
        supervisor.kill()
        folder.zone_file.unlink(missing_ok=True)

    heed_signals(stopping, at_once)
    with sole_instance(folder):
        zone, changed = _prepare(settings, folder, free_ports)
        if changed:
            said(changed)
        supervisor.add(NATS, [executable(), "-c", str(folder.run / "nats.conf")], folder.logs / f"{NATS}.out")
        for name in PROCESSES:
            if name == "order-signer" and settings.orders.signer_socket:
                continue  # another user runs it
            if name == "replicas" and not flows_in_force(folder).replicas:
                continue
            if name == "relay" and not flows_in_force(folder).relays:
                continue
            if name == "gbt32960" and not settings.gbt32960.on:
                continue
            if name == "kuksa" and not zone.kuksa:
                said("The kuksa door stays closed: what it needs comes with carcloud[kuksa].")
                continue
            count = settings.gateways if name == "gateway" else 1
            for number in range(1, count + 1):
                full = f"{name}-{number}" if count > 1 else name
                supervisor.add(full, _command(full, folder, config), folder.logs / f"{full}.out")
        telling = asyncio.create_task(_tell_states(zone, supervisor, partial(_certify, settings, folder)))
        try:
            await _until_ready_or_stopped(zone, stopping)
            if not stopping.is_set():
                ready(zone)
                for name, command in extra(zone).items():
                    supervisor.add(name, command, folder.logs / f"{name}.out", once=True)
            reporting = asyncio.create_task(_report(zone, said)) if report else None
            await stopping.wait()
            if reporting:
                reporting.cancel()
        finally:
            telling.cancel()
            await supervisor.stop(STOP_GRACE_S)


def _prepare(settings: Settings, folder: Folder, free_ports: bool) -> tuple[ZoneFile, str]:
    """Check and write everything the children read; whatever is wrong is said here, before anything starts."""
    check_tenant(settings, folder)
    zone = new_zone_file(settings, folder, free_ports=free_ports)
    policies = load_policies(settings)
    records = open_records(settings, folder)
    try:
        records.tenants.ensure(settings.tenant, datetime.now(UTC))
        tenants = records.tenants.all()
        catalogue = load_catalogue(settings, folder.catalogue, map(overlay_of, tenants))
        write_flushed(folder.catalogue, catalogue.dump())
        whose = {path: sorted(names) for path, names in own_signals(tenants).items()}
        write_flushed(folder.own_signals, orjson.dumps(whose))
        write_flushed(folder.tenant, f"{settings.tenant}\n".encode())
        changed = take_governance(settings, folder, records, catalogue, policies)
        changed = " ".join(filter(None, (changed, take_flows(settings, folder, records, catalogue))))
        first_person(records, settings.tenant, datetime.now(UTC))
        authority = Authority(folder.keys)
        changed = " ".join(filter(None, (changed, certify_tenants(settings, folder, records, authority))))
    finally:
        records.close()
    write_broker_file(settings, folder, zone, authority)
    zone.write(folder.zone_file)
    return zone, changed


def _command(name: str, folder: Folder, config: Path | None) -> list[str]:
    command = [sys.executable, "-m", "carcloud.assembly", name, str(folder.path.absolute())]
    return [*command, str(config.absolute())] if config else command


def _teller(said: Callable[[str], None]) -> Callable[[Child], Awaitable[None]]:
    async def changed(child: Child) -> None:
        if child.state == "restarting":
            said(f"{child.name} ended and is started again")

    return changed


def _certify(settings: Settings, folder: Folder) -> None:
    """Give a tenant that was just made keys of orders of its own."""
    with contextlib.closing(open_records(settings, folder)) as records:
        certify_tenants(settings, folder, records, Authority(folder.keys))


async def _tell_states(zone: ZoneFile, supervisor: Supervisor, certify: Callable[[], None]) -> None:
    """Tell the bus every second how the processes are; start the broker again when it is said to be stuck."""
    bus = await Bus.connect(zone.bus("cloud"), "supervisor")

    async def stuck(_: str, __: bytes) -> None:
        supervisor.renew(NATS)

    async def governed(_: str, __: bytes) -> None:
        await asyncio.sleep(ANSWER_FIRST_S)  # so that whoever changed it hears that it is done
        for name in OBEYING:
            supervisor.renew(name)

    async def tenant_changed(_: str, __: bytes) -> None:
        with contextlib.suppress(CarcloudError):  # the next start says what was wrong
            await asyncio.to_thread(certify)

    await bus.listen(subjects.TENANT, tenant_changed)
    await bus.listen(subjects.STUCK, stuck)
    await bus.listen(subjects.GOVERNANCE, governed)
    while True:
        with contextlib.suppress(TryLaterError):
            await bus.publish(subjects.PARTS, orjson.dumps(supervisor.states()))
        await asyncio.sleep(1.0)


async def _until_ready_or_stopped(zone: ZoneFile, stopping: asyncio.Event) -> None:
    deadline = asyncio.get_running_loop().time() + START_PATIENCE_S
    async with httpx.AsyncClient(trust_env=False) as client:
        while not stopping.is_set():
            try:
                health = (await client.get(f"{zone.url}/healthz", timeout=2)).json()
                parts = health["parts"].values()
                if health["status"] != "starting" and all(part["state"] == "up" for part in parts):
                    return  # an alarm that stands from before keeps no zone from starting
            except (httpx.HTTPError, ValueError):
                health = None
            if asyncio.get_running_loop().time() > deadline:
                raise TryLaterError(
                    f"The zone is not ready after {START_PATIENCE_S:.0f} s.", "Look into the logs folder."
                )
            await asyncio.sleep(0.2)


async def _report(zone: ZoneFile, said: Callable[[str], None]) -> None:
    """Say every few seconds what came in and what is stored."""
    token = {"Authorization": f"Bearer {zone.token}"}
    async with httpx.AsyncClient(trust_env=False, headers=token) as client:
        while True:
            await asyncio.sleep(REPORT_EVERY_S)
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
                status = (await client.get(f"{zone.url}/v1/status", timeout=5)).json()
                connected, rows = status["vehicles"]["connected"], status["lake"]["rows"]
                said(f"{connected} cars connected, {status['stream']['samples_in']:,} samples in, {rows:,} in the lake")
