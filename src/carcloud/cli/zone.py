"""`carcloud up`: run a zone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.backup.drafts import leftovers, warning
from carcloud.assembly.links import console_link
from carcloud.assembly.up import up as run_zone
from carcloud.assembly.zonefile import ZoneFile
from carcloud.cli.options import DATA, Config, Data
from carcloud.safety.people.accounts import LINK_LASTS
from carcloud.settings import LABORATORY, Folder, Settings, governance_in_force, settings_of

app = typer.Typer()


@app.callback()
def _group() -> None:
    pass


@app.command()
def up(
    data: Data = DATA,
    config: Config = None,
    catalog: Annotated[str, typer.Option(help="A VSS JSON or compact YAML file instead of the core profile.")] = "",
    overlay: Annotated[list[str] | None, typer.Option(help="A maker's own signals on top; may be repeated.")] = None,
    free_ports: Annotated[
        bool, typer.Option(help="Take any free ports; run/zone.json in the data folder has them.")
    ] = False,
) -> None:
    """Run a zone until Ctrl-C."""
    for left in leftovers(data.absolute().parent):
        say(warning(left))
    settings = _with_catalogue(settings_of(config, Folder(data)), catalog, overlay or [])
    asyncio.run(
        run_zone(
            settings,
            Folder(data),
            config=config,
            free_ports=free_ports,
            ready=greeting(settings, Folder(data)),
            said=say,
        )
    )


def _with_catalogue(settings: Settings, catalog: str, overlays: list[str]) -> Settings:
    chosen = str(Path(catalog).absolute()) if catalog else settings.catalogue
    added = (str(Path(overlay).absolute()) for overlay in overlays)
    return replace(settings, catalogue=chosen, overlays=(*settings.overlays, *added))


def greeting(settings: Settings, folder: Folder, lasts: timedelta = LINK_LASTS) -> Callable[[ZoneFile], None]:
    """Return what says how to come in, once the zone is up."""

    def greet(zone: ZoneFile) -> None:
        typer.echo(f"The zone is up. Console, for one sign-in: {console_link(settings, folder, zone, lasts=lasts)}")
        typer.echo("Another link: carcloud link" + ("" if folder.path == DATA else f" --data {folder.path}"))
        typer.echo(f"Cars: mqtts://{zone.host}:{zone.mqtt} and https://{zone.host}:{zone.https}. Ctrl-C stops it.")
        if governance_in_force(settings, folder).name == LABORATORY:
            said = "This zone keeps all that cars say (governance `laboratory`): not for other people's cars."
            typer.secho(said, fg=typer.colors.YELLOW)

    return greet


def say(text: str) -> None:
    """Say something beside what is asked for."""
    typer.echo(text, err=True)
