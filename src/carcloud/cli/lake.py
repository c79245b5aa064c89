"""`carcloud sql` and `carcloud export`: ask the lake."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import typer

from carcloud.assembly.records import open_records
from carcloud.backends.delta import Reader
from carcloud.backends.records import Entry
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError, MissingError
from carcloud.lake.query import LakeQuery, folder_of
from carcloud.lake.settings import QueryLimits
from carcloud.safety.keys import PRIVATE_FILE
from carcloud.settings import Folder, Settings, catalogue_in_force

EXPORT_TIME_S = 3600.0

app = typer.Typer()


@app.command()
def sql(
    text: str,
    data: Data = DATA,
    config: Config = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
) -> None:
    """Ask the lake; the answer is a table."""
    answer = lake_query(*zone_of(data, config)).run(text, limit=limit)
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
) -> None:
    """Write an answer of the lake to a file, however large."""
    writers: dict[str, Callable[[Any, pa.Schema], Any]] = {
        "parquet": lambda sink, schema: pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd"),
        "csv": lambda sink, schema: pyarrow.csv.CSVWriter(sink, schema),
        "arrow": lambda sink, schema: pa.ipc.new_file(sink, schema),
    }
    if format not in writers:
        raise InputError(f"There is no format {format!r}.", f"Use one of {', '.join(writers)}.")
    settings, folder = zone_of(data, config)
    query, rows, temporary = (
        lake_query(settings, folder, replace(settings.query, time_s=EXPORT_TIME_S)),
        0,
        out.with_name(out.name + ".part"),
    )
    try:
        with query.stream(sql) as reader, _private(temporary) as sink, writers[format](sink, reader.schema) as writer:
            act = Entry("machine", "exportLake", "lake", details={"query": sql}, tenant=settings.tenant)
            with contextlib.closing(open_records(settings, folder)) as records:
                records.audit.add(act)
            for batch in reader:
                writer.write_batch(batch)
                rows += batch.num_rows
        temporary.replace(out)
    except pa.ArrowException as error:
        raise InputError(f"{format} cannot hold that: {error}.", "Cast it to a plain type, or use parquet.") from None
    except OSError as error:
        raise InputError(
            f"{out} cannot be written: {error.strerror or error}.", "Give another file, or make room."
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    typer.echo(f"{rows} rows in {out}")


def _private(path: Path) -> BinaryIO:
    """Open a new file that its owner alone reads, for writing."""
    path.unlink(missing_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb")


def lake_query(settings: Settings, folder: Folder, limits: QueryLimits | None = None) -> LakeQuery:
    """Return the SQL of the home tenant's lake. Raise MissingError before its first row."""
    table = folder.lake / "samples"
    if not table.exists():
        raise MissingError(
            f"There is no lake in {folder.path} yet.", "Send a first batch, or give the zone's folder with --data."
        )

    def signals() -> list[dict[str, Any]]:
        fields = ("path", "type", "unit", "min", "max", "kind", "description")
        return [
            {name: getattr(entry, name) for name in fields} for entry in catalogue_in_force(settings, folder).values()
        ]

    def cars() -> list[dict[str, Any]]:
        with contextlib.closing(open_records(settings, folder)) as records:
            found = records.vehicles(limit=100_000, tenant=settings.tenant)
        return [{"vehicle": car.id, "state": car.state, "enrolled_at": car.enrolled_at} for car in found]

    files = Reader(table, ("tenant", settings.tenant)).live
    return LakeQuery(folder_of(table, settings.tenant), files, signals, cars, limits or settings.query)


def _lines(table: pa.Table) -> Iterator[str]:
    rows = [table.column_names, *([_cell(value) for value in row.values()] for row in table.to_pylist())]
    widths = [max(len(row[at]) for row in rows) for at in range(table.num_columns)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(value: object) -> str:
    return "" if value is None else harmless(str(value))
