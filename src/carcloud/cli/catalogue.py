"""`carcloud catalogue`: the signals a zone knows, and whether a file fits them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import typer

from carcloud.cli.options import DATA, Config, Data
from carcloud.errors import ConflictError, InputError
from carcloud.settings import Folder, catalogue_in_force, load_catalogue, read_catalogue, settings_of

app = typer.Typer()
catalogue = typer.Typer(no_args_is_help=True, help="The signals the zone knows.")
app.add_typer(catalogue, name="catalogue")


@catalogue.command("show")
def catalogue_show(data: Data = DATA, config: Config = None) -> None:
    """Print the catalogue in force."""
    settings, folder = settings_of(config, Folder(data)), Folder(data)
    _say_where_no_zone_is(folder)
    for path, entry in sorted(catalogue_in_force(settings, folder).items()):
        span = "" if entry.min is None and entry.max is None else f"{entry.min} … {entry.max}"
        typer.echo("  ".join(str(part) for part in (path, entry.type, entry.unit or "", span) if part))


@catalogue.command("check")
def catalogue_check(file: Path, data: Data = DATA, config: Config = None) -> None:
    """Read a catalogue or overlay as the zone would, and say what is wrong with it."""
    settings, folder = settings_of(config, Folder(data)), Folder(data)
    read_catalogue(file)
    _say_where_no_zone_is(folder)
    overlaid = replace(settings, overlays=(*settings.overlays, str(file)))
    uses = {"overlay": overlaid, "catalogue": replace(settings, catalogue=str(file), overlays=())}
    fits = 0
    for use, wanted in uses.items():
        try:
            found = load_catalogue(wanted, folder.catalogue)
        except (ConflictError, InputError) as error:
            typer.echo(f"as {use}: no. {error}")
        else:
            fits += 1
            retired = sum(entry.retired for entry in found.values())
            typer.echo(f"as {use}: good; the zone would know {len(found)} signals, {retired} of them retired")
    if not fits:
        raise typer.Exit(1)


def _say_where_no_zone_is(folder: Folder) -> None:
    if not folder.catalogue.exists():
        typer.echo(f"No zone has started in {folder.path} yet: this is what one would start with.", err=True)
