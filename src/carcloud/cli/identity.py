"""`carcloud claim`, `join`, `vehicle` and `identity`: the life of a car's identity, and what it is wanted to be."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.records import open_records
from carcloud.assembly.typed import TypedTwin
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.cli.notices import tell
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.vehicles import tell_changed
from carcloud.errors import MissingError, TryLaterError
from carcloud.gateway.claims import CLAIM_HOURS, LIMIT_HOURS, Given, for_car_alone, make_claim
from carcloud.gateway.claims import rekey as rekey_vehicle
from carcloud.gateway.desired import desired, sources
from carcloud.gateway.enrolment import change
from carcloud.gateway.identities import (
    ZoneIdentity,
    certificate_standing,
    claim_standing,
    identity_of,
    zone_identity,
)
from carcloud.onboard.certificate import join as join_zone
from carcloud.safety.identity import Trust
from carcloud.safety.orders.keys import is_certified, orders_folder
from carcloud.safety.orders.people import People
from carcloud.settings import Folder, Settings, catalogue_in_force
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader
from carcloud.vehicle.life import Act

MACHINE = "machine"
PATIENCE_S = 5.0

Hours = Annotated[int, typer.Option(min=1, max=LIMIT_HOURS, help="How many hours the claim holds.")]
SerialHash = Annotated[
    str | None, typer.Option(help="SHA-256 of a control unit's serial number, which the car must then show.")
]

app = typer.Typer()
vehicle = typer.Typer(no_args_is_help=True, help="Change the state of a car's identity; show what it is wanted to be.")
app.add_typer(vehicle, name="vehicle")


@app.command("claim")
def claim_vehicle(
    vin: Annotated[str, typer.Option(help="The vehicle identification number, 17 characters.")],
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    label: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    hours: Hours = CLAIM_HOURS,
    serial_hash: SerialHash = None,
) -> None:
    """Let a car join: give out a token with which it gets its first certificate, once."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        given = make_claim(
            records, vin, MACHINE, label=label, tenant=settings.tenant, hours=hours, serial_hash=serial_hash
        )
    _tell_claim(given, settings, folder)


@app.command()
def join(
    claim: Annotated[str, typer.Option(help="The token that `carcloud claim` printed.")],
    zone: Annotated[str, typer.Option(help="The zone's door for claims, such as https://zone.example:8444.")],
    ca: Annotated[Path, typer.Option(help="The certificates by which the car knows its zone.")],
    into: Annotated[Path, typer.Option(help="The folder for the car's credentials.")] = Path("vehicle"),
    serial: Annotated[str, typer.Option(help="The control unit's serial number, where the claim wants it.")] = "",
) -> None:
    """Be a car that joins: make a key, and have it certified by a claim."""
    credentials = join_zone(claim, zone, ca, into, serial)
    ends = credentials.certificate().not_valid_after_utc
    typer.echo(f"{credentials.vehicle}\ncredentials in {into}, valid until {ends:%Y-%m-%d}; the agent renews them")


@vehicle.command("quarantine")
def vehicle_quarantine(vehicle: str, data: Data = DATA, config: Config = None) -> None:
    """Let a car in, but take nothing from it: it keeps what it has until it is released."""
    _change(vehicle, "quarantine", data, config)


@vehicle.command("release")
def vehicle_release(vehicle: str, data: Data = DATA, config: Config = None) -> None:
    """Take a car out of quarantine."""
    _change(vehicle, "release", data, config)


@vehicle.command("retire")
def vehicle_retire(vehicle: str, data: Data = DATA, config: Config = None) -> None:
    """End a car's identity for ever: it is scrapped or sold away."""
    _change(vehicle, "retire", data, config)


