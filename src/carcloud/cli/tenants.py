"""`carcloud tenant`: who has cars and people in the zone, and how much each may take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.orders import certify_tenants
from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.records import Quotas, Records, Tenant, Use
from carcloud.cli.notices import tell
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError, MissingError
from carcloud.safety import tenants
from carcloud.safety.identity import Authority
from carcloud.safety.people.register import MACHINE
from carcloud.settings import Folder, Settings, catalogue_in_force
from carcloud.stream import subjects

app = typer.Typer()
tenant = typer.Typer(no_args_is_help=True, help="Who has cars and people in the zone, and how much each may take.")
app.add_typer(tenant, name="tenant")

Vehicles = Annotated[int | None, typer.Option("--vehicles", min=0, help="Cars at most.")]
Messages = Annotated[int | None, typer.Option("--messages-per-s", min=0, help="Messages of all its cars in a second.")]
Bytes = Annotated[int | None, typer.Option("--bytes-per-s", min=0, help="Bytes of them, unpacked, in a second.")]
Queries = Annotated[int | None, typer.Option("--queries", min=0, help="Queries at once.")]
Streams = Annotated[int | None, typer.Option("--streams", min=0, help="Live streams at once.")]
LakeBytes = Annotated[int | None, typer.Option("--lake-bytes", min=0, help="Bytes of its rows in the lake.")]


@tenant.command("create")
def tenant_create(
    name: str,
    data: Data = DATA,
    config: Config = None,
    title: Annotated[str, typer.Option(help="What its console is called.")] = "",
    colour: Annotated[str, typer.Option(help="Its console's accent, such as #1a6b3c.")] = "",
    logo: Annotated[str, typer.Option(help="A few letters beside the title.")] = "",
    overlay: Annotated[Path | None, typer.Option(help="Signals of its own; hold from the zone's next start.")] = None,
    login: Annotated[str, typer.Option(help="Its first operator's login; NAME-admin if none is given.")] = "",
    vehicles: Vehicles = None,
    messages_per_s: Messages = None,
    bytes_per_s: Bytes = None,
    queries: Queries = None,
    streams: Streams = None,
    lake_bytes: LakeBytes = None,
) -> None:
    """Make a tenant with keys of its own, and print the link by which its first operator comes in."""
    quotas = Quotas(vehicles, messages_per_s, bytes_per_s, queries, streams, lake_bytes)
    wanted = tenants.Wanted(name, title, colour, logo, _text(overlay), quotas, login)
    with _open(data, config) as (settings, folder, records):
        catalogue = catalogue_in_force(settings, folder)
        made = tenants.create(records, folder.keys, settings.tenant, catalogue, wanted, MACHINE)
        without = certify_tenants(settings, folder, records, Authority(folder.keys))
    tell(folder, subjects.TENANT, name.encode())
    typer.echo(f"{made.tenant.name} is active; its first operator is {made.login}")
    if without:
        typer.echo(without, err=True)
    try:
        typer.echo(f"{ZoneFile.read(folder).console(made.secret)}\nvalid once, until {made.ends_at:%Y-%m-%dT%H:%M:%SZ}")
    except MissingError:
        do = f"print a link with `carcloud link --person {made.login}` when it does."
        typer.echo(f"The zone does not run; {do}", err=True)


@tenant.command("quota")
def tenant_quota(
    name: str,
    data: Data = DATA,
    config: Config = None,
    vehicles: Vehicles = None,
    messages_per_s: Messages = None,
    bytes_per_s: Bytes = None,
    queries: Queries = None,
    streams: Streams = None,
    lake_bytes: LakeBytes = None,
) -> None:
    """Give a tenant these quotas and no other, at once."""
    quotas = Quotas(vehicles, messages_per_s, bytes_per_s, queries, streams, lake_bytes)
    with _open(data, config) as (settings, folder, records):
        found = tenants.set_quotas(records, settings.tenant, name, quotas, MACHINE)
    tell(folder, subjects.TENANT, name.encode())
    typer.echo("\n".join(_lines(found, Use(), 0)))


@tenant.command("suspend")
def tenant_suspend(name: str, data: Data = DATA, config: Config = None) -> None:
    """Keep a tenant's cars, people and programs out, at once; its data stay."""
    with _open(data, config) as (settings, folder, records):
        tenants.suspend(records, settings.tenant, name, MACHINE)
    typer.echo(f"{name} is suspended")
    tell(folder, subjects.TENANT, name.encode())


@tenant.command("resume")
def tenant_resume(name: str, data: Data = DATA, config: Config = None) -> None:
    """Let a suspended tenant in again."""
    with _open(data, config) as (settings, folder, records):
        tenants.resume(records, settings.tenant, name, MACHINE)
    typer.echo(f"{name} is active")
    tell(folder, subjects.TENANT, name.encode())


@tenant.command("list")
def tenant_list(data: Data = DATA, config: Config = None) -> None:
    """List the tenants: state, cars, rows in the lake, title."""
    with _open(data, config) as (_, _folder, records):
        cars, uses = records.tenants.counts(), records.tenants.uses()
        for one in records.tenants.all():
            rows = uses.get(one.name, Use()).lake_rows
            line = f"{one.name:20}  {one.state:9}  {cars.get(one.name, 0):>7} cars  {rows:>12} rows  {one.title}"
            typer.echo(harmless(line.rstrip()))


@tenant.command("show")
def tenant_show(name: str, data: Data = DATA, config: Config = None) -> None:
    """Show a tenant: state, brand, quotas and what it takes."""
    with _open(data, config) as (_, _folder, records):
        found, use = records.tenants.get(name), records.tenants.uses().get(name, Use())
        cars = records.tenants.counts().get(name, 0)
    typer.echo("\n".join(map(harmless, _lines(found, use, cars))))


@contextmanager
def _open(data: Path, config: Path | None) -> Iterator[tuple[Settings, Folder, Records]]:
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        records.tenants.ensure(settings.tenant, datetime.now(UTC))
        yield settings, folder, records


def _lines(tenant: Tenant, use: Use, cars: int) -> list[str]:
    taken = {"vehicles": cars, "lake_bytes": use.lake_bytes}
    lines = [f"{tenant.name}  {tenant.state}  since {tenant.created_at:%Y-%m-%d}"]
    lines.append(f"title           {tenant.title or '-'}  {tenant.colour}  {tenant.logo}".rstrip())
    lines.append(f"own signals     {len(tenants.overlay_of(tenant))}")
    for name, limit in asdict(tenant.quotas).items():
        of = f" ({taken[name]} taken)" if name in taken else ""
        lines.append(f"{name:15} {'no limit' if limit is None else limit}{of}")
    return lines


def _text(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file} cannot be read: {error}.", "Give a file with signals, as docs/catalogue.md shows."
        ) from None
