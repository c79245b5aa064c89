"""`carcloud drive` and `carcloud simulate`: be a car, or a fleet."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.records import open_records
from carcloud.assembly.zonefile import ZoneFile
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.cli.vehicles import endpoints
from carcloud.errors import InputError, TryLaterError
from carcloud.gateway.garage import park
from carcloud.onboard.drive import MAX, drive
from carcloud.onboard.fleet import COLLECTS, Summary
from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.orders import Body
from carcloud.onboard.simulator import Simulator
from carcloud.onboard.source import Source
from carcloud.onboard.sources.can import CanBus
from carcloud.onboard.sources.recording import open_recording
from carcloud.safety.identity import Authority
from carcloud.settings import Folder, Settings, catalogue_in_force, load_catalogue, settings_of
from carcloud.vehicle.catalogue import Catalogue

app = typer.Typer()
COLLECT = "What is sent: all, or what plans ask for (plans)."


@app.command("drive")
def drive_source(
    source: Annotated[str, typer.Argument(help="A recording, or a live bus as can:INTERFACE:CHANNEL.")],
    mapping: Annotated[Path, typer.Option(help="The mapping file: column or CAN signal to VSS path.")],
    data: Data = DATA,
    config: Config = None,
    credentials: Annotated[
        Path | None, typer.Option(help="The car's credentials; else cars are enrolled by name.")
    ] = None,
    speed: Annotated[str, typer.Option(help="1, a factor, or max.")] = "1",
    now: Annotated[bool, typer.Option("--now", help="Shift times so that the first sample is now.")] = False,
    queue: Annotated[Path | None, typer.Option(help="The folder for what is not acknowledged yet.")] = None,
    collect: Annotated[str, typer.Option(help=COLLECT)] = "all",
) -> None:
    """Be a car, or a fleet: send a recording or a live bus to a zone."""
    settings, folder = settings_of(config, Folder(data)), Folder(data)
    stop = _stop_on_signal()
    if credentials:  # a car of its own, whose zone is elsewhere: it goes by the settings
        catalogue = load_catalogue(settings, folder.catalogue)
    else:
        catalogue = catalogue_in_force(settings, folder.existing())
    read = read_mapping(mapping, {path: entry.unit for path, entry in catalogue.items()})
    opened: Source
    if source.startswith("can:"):
        interface, _, channel = source[4:].partition(":")
        opened = CanBus(interface, channel, read, stop)
    else:
        opened = open_recording(Path(source), read)
    names = opened.vehicles()
    if credentials and len(names) > 1:
        raise InputError(
            f"The recording has {len(names)} cars, --credentials is one car's.", "Leave it out, give --data."
        )
    parked = {names[0]: credentials} if credentials else _park(settings, folder, names)
    _drive(opened, parked, queue or folder.queues, _speed(speed), now, stop, catalogue, collect)


@app.command()
def simulate(
    cars: Annotated[int, typer.Option(min=1, max=500, help="How many cars.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 1,
    data: Data = DATA,
    config: Config = None,
    collect: Annotated[str, typer.Option(help=COLLECT)] = "all",
) -> None:
    """Be a fleet of simulated electric cars until Ctrl-C."""
    settings, folder = zone_of(data, config)
    stop, fleet = _stop_on_signal(), Simulator(cars, seed, time.time_ns() // 1000)
    catalogue, parked = catalogue_in_force(settings, folder), _park(settings, folder, fleet.vehicles())
    _drive(fleet, parked, folder.queues, 1.0, False, stop, catalogue, collect, fleet.body)


def _park(settings: Settings, folder: Folder, names: list[str]) -> dict[str, Path]:
    ZoneFile.read(folder)
    with contextlib.closing(open_records(settings, folder)) as records:
        doors = endpoints(settings, folder)
        return park(records, Authority(folder.keys), doors, names, folder.credentials, settings.tenant)


def _drive(
    source: Source,
    parked: dict[str, Path],
    queue: Path,
    speed: float,
    now: bool,
    stop: threading.Event,
    catalogue: Catalogue,
    collect: str,
    body: Callable[[str], Body | None] = lambda _: None,
) -> None:
    if collect not in COLLECTS:
        raise InputError(f"{collect!r} says not what to collect.", f"Give one of {', '.join(COLLECTS)}.")
    summary = drive(
        source,
        parked,
        queue,
        speed=speed,
        now=now,
        progress=_show_progress,
        stop=stop,
        body=body,
        catalogue=catalogue,
        collect="plans" if collect == "plans" else "all",
    )
    _show_progress(summary)
    typer.echo("", err=True)
    for count, what in ((summary.skipped, "skipped"), (summary.refused, "refused")):
        for cause, number in sorted(count.items()):
            typer.echo(f"{what}: {number} {cause}")
    for vehicle, trouble in summary.troubles.items():
        typer.echo(f"{vehicle}: {trouble}", err=True)
    typer.echo(f"{summary.samples_read} samples read, {summary.samples_acked} acknowledged by the zone")
    if summary.batches_held:
        typer.echo(f"{summary.batches_held} batches are held back until their plans' upload conditions hold")
    if not summary.complete and not stop.is_set():
        raise TryLaterError(
            f"{summary.samples_waiting} samples are not acknowledged, {summary.samples_dropped} were dropped.",
            "What waits stays in the queue folder and is sent by the next drive.",
        )


def _show_progress(summary: Summary) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    line = f"{summary.connected}/{summary.vehicles} cars connected, {summary.samples_read} samples read, "
    typer.echo(
        line + f"{summary.samples_acked} acknowledged, {summary.samples_waiting} waiting   {end}", err=True, nl=False
    )


def _speed(text: str) -> float:
    if text == "max":
        return MAX
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < MAX:
        raise InputError(f"{text!r} is no speed.", "Give 1, a factor such as 20, or max.")
    return speed


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
