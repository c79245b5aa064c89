"""`carcloud demo`: a zone with all that works, by the commands that anybody could type."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import orjson
import typer

from carcloud.assembly.links import DEMO_LINK_LASTS
from carcloud.assembly.up import up as run_zone
from carcloud.assembly.zonefile import ZoneFile
from carcloud.cli.options import DATA, Data
from carcloud.cli.zone import greeting, say
from carcloud.errors import InputError, MissingError
from carcloud.onboard.roads import build as build_roads
from carcloud.settings import Folder, Settings, settings_of

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

TERMINALS = 2
SOME_CARS = "SELECT DISTINCT vehicle FROM samples WHERE signal = 'Vehicle.Cabin.HVAC.AmbientAirTemperature' LIMIT 5"
"""Cars of the simulated fleet that are there already: five, so that one person may order them."""

PATIENCE_S = 120.0

app = typer.Typer()


@app.callback()
def _group() -> None:
    pass


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
        say(done)
    config = _demo_configuration(folder)
    here = [sys.executable, "-m", "carcloud"]
    at = ["--data", str(data)]

    def extra(_: ZoneFile) -> dict[str, list[str]]:
        commands = {"fleet": [*here, "simulate", "--cars", str(cars), *at]}
        commands["terminals"] = [*here, "gbt32960", "simulate", "--cars", str(TERMINALS), *at]
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
            said=say,
            extra=extra,
            report=True,
        )
    )


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


def _greeting_of_demo(settings: Settings, folder: Folder, cars: int) -> Callable[[ZoneFile], None]:
    greet = greeting(settings, folder, DEMO_LINK_LASTS)

    def greet_demo(zone: ZoneFile) -> None:
        greet(zone)
        typer.echo(f"{cars} simulated cars begin to drive. Open the console's map.")
        at = "" if folder.path == DATA else f" --data {folder.path}"
        typer.echo(f"{TERMINALS} more speak GB/T 32960, at port {zone.gbt32960}.")
        typer.echo("To see what keeps them safe, in another terminal:")
        for command in SAFETY:
            typer.echo(f"  carcloud {command}{at}")
        if (EXAMPLES / "plans").is_dir():
            threading.Thread(target=_collect, args=(folder,), daemon=True).start()

    return greet_demo


def _collect(folder: Folder) -> None:
    """Let some cars collect by a plan, by the commands that a person would type."""
    key = folder.keys / "demo.order.key"
    if not key.exists():
        _do(folder, "operator", "add", "demo", "--role", "fleet", "--out", str(key))
    if "hard-braking/1" not in _do(folder, "plan", "list", shown=False):
        _do(folder, "plan", "add", str(EXAMPLES / "plans" / "fleet.yaml"))
    until = time.monotonic() + PATIENCE_S
    while not (cars := _do(folder, "sql", SOME_CARS, shown=False).split()[1:]) and time.monotonic() < until:
        time.sleep(2.0)
    if cars:
        _do(folder, "plan", "deploy", "hard-braking", "--sql", SOME_CARS, "--key", str(key))


def _do(folder: Folder, *arguments: str, shown: bool = True) -> str:
    """Run a command of ours, and show it; return what it says."""
    command = ["carcloud", *arguments, "--data", str(folder.path)]
    if shown:
        say(f"$ {shlex.join(command)}")
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
    if done.returncode and shown:
        say(done.stderr.strip())
    return done.stdout
