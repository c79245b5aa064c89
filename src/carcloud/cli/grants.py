"""`carcloud grant`, `carcloud consent`: who may see or do what with a car, and what its person agreed to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer

from carcloud.assembly.records import open_records
from carcloud.backends.records import Grant, Records
from carcloud.cli.notices import tell
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.errors import InputError
from carcloud.safety.grants.desk import give, revoke
from carcloud.safety.grants.grant import ZONE, Ground, Wanted, ground_of
from carcloud.safety.people.register import MACHINE
from carcloud.settings import Folder, catalogue_in_force, governance_in_force
from carcloud.stream import subjects

app = typer.Typer()
grant = typer.Typer(no_args_is_help=True, help="Who may see or do what with a car.")
app.add_typer(grant, name="grant")

Car = Annotated[str, typer.Argument(help="The car's id.")]


@grant.command("give")
def grant_give(
    vehicle: Car,
    grantee: Annotated[str, typer.Argument(help="zone, person:ID, token:ID, or app:NAME for that app's tokens.")],
    purpose: Annotated[str, typer.Argument(help="What for: a purpose of the governance.")],
    path: Annotated[list[str] | None, typer.Option(help="Signals, such as Vehicle.Speed or Vehicle.Cabin.**.")] = None,
    command: Annotated[list[str] | None, typer.Option(help="What the car may be told, such as lock.")] = None,
    precision: Annotated[list[str] | None, typer.Option(help="GLOB=STEP: show these numbers to a step only.")] = None,
    from_: Annotated[datetime | None, typer.Option("--from", help="From when on, UTC; now if none is given.")] = None,
    until: Annotated[datetime | None, typer.Option(help="Until when, UTC; else until it is revoked.")] = None,
    owner: Annotated[bool, typer.Option("--owner", help="The person is the car's owner.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Also to an app without a token, and from before the car changed hands.")
    ] = False,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Give a grant; what stands for the same grantee and purpose ends with it."""
    steps = dict(_step(text) for text in precision or [])
    begins, ends = (None if at is None else at.replace(tzinfo=UTC) for at in (from_, until))
    wanted = Wanted(grantee, purpose, tuple(path or ()), tuple(command or ()), steps, begins, ends, owner, yes)
    with _desk(data, config) as (records, ground, folder):
        given = give(records, ground, vehicle, wanted, MACHINE)
        tell(folder, subjects.GRANT, vehicle.encode())
    typer.echo(f"{given.id}  version {given.version}")


@grant.command("revoke")
def grant_revoke(
    vehicle: Car,
    id_: Annotated[str, typer.Argument(metavar="GRANT", help="As `carcloud grant list` shows it.")],
    data: Data = DATA,
    config: Config = None,
) -> None:
    """End a grant, and what was given under it, at once."""
    with _desk(data, config) as (records, ground, folder):
        revoke(records, ground, vehicle, id_, MACHINE)
        tell(folder, subjects.GRANT, vehicle.encode())
    typer.echo(f"{id_} is revoked")


@grant.command("list")
def grant_list(vehicle: Car, data: Data = DATA, config: Config = None) -> None:
    """List every version of every grant on a car, the newest first."""
    with _desk(data, config) as (records, _, _folder):
        records.vehicle(vehicle)
        for one in records.grants.of(vehicle):
            typer.echo(_line(one))


@app.command()
def consent(
    vehicle: Car,
    give_: Annotated[list[str] | None, typer.Option("--give", help="A purpose its person agrees to.")] = None,
    withdraw: Annotated[list[str] | None, typer.Option(help="A purpose its person agrees to no longer.")] = None,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Show, give or withdraw a car's consents, which are grants to the zone; what is withdrawn is dropped at once."""
    with _desk(data, config) as (records, ground, folder):
        records.vehicle(vehicle)
        for purpose in give_ or []:
            give(records, ground, vehicle, Wanted(ZONE, purpose), MACHINE)
        for purpose in withdraw or []:
            _withdraw(records, ground, vehicle, purpose)
        if give_ or withdraw:
            tell(folder, subjects.GRANT, vehicle.encode())
        now = datetime.now(UTC)
        held = records.grants.held(now, [ZONE], [vehicle])
        standing = {one.grant.purpose for one in held if ground.holds(one, now)}
        for known in ground.policy.purposes.values():
            said = ("given" if known.name in standing else "not given") if known.needs_consent else "not needed"
            typer.echo(f"{known.name:20} {said:12} {known.basis}: {known.why}")


def _withdraw(records: Records, ground: Ground, vehicle: str, purpose: str) -> None:
    known = ground.policy.purposes.get(purpose)
    if known is None or not known.needs_consent:
        needing = [name for name, each in ground.policy.purposes.items() if each.needs_consent]
        do = f"Purposes that need one: {', '.join(needing)}." if needing else "No purpose of this zone needs one."
        raise InputError(f"{purpose[:64]!r} is no purpose that needs a consent.", do)
    for one in records.grants.held(datetime.now(UTC), [ZONE], [vehicle]):
        if one.grant.purpose == purpose:
            revoke(records, ground, vehicle, one.grant.id, MACHINE)


@contextmanager
def _desk(data: Data, config: Config) -> Iterator[tuple[Records, Ground, Folder]]:
    settings, folder = zone_of(data, config)
    ground = ground_of(settings.zone, governance_in_force(settings, folder), catalogue_in_force(settings, folder))
    with contextlib.closing(open_records(settings, folder)) as records:
        yield records, ground, folder


def _step(text: str) -> tuple[str, float]:
    glob, _, step = text.partition("=")
    try:
        return glob, float(step)
    except ValueError:
        raise InputError(f"{text[:80]!r} is no precision.", "Write GLOB=STEP, like Vehicle.Speed=10.") from None


def _line(one: Grant) -> str:
    ends = "" if one.until_at is None else f" until {one.until_at:%Y-%m-%dT%H:%M:%SZ}"
    over = "" if one.revoked_at is None else f", revoked {one.revoked_at:%Y-%m-%dT%H:%M:%SZ}"
    what = " ".join([*one.paths, *one.commands, *(f"{glob}={step:g}" for glob, step in one.precision)])
    when = f"from {one.from_at:%Y-%m-%dT%H:%M:%SZ}{ends}{over}"
    what += "  (owner)" if one.owner else ""
    return f"{one.id}  {one.grantee:24}  {one.purpose:16}  {one.version:3}  {when}  {what}"
