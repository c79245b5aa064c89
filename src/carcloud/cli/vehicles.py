"""`carcloud enrol`, `renew`, `revoke` and `vehicles`: who may speak."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.doors import endpoints as zone_endpoints
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.cli.notices import tell
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.errors import ConflictError, MissingError
from carcloud.gateway.enrolment import Endpoints, Enrolment, enrol_into, renew_into, revoke
from carcloud.safety.identity import Authority
from carcloud.settings import Folder, Settings
from carcloud.stream import subjects

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
def vehicles(data: Data = DATA, config: Config = None, tenant: OfTenant = None) -> None:
    """List the cars."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        after: str | None = None
        while page := records.vehicles(limit=1000, after=after, tenant=settings.tenant):
            sources = records.replicas.sources([car.id for car in page if car.state == "replica"])
            for car in page:
                name = car.label or sources.get(car.id, "")
                typer.echo(f"{car.id}  {car.state:11}  {car.vin:17}  {car.enrolled_at:%Y-%m-%d}  {name}".rstrip())
            after = page[-1].id


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
