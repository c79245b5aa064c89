"""`carcloud enrol`, `renew`, `revoke` and `vehicles`: who may speak."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.doors import endpoints as zone_endpoints
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.cli.notices import tell
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.errors import ConflictError, MissingError, TryLaterError
from carcloud.gateway.enrolment import Endpoints, Enrolment, enrol_into, renew_into, revoke
from carcloud.safety.grants.reach import Reach
from carcloud.safety.identity import Authority
from carcloud.safety.tenants import seen_by
from carcloud.settings import Folder, Settings, catalogue_in_force, own_signals_in_force
from carcloud.stream import subjects
from carcloud.twin.reader import TwinReader
from carcloud.twin.search import Found, search
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.text import parse

PATIENCE_S = 5.0
PAGE = 1000

app = typer.Typer()


@app.command("enrol")
def enrol_vehicle(
    vin: Annotated[str, typer.Option(help="The vehicle identification number, 17 characters.")],
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    out: Annotated[Path | None, typer.Option(help="The folder for the car's credentials.")] = None,
    label: Annotated[str | None, typer.Option(help="A name for people.")] = None,
) -> None:
    """Give a car its identity: a random id, a key and a certificate."""
    settings, folder = zone_of(data, config, tenant)
    if out and (out / "vehicle.json").exists():
        raise ConflictError(f"{out} holds a car's credentials already.", "Give another folder.")
    with contextlib.closing(open_records(settings, folder)) as records:
        enrolment, place = enrol_into(
            lambda vehicle: out or folder.credentials / vehicle,
            records,
            Authority(folder.keys),
            vin,
            endpoints(settings, folder),
            label=label,
            tenant=settings.tenant,
        )
    _tell_credentials(enrolment, place)


@app.command("renew")
def renew_vehicle(
    vehicle: str,
    data: Data = DATA,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="The folder for the car's credentials.")] = None,
) -> None:
    """Give an enrolled car a new key and certificate; its older ones hold until they end."""
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        place = out or folder.credentials / records.vehicle(vehicle).id
        enrolment = renew_into(place, records, Authority(folder.keys), vehicle, endpoints(settings, folder))
    _tell_credentials(enrolment, place)


@app.command("revoke")
def revoke_vehicle(vehicle: str, data: Data = DATA, config: Config = None) -> None:
    """End a car's right to speak; a live session is closed at once."""
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        revoke(records, vehicle)
    typer.echo(f"{vehicle} is revoked")
    tell_changed(folder, vehicle)


@app.command()
def vehicles(
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    where: Annotated[
        str | None, typer.Option(help="Only those for which this condition holds now; the zone must run.")
    ] = None,
) -> None:
    """List the cars."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        if where is not None:
            _tell_found(settings, folder, records, where)
            return
        after: str | None = None
        while page := records.vehicles(limit=PAGE, after=after, tenant=settings.tenant):
            sources = records.replicas.sources([car.id for car in page if car.state == "replica"])
            for car in page:
                name = car.label or sources.get(car.id, "")
                typer.echo(f"{car.id}  {car.state:11}  {car.vin:17}  {car.enrolled_at:%Y-%m-%d}  {name}".rstrip())
            after = page[-1].id


def _tell_found(settings: Settings, folder: Folder, records: Records, where: str) -> None:
    catalogue = seen_by(catalogue_in_force(settings, folder), own_signals_in_force(folder), settings.tenant)
    condition = parse(where, catalogue)
    found = asyncio.run(_search(ZoneFile.read(folder), condition, Reach(settings.tenant)))
    for first in range(0, len(found.vehicles), PAGE):
        page = found.vehicles[first : first + PAGE]
        for car in records.vehicles(PAGE, tenant=settings.tenant, among=page):
            typer.echo(f"{car.id}  {car.label or ''}".rstrip())
    typer.echo(f"{len(found.vehicles)} found; of {found.unknown} it is not known", err=True)


async def _search(zone: ZoneFile, condition: Condition, reach: Reach) -> Found:
    try:
        async with asyncio.timeout(PATIENCE_S):
            cloud = await Bus.connect(zone.bus("cloud"), "command line")
    except TimeoutError:
        raise TryLaterError("The zone does not answer.", "Start it: carcloud up.") from None
    try:
        return await search(TwinReader(cloud), condition, reach, time.time_ns() // 1000)
    finally:
        await cloud.close()


def tell_changed(folder: Folder, vehicle: str) -> None:
    """Tell a running zone that a car's state was changed: its session is closed at once."""
    tell(folder, subjects.REVOKED, vehicle.encode())


def endpoints(settings: Settings, folder: Folder) -> Endpoints:
    """Return where cars find the zone of a folder, whether it runs or not."""
    try:
        return zone_endpoints(settings, ZoneFile.read(folder))
    except MissingError:
        return zone_endpoints(settings, None)


def _tell_credentials(enrolment: Enrolment, place: Path) -> None:
    typer.echo(
        f"{enrolment.vehicle.id}\ncredentials in {place}, valid until {enrolment.credentials.not_after:%Y-%m-%d}"
    )
