"""`carcloud research export`: scenarios as files of others' formats."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.records import open_records
from carcloud.backends.records.audit import Entry
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.orders import ACTOR
from carcloud.errors import InputError, MissingError
from carcloud.research.exports.folder import FORMATS, export
from carcloud.research.store import Store


def export_scenarios(
    out: Annotated[Path, typer.Option(help="The folder to write into.")],
    scenarios: Annotated[list[str] | None, typer.Argument(help="Ids of scenarios.")] = None,
    recording: Annotated[str, typer.Option(help="All scenarios of this recording.")] = "",
    everything: Annotated[bool, typer.Option("--all", help="All scenarios there are.")] = False,
    format_: Annotated[str, typer.Option("--format", help=f"One of {', '.join(FORMATS)}.")] = "openscenario",
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Write scenarios as files, each with its licence and consent."""
    settings, folder = zone_of(data, config, tenant)
    store = Store(folder.lake, settings.tenant)
    if sum((bool(scenarios), bool(recording), everything)) != 1:
        raise InputError("Which scenarios?", "Name their ids, or give --recording or --all.")
    ids = scenarios or [row.id for row in store.scenarios() if everything or row.recording == recording]
    if not ids:
        raise MissingError("There is no such scenario.", "List them: carcloud research scenarios.")
    with contextlib.closing(open_records(settings, folder)) as records:
        told = {"format": format_, "scenarios": len(ids)}
        records.audit.add(Entry(ACTOR, "exportLake", "scenarios", facts=told, tenant=settings.tenant))
        files = 0
        try:
            for _ in export(records, store, settings.tenant, ids, format_, out, ACTOR):
                files += 1
        except OSError as error:
            raise InputError(
                f"{out} cannot be written: {error.strerror or error}.", "Give another folder, or make room."
            ) from None
    typer.echo(f"{len(ids)} scenarios, {files} files in {out}")
