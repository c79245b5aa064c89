"""`carcloud import`: moving in from another cloud."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from carcloud.cli.options import DATA, Config, Data
from carcloud.errors import InputError, MissingError
from carcloud.onboard.fleetwise import REMARKS, move, write
from carcloud.settings import Folder, catalogue_in_force, governance_in_force, settings_of
from carcloud.vehicle.fleetwise.campaign import Terms
from carcloud.vehicle.plans.measures import size_bytes

app = typer.Typer()
imports = typer.Typer(no_args_is_help=True, help="Move in from another cloud.")
app.add_typer(imports, name="import")


@imports.command()
def fleetwise(
    paths: Annotated[
        list[Path], typer.Argument(help="JSON files as the FleetWise API returns them, or folders of them.")
    ],
    out: Annotated[Path, typer.Option(help="The folder to write into, absent or empty.")],
    purpose: Annotated[str, typer.Option(help="What the plans collect for: a purpose of the zone's governance.")],
    budget: Annotated[str, typer.Option(help="How much a car may send for a plan a day.")] = "5 MB",
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Turn an AWS IoT FleetWise catalogue, decoders and campaigns into an overlay, CAN mappings and plans."""
    settings, folder = settings_of(config, Folder(data)), Folder(data)
    governance = governance_in_force(settings, folder)
    purposes = governance.purposes
    if purpose not in purposes:
        raise InputError(f"{purpose!r} is no purpose of the governance.", f"It has {', '.join(purposes)}.")
    size_bytes(budget)
    terms = Terms(purpose, purposes[purpose].basis, budget, datetime.now(UTC))
    moved = move(_contents(paths), catalogue_in_force(settings, folder), terms, governance)
    write(moved, out)
    for remark in moved.remarks:
        typer.echo(str(remark))
    typer.echo(f"{moved.signals} new signals, {moved.mapped} mapped from CAN, {moved.plans} plans in {out}")
    typer.echo(f"{len(moved.remarks)} remarks, also in {out / REMARKS}")


@imports.callback()
def _imports() -> None:
    """Move in from another cloud."""


def _contents(paths: list[Path]) -> Iterator[tuple[str, bytes]]:
    for path in paths:
        files = sorted(path.glob("*.json")) if path.is_dir() else [path]
        if not files:
            raise MissingError(f"{path} has no .json file.", "Give the folder with the exported files.")
        for file in files:
            try:
                yield str(file), file.read_bytes()
            except FileNotFoundError:
                raise MissingError(f"There is no file {file}.", "Check the path.") from None
            except OSError as error:
                raise InputError(f"{file} cannot be read: {error.strerror}.", "Check the file.") from None
