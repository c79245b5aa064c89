"""`carcloud gbt32960`: terminals that speak GB/T 32960, and platforms that bring them."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.backends.records import Entry, Records
from carcloud.cli.notices import tell
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import FAMILIES, CarcloudError, ConflictError, InputError, TryLaterError
from carcloud.gateway.garage import stand_in_vin
from carcloud.gateway.gbt32960.downwards import CONTROLS, is_dangerous, names_in
from carcloud.gateway.gbt32960.proofs import public_half
from carcloud.gateway.gbt32960.terminals import add_platform, add_terminal, remove_platform, remove_terminal
from carcloud.onboard.gbt32960.drive import drive_terminals
from carcloud.onboard.gbt32960.terminal import Identity, Line
from carcloud.onboard.simulator import Simulator
from carcloud.safety.people.approvals import Approvals
from carcloud.safety.people.caller import Caller
from carcloud.settings import Folder, Settings, load_policies
from carcloud.stream import subjects
from carcloud.vehicle.gbt32960.frames import Edition

MACHINE = "machine"
PATIENCE_S = 20.0

app = typer.Typer()
gbt32960 = typer.Typer(no_args_is_help=True, help="Terminals that speak GB/T 32960: who may come in, and who is there.")
platform = typer.Typer(no_args_is_help=True, help="Other platforms that bring cars.")
gbt32960.add_typer(platform, name="platform")
app.add_typer(gbt32960, name="gbt32960")


@gbt32960.command("add")
def terminal_add(
    vin: Annotated[str, typer.Argument(help="The vehicle identification number, 17 characters.")],
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    label: Annotated[str | None, typer.Option(help="A name for people.")] = None,
) -> None:
    """Let a car come in by GB/T 32960 under its VIN."""
    with _open(data, config, tenant) as (settings, _, records):
        vehicle = add_terminal(records, vin, label, settings.tenant, MACHINE)
    typer.echo(vehicle.id)
    if not settings.gbt32960.on:
        typer.echo("The zone has no door for it: set gbt32960.port or gbt32960.tls_port.", err=True)


@gbt32960.command("list")
def terminal_list(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the cars that may come in by GB/T 32960."""
    with _open(data, config, tenant) as (settings, _, records):
        for one in records.terminals.all(settings.tenant):
            car, activated = one.vehicle, "activated" if one.key is not None else ""
            said = f"{car.id}  {car.state:11}  {car.vin:17}  {one.added_at:%Y-%m-%d}  {car.label or ''}  {activated}"
            typer.echo(said.rstrip())


