"""`carcloud sql`, `carcloud export`, `carcloud retention`: ask the lake, and how long it keeps what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import typer

from carcloud.assembly.records import open_records
from carcloud.backends.delta import Reader
from carcloud.backends.records import Entry
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError, MissingError
from carcloud.lake.exports import WRITERS, exporting
from carcloud.lake.query import LakeQuery, folder_of
from carcloud.lake.recorded import Shown
from carcloud.lake.settings import QueryLimits
from carcloud.research.schemas import SCHEMAS
from carcloud.safety.governance.days import COUNTS, Kept, day_of, kept_by_signal
from carcloud.safety.tenants import seen_by
from carcloud.settings import Folder, Settings, catalogue_in_force, governance_in_force, own_signals_in_force

EXPORT_TIME_S = 3600.0
HEAD = ("signal", "class", "kept", "rows", "oldest", "goes")

app = typer.Typer()


@app.command()
def sql(
    text: str,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
) -> None:
    """Ask the lake; the answer is a table."""
    answer = lake_query(*zone_of(data, config, tenant)).run(text, limit=limit)
    for line in _lines(answer.table):
        typer.echo(line)
    more = f", cut at {limit}: raise --limit or use export" if answer.truncated else ""
    typer.echo(f"{answer.table.num_rows} rows in {answer.elapsed_s:.2f} s{more}", err=True)


@app.command()
def export(
    sql: Annotated[str, typer.Option(help="What to export.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[str, typer.Option(help="parquet, csv or arrow.")] = "parquet",  # noqa: A002
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Write an answer of the lake to a file, however large."""
    if format not in WRITERS:
        raise InputError(f"There is no format {format!r}.", f"Use one of {', '.join(WRITERS)}.")
    settings, folder = zone_of(data, config, tenant)
    query = lake_query(settings, folder, replace(settings.query, time_s=EXPORT_TIME_S))
    with contextlib.closing(open_records(settings, folder)) as records:
        try:
            with exporting(records, settings.tenant, "machine", out, format) as draft, query.stream(sql) as reader:
                records.audit.add(
                    Entry("machine", "exportLake", "lake", details={"query": sql}, tenant=settings.tenant)
                )
                with WRITERS[format](draft.sink, reader.schema) as writer:
                    for batch in reader:
                        writer.write_batch(batch)
                        draft.rows += batch.num_rows
        except pa.ArrowException as error:
            raise InputError(
                f"{format} cannot hold that: {error}.", "Cast it to a plain type, or use parquet."
            ) from None
        except OSError as error:
            raise InputError(
                f"{out} cannot be written: {error.strerror or error}.", "Give another file, or make room."
            ) from None
    typer.echo(f"{draft.rows} rows in {out}")


@app.command()
def retention(data: Data = DATA, config: Config = None) -> None:
    """Show how many rows the lake keeps of each signal, how old they are, and when they go."""
    settings, folder = zone_of(data, config)
    policy = governance_in_force(settings, folder)
    query = lake_query(settings, folder, replace(settings.query, time_s=EXPORT_TIME_S))
    counts = query.run(COUNTS, limit=None).table.to_pylist()
    rows = [(row["signal"], row["day"], row["rows"]) for row in counts]
    kept = kept_by_signal(policy, rows, day_of(datetime.now(UTC)))
    lines = [HEAD, *map(_cells_of, kept)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(HEAD))]
    for line in lines:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    due = sum(one.due for one in kept)
    typer.echo(f"{sum(one.rows for one in kept)} rows, {due} of them expired and about to go", err=True)


def lake_query(settings: Settings, folder: Folder, limits: QueryLimits | None = None) -> LakeQuery:
    """Return the SQL of the home tenant's lake. Raise MissingError before its first row."""
    table, recorded = folder.lake / "samples", Shown(folder.lake, settings.tenant, SCHEMAS)
    if not table.exists() and not recorded.folder.exists():
        raise MissingError(
            f"There is no lake in {folder.path} yet.", "Send a first batch, or give the zone's folder with --data."
        )

    def signals() -> list[dict[str, Any]]:
        whose = own_signals_in_force(folder)
        catalogue = seen_by(catalogue_in_force(settings, folder), whose, settings.tenant)
        fields = ("path", "type", "unit", "min", "max", "kind", "description")
        return [{name: getattr(entry, name) for name in fields} for entry in catalogue.values()]

    def cars() -> list[dict[str, Any]]:
        with contextlib.closing(open_records(settings, folder)) as records:
            found = records.vehicles(limit=100_000, tenant=settings.tenant)
        return [{"vehicle": car.id, "state": car.state, "enrolled_at": car.enrolled_at} for car in found]

    files = Reader(table, ("tenant", settings.tenant)).live
    return LakeQuery(folder_of(table, settings.tenant), files, signals, cars, limits or settings.query, recorded)


def _lines(table: pa.Table) -> Iterator[str]:
    rows = [table.column_names, *([_cell(value) for value in row.values()] for row in table.to_pylist())]
    widths = [max(len(row[at]) for row in rows) for at in range(table.num_columns)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(value: object) -> str:
    return "" if value is None else harmless(str(value))


def _cells_of(one: Kept) -> tuple[str, ...]:
    how_long = "until erased" if one.days is None else f"{one.days} days"
    goes = "" if one.next is None else "now" if one.due else f"{one.next}"
    return one.signal, one.kind or "no rule", how_long, str(one.rows), f"{one.oldest}", goes