@vehicle.command("desired")
def vehicle_desired(vehicle: str, data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """Show what a car is wanted to be, what it reports, and whether the two agree."""
    settings, folder = zone_of(data, config, tenant)
    zone = ZoneFile.read(folder)
    with contextlib.closing(open_records(settings, folder)) as records:
        if records.vehicle(vehicle).tenant != settings.tenant:
            raise MissingError(f"No vehicle {vehicle!r}.", "List the enrolled ones with `carcloud vehicles`.")
        orders = records.orders.newest(settings.tenant, vehicle)
    reported = asyncio.run(_reported(settings, folder, zone, vehicle))
    for one in desired(orders, reported, datetime.now(UTC)):
        told = f"  {one.reason}" if one.reason else ""
        typer.echo(f"{one.path}  wanted {one.wanted}  reported {one.reported}  {one.state}{told}  {one.order}")


async def _reported(settings: Settings, folder: Folder, zone: ZoneFile, vehicle: str) -> dict[str, object]:
    """Return what the running zone's twin knows of the signals that tell what came of settings."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            cloud = await Bus.connect(zone.bus("cloud"), "command line")
    except TimeoutError:
        raise TryLaterError("The zone does not answer.", "Start it: carcloud up.") from None
    try:
        twin = TypedTwin(TwinReader(cloud), catalogue_in_force(settings, folder))
        return {path: last.value for path, last in (await twin.get(vehicle, sources())).items()}
    finally:
        await cloud.close()


@vehicle.command("rekey")
def vehicle_rekey(
    vehicle: str,
    data: Data = DATA,
    config: Config = None,
    hours: Hours = CLAIM_HOURS,
    serial_hash: SerialHash = None,
) -> None:
    """End a car's certificates, orders and all grants, and let it join anew: after a change of owner, a stolen key."""
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        given = rekey_vehicle(records, vehicle, MACHINE, hours=hours, serial_hash=serial_hash)
    tell_changed(folder, vehicle)
    tell(folder, subjects.GRANT, vehicle.encode())
    _tell_claim(given, settings, folder)
    _tell_order_keys(given, settings, folder)


@app.command()
def identity(
    vehicle: Annotated[str | None, typer.Argument(help="One car; else the zone.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Show who may come in: states, certificates that end soon, clones suspected, claims; of the zone or a car."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        if vehicle:
            lines = _vehicle_lines(records, vehicle)
        else:
            lines = _zone_lines(zone_identity(records, Trust(folder.keys), settings.tenant))
    typer.echo("\n".join(lines))


def _change(vehicle: str, act: Act, data: Path, config: Path | None) -> None:
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        changed = change(records, vehicle, act, MACHINE)
    typer.echo(f"{vehicle} is {changed.state}")
    tell_changed(folder, vehicle)


def _tell_claim(given: Given, settings: Settings, folder: Folder) -> None:
    host, port = settings.listen.names[0] if settings.listen.names else settings.listen.host, settings.listen.claims
    with contextlib.suppress(MissingError):
        port = ZoneFile.read(folder).claims
    typer.echo(f"{given.vehicle.id} may join until {given.claim.ends_at:%Y-%m-%dT%H:%M:%SZ}. Shown once:")
    typer.echo(given.token)
    trust = Trust(folder.keys).servers
    typer.echo(f"In the car: carcloud join --claim TOKEN --zone https://{host}:{port} --ca {trust.name}", err=True)
    typer.echo(f"{trust.name} is {trust}; it is no secret.", err=True)


def _tell_order_keys(given: Given, settings: Settings, folder: Folder) -> None:
    """Say whose keys were registered for this car alone, by which its last owner could order it about."""
    if settings.orders.signer_socket:
        do = "carcloud operator list --keys DIR, then carcloud operator remove NAME"
        typer.echo(f"Remove the keys of its last owner where the order signer is: {do}.", err=True)
        return
    place = orders_folder(folder.keys, given.vehicle.tenant, settings.tenant)
    if not is_certified(place):
        return
    for one in for_car_alone(map(vars, People(place).all()), given.vehicle.id):
        name, tenant = one["name"], given.vehicle.tenant
        typer.echo(f"The key {one['key']} of {name} orders this car alone. Where {name} has it no more:")
        typer.echo(f"carcloud operator remove {name}" + ("" if tenant == settings.tenant else f" --tenant {tenant}"))


def _zone_lines(found: ZoneIdentity) -> list[str]:
    lines = [f"{state:12} {count}" for state, count in found.states.items()]
    for name, authority in found.authorities.items():
        lines.append(f"authority    {name}  {authority.algorithm}  ends {authority.ends:%Y-%m-%d}")
    lines += [f"ends soon    {each.vehicle}  {each.not_after:%Y-%m-%dT%H:%M:%SZ}" for each in found.ending]
    lines += [f"claim        {each.vehicle}  until {each.ends_at:%Y-%m-%dT%H:%M:%SZ}" for each in found.claims]
    lines += [
        f"suspected    {each.vehicle}  since {each.since:%Y-%m-%dT%H:%M:%SZ}  {each.why}" for each in found.clones
    ]
    return lines


def _vehicle_lines(records: Records, vehicle: str) -> list[str]:
    found, now = identity_of(records, vehicle), datetime.now(UTC)
    lines = [f"{found.vehicle.id}  {found.vehicle.state}  {found.vehicle.vin}  {found.vehicle.label or ''}".rstrip()]
    for each in found.certificates:
        standing = certificate_standing(each, now)
        lines.append(f"certificate  {each.serial}  {each.issued_at:%Y-%m-%d} to {each.not_after:%Y-%m-%d}  {standing}")
    for claim in found.claims:
        lines.append(f"claim        {claim.id}  until {claim.ends_at:%Y-%m-%dT%H:%M:%SZ}  {claim_standing(claim, now)}")
    for clone in found.suspicions:
        settled = "settled" if clone.settled_at else "open"
        lines.append(f"suspected    since {clone.since:%Y-%m-%dT%H:%M:%SZ}  {clone.why}  {settled}")
    return lines