@gbt32960.command("remove")
def terminal_remove(vehicle: str, data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """Let a car come in by GB/T 32960 no more; its session is closed at once."""
    with _open(data, config, tenant) as (settings, folder, records):
        remove_terminal(records, vehicle, settings.tenant, MACHINE)
    tell(folder, subjects.REVOKED, vehicle.encode())
    typer.echo(f"{vehicle} is no terminal any more")


@gbt32960.command("simulate")
def terminal_simulate(
    cars: Annotated[int, typer.Option(min=1, max=500, help="How many terminals.")] = 2,
    seed: Annotated[int, typer.Option(help="The same seed gives the same cars.")] = 2,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Be a fleet of simulated cars that speak GB/T 32960 until Ctrl-C; half of them the edition of 2025."""
    with _open(data, config, tenant) as (settings, folder, records):
        if not (port := ZoneFile.read(folder).gbt32960):
            raise ConflictError("The zone has no door for plain TCP.", "Set gbt32960.port, and start the zone again.")
        fleet = Simulator(cars, seed, time.time_ns() // 1000)
        identities = {}
        for number, name in enumerate(fleet.vehicles()):
            label = f"{name} (GB/T 32960)"
            vin, edition = stand_in_vin(label), Edition.E2025 if number % 2 else Edition.E2016
            identities[name] = Identity(vin, edition=edition)
            with contextlib.suppress(ConflictError):  # it is one already
                add_terminal(records, vin, label, settings.tenant, MACHINE)
    with contextlib.suppress(KeyboardInterrupt):
        told = asyncio.run(drive_terminals(fleet, identities, Line("127.0.0.1", port), folder.queues / "gbt32960"))
        typer.echo(f"{told.reports} reports, {told.waiting} waiting")


@gbt32960.command("sessions")
def terminal_sessions(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """Show who is connected by GB/T 32960 now, and what was refused."""
    settings, folder = zone_of(data, config, tenant)
    found = _ask(folder, subjects.TERMINALS, {"tenant": settings.tenant})
    for one in found["sessions"]:
        by = f"by {one['platform']}" if one["platform"] else ""
        said = f"{one['vehicle']}  {one['edition']}  since {_time(one['since'])}  {one['frames']} frames"
        typer.echo(harmless(f"{said}  {one['faults']} faults  {one['label'] or ''}  {by}".rstrip()))
    for one in found["platforms"]:
        typer.echo(harmless(f"platform {one['name']}  since {_time(one['since'])}  {one['cars']} cars"))
    for what in ("faults", "refused"):
        for cause, count in sorted(found[what].items()):
            typer.echo(f"{what}  {count:8}  {cause}")


@gbt32960.command("key")
def door_key(data: Data = DATA) -> None:
    """Print the public key for which terminals may seal payloads and keys."""
    typer.echo(public_half(Folder(data).existing().keys), nl=False)


@gbt32960.command("query")
def terminal_query(
    vehicle: str,
    parameters: Annotated[list[str] | None, typer.Argument(help="Names; else all the protocol has.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Ask a terminal for its parameters."""
    _tell_terminal(data, config, tenant, vehicle, {"act": "query", "parameters": parameters or []})


@gbt32960.command("set")
def terminal_set(
    vehicle: str,
    values: Annotated[list[str], typer.Argument(help="NAME=VALUE; what names another platform takes two people.")],
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Set parameters of a terminal."""
    wanted = {}
    for one in values:
        name, equals, value = one.partition("=")
        if not equals:
            raise InputError(f"{one!r} sets nothing.", "Write NAME=VALUE.")
        wanted[name] = int(value) if value.isdecimal() else value
    _tell_terminal(data, config, tenant, vehicle, {"act": "set", "values": wanted})


@gbt32960.command("control")
def terminal_control(
    vehicle: str,
    control: Annotated[str, typer.Argument(help=f"One of {', '.join(CONTROLS)}; the dangerous ones take two people.")],
    text: Annotated[str, typer.Option(help="What goes with an alarm or an upgrade.")] = "",
    level: Annotated[int | None, typer.Option(min=0, max=255, help="The alarm's level.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Tell a terminal to do something."""
    if control not in CONTROLS:
        raise InputError(f"A terminal cannot do {control!r}.", f"Use one of {', '.join(CONTROLS)}.")
    wanted = {"act": "control", "control": control, "text": text, "level": level}
    _tell_terminal(data, config, tenant, vehicle, wanted)


@platform.command("add")
def platform_add(name: str, data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """Let another platform bring this tenant's cars; its password is shown once."""
    with _open(data, config, tenant) as (settings, _, records):
        password = add_platform(records, name, settings.tenant, MACHINE)
    typer.echo(f"Platform {name} may come in. Its password, shown once:", err=True)
    typer.echo(password)


@platform.command("list")
def platform_list(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the platforms that may come in."""
    with _open(data, config, tenant) as (settings, _, records):
        for one in records.terminals.platforms(settings.tenant):
            typer.echo(f"{one.name:12}  {one.added_at:%Y-%m-%d}")


@platform.command("remove")
def platform_remove(name: str, data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """Let a platform come in no more; its connections are closed at once."""
    with _open(data, config, tenant) as (settings, folder, records):
        remove_platform(records, name, settings.tenant, MACHINE)
    tell(folder, subjects.TENANT, settings.tenant.encode())
    typer.echo(f"Platform {name} may come in no more")


@contextmanager
def _open(data: Path, config: Path | None, tenant: str | None) -> Iterator[tuple[Settings, Folder, Records]]:
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        yield settings, folder, records


def _tell_terminal(
    data: Path, config: Path | None, of_tenant: str | None, vehicle: str, wanted: dict[str, Any]
) -> None:
    """Tell a terminal what is wanted, and say what it answered; what is dangerous waits for a second person."""
    with _open(data, config, of_tenant) as (settings, folder, records):
        object_, tenant = f"vehicle:{vehicle}", settings.tenant
        if is_dangerous(wanted):
            asker = Caller("token:machine", "the command line", frozenset({"operator"}), tenant)
            waiting = Approvals(records, load_policies(settings)).require(asker, "sendOrder", object_, wanted)
            if waiting is not None:
                typer.echo(f"It waits for a second person: approval {waiting.id}. Do it again once that is given.")
                return
        entry = Entry(MACHINE, "tellTerminal", object_, facts={"act": wanted["act"]} | names_in(wanted), tenant=tenant)
        records.audit.add(entry)
    answer = _ask(folder, subjects.TERMINAL_ASKED, wanted | {"vehicle": vehicle, "tenant": tenant})
    typer.echo(f"{vehicle} {'did so' if answer['taken'] else 'refused'} (answer {answer['answer']:#04x})")
    for name, value in answer["values"].items():
        typer.echo(harmless(f"{name} = {value}"))


def _ask(folder: Folder, subject: str, question: dict[str, Any]) -> dict[str, Any]:
    """Ask the door of the running zone; raise what it answers as an error."""
    answer: dict[str, Any] = orjson.loads(asyncio.run(_asked(ZoneFile.read(folder), subject, orjson.dumps(question))))
    if (error := answer.get("error")) is not None:
        raise FAMILIES.get(error["code"], CarcloudError)(error["message"], error["do"])
    return answer


async def _asked(zone: ZoneFile, subject: str, question: bytes) -> bytes:
    try:
        async with asyncio.timeout(PATIENCE_S):
            bus = await Bus.connect(zone.bus("cloud"), "command line")
            try:
                return await bus.request(subject, question, PATIENCE_S)
            finally:
                await bus.close()
    except (TimeoutError, TryLaterError):
        do = "Give it a port (gbt32960.port) and start the zone again; if it has one, look at its logs."
        raise TryLaterError("The zone has no door for GB/T 32960, or it does not answer.", do) from None


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
