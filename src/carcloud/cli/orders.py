"""`carcloud order`: tell cars to do something, signed here with a person's own key, without the console."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.orders import cloud_view, signer_client
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.backends.records.orders import ENDED, Order, OrderState
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.errors import InputError, NotAllowedError, TryLaterError
from carcloud.gateway.outbox import give
from carcloud.safety.grants.reach import Reach
from carcloud.safety.keys import read_key
from carcloud.safety.orders.authorisation import LONGEST_S, Signature, draft, sign
from carcloud.safety.orders.keyring import load_key
from carcloud.settings import Folder, Settings
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader
from carcloud.vehicle.commands import COMMANDS, FLEET, REASONS, Bounds, Command, Domain, Parameters

PATIENCE_S = 5.0
ACTOR = "machine"

Vehicles = Annotated[list[str], typer.Argument(help="The cars' ids.")]
KeyFiles = Annotated[
    list[Path], typer.Option("--key", help="Your key file; a second person's where many cars are ordered at once.")
]
RoleName = Annotated[str, typer.Option("--role", help="In which role: owner, fleet or operator.")]
Within = Annotated[int, typer.Option("--within", min=1, max=LONGEST_S, help="How long the order holds, in seconds.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait until each car has said what became of it.")]

app = typer.Typer()
order = typer.Typer(no_args_is_help=True, help="Tell cars to do something, under your own signature.")
app.add_typer(order, name="order")


def _sender(command: Command) -> Callable[..., None]:
    """Return the command of the command line that gives this order."""
    if command.parameters:
        ((name, kind),) = command.parameters.items()

        def send_value(
            vehicles: Vehicles,
            key: KeyFiles,
            value: float,
            role: RoleName = FLEET,
            within: Within = 300,
            wait: Wait = False,
            data: Data = DATA,
            config: Config = None,
            tenant: OfTenant = None,
        ) -> None:
            send_order(command, {name: value}, vehicles, key, role, within, wait, zone_of(data, config, tenant))

        said = f"{name}: {kind.wanted}."
        send_value.__annotations__["value"] = Annotated[float, typer.Option("--value", help=said)]
        return send_value

    def send(
        vehicles: Vehicles,
        key: KeyFiles,
        role: RoleName = FLEET,
        within: Within = 300,
        wait: Wait = False,
        data: Data = DATA,
        config: Config = None,
        tenant: OfTenant = None,
    ) -> None:
        send_order(command, {}, vehicles, key, role, within, wait, zone_of(data, config, tenant))

    return send


def _told(command: Command) -> str:
    kinds = command.parameters.values()
    bounds = [f" {one.low:g} to {one.high:g} {one.unit}" for one in kinds if isinstance(one, Bounds)]
    return f"Order cars: {command.name}{''.join(bounds)}."


for _command in COMMANDS.values():
    if _command.domain != Domain.COLLECTION:  # plans have their own: carcloud plan deploy, carcloud plan drop
        order.command(_command.name, help=_told(_command))(_sender(_command))


@order.command("list")
def order_list(
    data: Data = DATA,
    config: Config = None,
    vehicle: Annotated[str | None, typer.Option(help="Only this car's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    tenant: OfTenant = None,
) -> None:
    """List orders and what became of them, the newest first."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        for one in records.orders.listed(settings.tenant, vehicle, _state(state), limit):
            typer.echo(_line(one))


def send_order(
    command: Command,
    parameters: Parameters,
    vehicles: list[str],
    keys: list[Path],
    role: str,
    within_s: int,
    wait: bool,
    of: tuple[Settings, Folder],
) -> None:
    """Sign an order for cars with these key files, give it, and show what becomes of it.

    Raises:
        NotAllowedError: it is not authorised; or `wait` was asked for, and not every car did it.
    """
    settings, folder = of
    zone, now = ZoneFile.read(folder), int(time.time())
    text = draft(settings.tenant, vehicles, command.name, parameters, role, now, now + within_s)
    signatures = [sign(load_key(read_key(path)), text) for path in keys]
    with contextlib.closing(open_records(settings, folder)) as records:
        queued = asyncio.run(_give(records, settings, folder, zone, text.decode(), signatures))
        if wait:
            queued = _wait(records, queued, within_s)
    for one in queued:
        typer.echo(_line(one))
    if wait and any(one.state != "done" for one in queued):
        raise NotAllowedError("Not every car did it.", "The lines above say why.")


async def _give(
    records: Records, settings: Settings, folder: Folder, zone: ZoneFile, text: str, signatures: list[Signature]
) -> list[Order]:
    try:
        async with asyncio.timeout(PATIENCE_S):
            cloud = await Bus.connect(zone.bus("cloud"), "command line")
    except TimeoutError:
        raise TryLaterError("The zone does not answer.", "Start it: carcloud up.") from None
    try:
        given = [{"key": one.key, "signature": base64.b64encode(one.value).decode()} for one in signatures]
        look = cloud_view(TwinReader(cloud))
        with contextlib.closing(signer_client(settings, folder)) as signer:
            queued = await give(records, signer, look, text, given, Reach(settings.tenant), ACTOR)
        await cloud.publish(subjects.ORDERED, ",".join(one.vehicle for one in queued).encode())
        await cloud.flush()
        return queued
    finally:
        await cloud.close()


def _wait(records: Records, queued: list[Order], within_s: int) -> list[Order]:
    until = time.monotonic() + within_s + 10
    while True:
        found = [records.orders.order(one.id) for one in queued]
        if all(one.state in ENDED for one in found) or time.monotonic() > until:
            return found
        time.sleep(0.1)


def _line(one: Order) -> str:
    reason = f"  {REASONS.get(one.reason, one.reason)}" if one.reason else ""
    return f"{one.queued_at:%Y-%m-%d %H:%M:%S}  {one.id}  {one.vehicle}  {one.command:20}  {one.state}{reason}"


def _state(text: str | None) -> OrderState | None:
    states: tuple[OrderState, ...] = ("queued", "delivered", "accepted", *ENDED)
    for state in states:
        if text == state:
            return state
    if text is None:
        return None
    raise InputError(f"{text[:40]!r} is no state of an order.", f"Use one of: {', '.join(states)}.")
