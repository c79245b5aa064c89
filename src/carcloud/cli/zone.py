"""`carcloud up` and `carcloud demo`: run a zone."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import orjson
import typer

from carcloud.assembly.backup.drafts import leftovers, warning
from carcloud.assembly.links import DEMO_LINK_LASTS, console_link
from carcloud.assembly.up import up as run_zone
from carcloud.assembly.zonefile import ZoneFile
from carcloud.cli.options import DATA, Config, Data
from carcloud.errors import InputError, MissingError
from carcloud.onboard.roads import build as build_roads
from carcloud.safety.people.accounts import LINK_LASTS
from carcloud.settings import LABORATORY, Folder, Settings, governance_in_force, settings_of

EXAMPLES = Path(__file__).parents[3] / "examples"
"""Mappings and overlays of known recordings: beside `src` in a checkout, absent from an installed package."""

SAFETY = (
    "vehicles",
    "operator add me --role fleet --out me.key",
    "order locate VEHICLE --key me.key --wait",
    "token make insurer --role partner --app insurer",
    "grant give VEHICLE app:insurer research --path Vehicle.Speed --precision Vehicle.Speed=10",
    "report processing",
    "access VEHICLE --out copy",
    "backup --to backups --keys backup-keys",
    "verify lake",
    "verify audit",
    "erase VEHICLE",
)
"""What a newcomer may try beside the demo."""

RECORDINGS = {
    "rav4_60s.candump.log.gz": "comma2k19_rav4",
    "openacc_gps_10hz.parquet": "openacc",
    "bmw_i3_10hz.parquet": "bmw_i3",
}
"""The name of a recording's file, and of its mapping."""

DEMO_TERMINALS = 32960
"""The demo's port for terminals by GB/T 32960."""

app = typer.Typer()


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
        _say(warning(left))
    settings = _with_catalogue(settings_of(config, Folder(data)), catalog, overlay or [])
    asyncio.run(
        run_zone(
            settings,
            Folder(data),
            config=config,
            free_ports=free_ports,
            ready=_greeting(settings, Folder(data)),
            said=_say,
        )
    )


@app.command()
def demo(
    data: Data = Path("carcloud-demo"),
    cars: Annotated[int, typer.Option(min=1, max=500, help="How many simulated cars.")] = 30,
    recordings: Annotated[
        Path | None, typer.Option(help="A folder with recordings that examples/mappings knows.")
    ] = None,
    free_ports: Annotated[bool, typer.Option(help="Take any free ports.")] = False,
) -> None:
    """Run a zone with a simulated fleet of electric cars, and recordings if given."""
    known = _known_recordings(recordings) if recordings else []
    folder = Folder(data)
    if done := folder.make():
        _say(done)
    config = _demo_configuration(folder)
    here = [sys.executable, "-m", "carcloud"]
    at = ["--data", str(data)]

    def extra(_: ZoneFile) -> dict[str, list[str]]:
        commands = {"fleet": [*here, "simulate", "--cars", str(cars), *at]}
        for source, mapping in known:
            commands[f"drive-{mapping.stem}"] = [*here, "drive", str(source), "--mapping", str(mapping), "--now", *at]
        return commands

    typer.echo("Starting the zone; the first start makes its keys …")
    settings = settings_of(config, folder)
    asyncio.run(
        run_zone(
            settings,
            folder,
            config=config,
            free_ports=free_ports,
            ready=_greeting_of_demo(settings, folder, cars),
            said=_say,
            extra=extra,
            report=True,
        )
    )


def _with_catalogue(settings: Settings, catalog: str, overlays: list[str]) -> Settings:
    chosen = str(Path(catalog).absolute()) if catalog else settings.catalogue
    added = (str(Path(overlay).absolute()) for overlay in overlays)
    return replace(settings, catalogue=chosen, overlays=(*settings.overlays, *added))


def _demo_configuration(folder: Folder) -> Path:
    """Write the demo's map and configuration into the zone's folder; return the configuration."""
    map_file, config = folder.run / "roads.geojson", folder.run / "demo.toml"
    map_file.write_bytes(orjson.dumps(build_roads().geojson()))
    overlays = [str(path) for path in sorted(EXAMPLES.glob("overlays/*.yaml"))]
    lines = [
        'zone = "demo"',
        f"map_file = {json.dumps(str(map_file.absolute()))}",
        f"overlays = {json.dumps(overlays)}",
        "[gbt32960]",
        f"port = {DEMO_TERMINALS}",
    ]
    config.write_text("\n".join(lines) + "\n", "utf-8")
    return config


def _known_recordings(folder: Path) -> list[tuple[Path, Path]]:
    """Return (recording, mapping) for each file below the folder that a mapping in examples/mappings is named after."""
    if not (EXAMPLES / "mappings").is_dir():
        do = "Run `carcloud demo` from a checkout, or `carcloud drive` each recording with a mapping file of your own."
        raise MissingError(f"The mappings of known recordings are not in {EXAMPLES}.", do)
    found = [
        (path, EXAMPLES / "mappings" / f"{RECORDINGS[path.name]}.yaml")
        for path in folder.rglob("*")
        if path.name in RECORDINGS
    ]
    if not found:
        raise InputError(f"No recording below {folder} is known.", f"Known names: {', '.join(RECORDINGS)}.")
    return sorted(found)


def _greeting(settings: Settings, folder: Folder, lasts: timedelta = LINK_LASTS) -> Callable[[ZoneFile], None]:
    def greet(zone: ZoneFile) -> None:
        typer.echo(f"The zone is up. Console, for one sign-in: {console_link(settings, folder, zone, lasts=lasts)}")
        typer.echo("Another link: carcloud link" + ("" if folder.path == DATA else f" --data {folder.path}"))
        typer.echo(f"Cars: mqtts://{zone.host}:{zone.mqtt} and https://{zone.host}:{zone.https}. Ctrl-C stops it.")
        if governance_in_force(settings, folder).name == LABORATORY:
            said = "This zone keeps all that cars say (governance `laboratory`): not for other people's cars."
            typer.secho(said, fg=typer.colors.YELLOW)

    return greet


def _greeting_of_demo(settings: Settings, folder: Folder, cars: int) -> Callable[[ZoneFile], None]:
    greet = _greeting(settings, folder, DEMO_LINK_LASTS)

    def greet_demo(zone: ZoneFile) -> None:
        greet(zone)
        typer.echo(f"{cars} simulated cars begin to drive. Open the console's map.")
        at = "" if folder.path == DATA else f" --data {folder.path}"
        typer.echo("To see what keeps them safe, in another terminal:")
        for command in SAFETY:
            typer.echo(f"  carcloud {command}{at}")

    return greet_demo


def _say(text: str) -> None:
    typer.echo(text, err=True)
