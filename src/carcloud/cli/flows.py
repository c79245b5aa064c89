"""`carcloud flow`: what may leave the zone for another, and reading what another zone lets out to this one."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet
import typer

from carcloud.assembly.records import open_records
from carcloud.backends.files import flush
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.errors import ConflictError, InputError
from carcloud.lake.leaving import LIMIT_ROWS
from carcloud.safety.flows.flow import Flows
from carcloud.safety.flows.meter import Meter, Reading
from carcloud.safety.flows.names import Names
from carcloud.safety.flows.plan import Plan
from carcloud.safety.flows.reader import FlowReader
from carcloud.safety.flows.tokens import make_token
from carcloud.safety.keys import read_key
from carcloud.settings import (
    Folder,
    Settings,
    catalogue_in_force,
    flows_in_force,
    governance_in_force,
    load_flows,
    settings_of,
)

NEXT = b"next"

Name = Annotated[str, typer.Argument(help="The flow's name.")]

app = typer.Typer()
flow = typer.Typer(no_args_is_help=True, help="What may leave the zone for another.")
app.add_typer(flow, name="flow")


@flow.command("list")
def list_(data: Data = DATA, config: Config = None) -> None:
    """Show the flows in force, and how many people's data left by them this year."""
    settings, folder = zone_of(data, config)
    flows = flows_in_force(folder)
    with contextlib.closing(open_records(settings, folder)) as records:
        meter = Meter(records, Names(folder.keys))
        _print(flows, settings, folder, meter.readings(flows))
        typer.echo(f"\ncounted in {flows.year(meter.now())}, whose days begin in {flows.calendar}")


@flow.command()
def check(
    file: Annotated[Path, typer.Argument(help="A flows file.")], data: Data = DATA, config: Config = None
) -> None:
    """Check a flows file against the zone's governance and catalogue, and show what it would let out."""
    settings = replace(settings_of(config, Folder(data)), flows=str(file))
    _print(load_flows(settings), settings, Folder(data), [])


@flow.command()
def token(
    name: Name,
    days: Annotated[int, typer.Option(help="How long it holds.")] = 90,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Make a token by which the other zone reads this one flow; it is shown once."""
    settings, folder = zone_of(data, config)
    found = flows_in_force(folder).flows.get(name)
    if found is None:
        raise InputError(f"No flow {name[:64]!r} is in force.", "List them with `carcloud flow list`.")
    with contextlib.closing(open_records(settings, folder)) as records:
        made, secret = make_token(records, found, settings.tenant, days, "machine", datetime.now(UTC))
    typer.echo(secret)
    typer.echo(
        f"For zone {found.to}, until {made.ends_at:%Y-%m-%d}; `carcloud token revoke {made.id}` ends it.", err=True
    )


@flow.command()
def read(
    name: Name,
    url: Annotated[str, typer.Option("--from", help="The other zone's address, such as https://zone.example.")],
    token_file: Annotated[Path, typer.Option(help="A file of your own with the token that zone gave out.")],
    out: Annotated[Path, typer.Option(help="The folder that the rows are added to, as numbered Parquet files.")],
    ca: Annotated[Path | None, typer.Option(help="The authority of the other zone's certificate.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Only samples from this time on, such as 2026-11-01T00:00Z.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only samples before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_ROWS, help="Rows of one file at most.")] = LIMIT_ROWS,
) -> None:
    """Read what another zone lets out, from where the last file ended; what is there already is not read again."""
    rows = files = 0
    asked = {"since": since, "until": until, "limit": limit}
    try:
        secret = read_key(token_file).decode("ascii", "replace").strip()
    except OSError as error:
        raise InputError(f"{token_file} cannot be read: {error.strerror}.", "Write the token into it.") from None
    try:
        out.mkdir(parents=True, exist_ok=True)
        number, after = _last(out)
        with contextlib.closing(FlowReader(url, name, secret, str(ca or ""))) as zone:
            more = True
            while more:
                page = zone.page(asked | {"after": after})
                after, more = page.next, page.more
                if page.rows.num_rows or more:
                    number, rows, files = number + 1, rows + page.rows.num_rows, files + 1
                    _write(out / f"{number:06}.parquet", page.rows, after)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{out} cannot be used: {error}.", "Give another folder, or make room.") from None
    typer.echo(f"{rows} rows in {files} new files in {out}")


def _last(folder: Path) -> tuple[int, str | None]:
    """Return the number of the newest file, and the place it ends at."""
    files = sorted(folder.glob("[0-9]*.parquet"))
    if not files:
        return 0, None
    place = (pyarrow.parquet.read_schema(files[-1]).metadata or {}).get(NEXT)
    if place is None:
        raise ConflictError(f"{files[-1]} was not written by `carcloud flow read`.", "Give a folder of its own.")
    return int(files[-1].stem), place.decode()


def _write(path: Path, table: pa.Table, after: str) -> None:
    """Write rows and the place they end at as one file, whole or not at all."""
    draft = path.with_name(f".{path.name}.part")
    pyarrow.parquet.write_table(table.replace_schema_metadata({NEXT: after.encode()}), draft, compression="zstd")
    flush(draft)
    draft.replace(path)
    flush(path.parent)


def _print(flows: Flows, settings: Settings, folder: Folder, readings: list[Reading]) -> None:
    governance, catalogue = governance_in_force(settings, folder), catalogue_in_force(settings, folder)
    if not flows.leaving:
        typer.echo("Nothing leaves the zone by flows.")
    for each in flows.leaving:
        plan = Plan(each, governance, catalogue)
        who = "cars whose person agreed" if plan.needs_consent else "all cars"
        under = (
            "under other names" if each.pseudonym else "under their VINs" if each.platform else "under their own ids"
        )
        times = f", times to {each.time_s} s" if each.time_s else ""
        until = f", until {each.until}" if each.until else ""
        typer.echo(f"{each.name}: to {each.to}, for {each.purpose}: {who}, {under}{times}{until}\n  {each.why}")
        for path, signal in plan.signals.items():
            unit = catalogue[path].unit or ""
            step = "" if signal.exactness is None else f", to {signal.exactness:g} {unit}".rstrip()
            typer.echo(f"  {path:78} {signal.kind}{step}")
        for reading in readings:
            if reading.flow == each.name:
                typer.echo(f"  {_counted(reading)}")
    for reading in readings:
        if not reading.flow:
            typer.echo(f"all flows: {_counted(reading)}")


def _counted(reading: Reading) -> str:
    of = "" if reading.stop is None else f", stops at {reading.stop} of {reading.limit}"
    return f"{reading.kind} data of {reading.people} people left{of}"
