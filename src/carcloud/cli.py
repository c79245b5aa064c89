"""The command line: the door to a zone on this machine.

Every command finds its zone by `--data`. What is wrong is said in a sentence, with what to do, and exit code 1.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import orjson
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import typer

from carcloud.assembly.up import up as run_zone
from carcloud.assembly.zonefile import ZoneFile
from carcloud.backends.delta import Reader
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, TryLaterError
from carcloud.gateway.enrolment import Endpoints, enrol, revoke, write_credentials
from carcloud.gateway.garage import park
from carcloud.lake.query import LakeQuery
from carcloud.lake.settings import QueryLimits
from carcloud.lake.verify import verify_lake
from carcloud.onboard.drive import MAX, Summary, drive
from carcloud.onboard.mapping import read_mapping
from carcloud.onboard.roads import build as build_roads
from carcloud.onboard.simulator import Simulator
from carcloud.onboard.source import Source
from carcloud.onboard.sources.can import CanBus
from carcloud.onboard.sources.recording import open_recording
from carcloud.safety.identity import Authority
from carcloud.safety.seal import Seal
from carcloud.safety.signer import load_public_key
from carcloud.safety.signer import verify as verify_signature
from carcloud.settings import Folder, Settings, load, load_catalogue
from carcloud.stream import subjects
from carcloud.stream.quarantine import Quarantine, read
from carcloud.vehicle.catalogue import Catalogue, parse

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, help="The open smart car cloud."
)
quarantine_app = typer.Typer(no_args_is_help=True, help="Look into what the guards refused.")
catalogue_app = typer.Typer(no_args_is_help=True, help="The signals the zone knows.")
verify_app = typer.Typer(no_args_is_help=True, help="Check what the zone claims.")
app.add_typer(quarantine_app, name="quarantine")
app.add_typer(catalogue_app, name="catalogue")
app.add_typer(verify_app, name="verify")

Data = Annotated[Path, typer.Option("--data", help="The zone's data folder.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file; docs/operations.md lists its keys.")]
DATA = Path("carcloud-data")
EXPORT_TIME_S = 3600.0
PATIENCE_S = 5.0


def main() -> None:
    """Run the command line; a known error is one sentence and exit code 1."""
    try:
        app()
    except CarcloudError as error:
        typer.secho(f"carcloud: {error}", err=True, fg=typer.colors.RED)
        sys.exit(1)


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
    settings = _with_catalogue(load(config), catalog, overlay or [])
    asyncio.run(run_zone(settings, Folder(data), config=config, free_ports=free_ports, ready=_greet, said=_say))


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
    folder.make()
    map_file = folder.run / "roads.geojson"
    map_file.write_bytes(orjson.dumps(build_roads().geojson()))
    config = folder.run / "demo.toml"
    overlays = [str(path.absolute()) for path in sorted(Path("examples/overlays").glob("*.yaml"))]
    lines = [
        'zone = "demo"',
        f"map_file = {json.dumps(str(map_file.absolute()))}",
        f"overlays = {json.dumps(overlays)}",
    ]
    config.write_text("\n".join(lines) + "\n", "utf-8")
    here = [sys.executable, "-m", "carcloud"]
    at = ["--data", str(data)]

    def extra(_: ZoneFile) -> dict[str, list[str]]:
        commands = {"fleet": [*here, "simulate", "--cars", str(cars), *at]}
        for source, mapping in known:
            commands[f"drive-{mapping.stem}"] = [*here, "drive", str(source), "--mapping", str(mapping), "--now", *at]
        return commands

    typer.echo("Starting the zone; the first start makes its keys …")
    settings = load(config)
    asyncio.run(
        run_zone(
            settings,
            folder,
            config=config,
            free_ports=free_ports,
            ready=_greet_demo(cars),
            said=_say,
            extra=extra,
            report=True,
        )
    )


@app.command("enrol")
def enrol_vehicle(
    vin: Annotated[str, typer.Option(help="The vehicle identification number, 17 characters.")],
    data: Data = DATA,
    config: Config = None,
    out: Annotated[Path | None, typer.Option(help="The folder for the car's credentials.")] = None,
    label: Annotated[str | None, typer.Option(help="A name for people.")] = None,
) -> None:
    """Give a car its identity: a random id, a key and a certificate."""
    settings, folder = load(config), Folder(data)
    folder.make()
    if out and (out / "vehicle.json").exists():
        raise ConflictError(f"{out} holds a car's credentials already.", "Give another folder.")
    try:
        if out:
            out.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out} cannot be made: {error.strerror}.", "Give another folder.") from None
    with _records(settings, folder) as records:
        enrolment = enrol(
            records, Authority(folder.keys), vin, _endpoints(settings, folder), label=label, tenant=settings.tenant
        )
        place = out or folder.path / "credentials" / enrolment.vehicle.id
        write_credentials(enrolment, place)
    typer.echo(
        f"{enrolment.vehicle.id}\ncredentials in {place}, valid until {enrolment.credentials.not_after:%Y-%m-%d}"
    )


@app.command("revoke")
def revoke_vehicle(vehicle: str, data: Data = DATA, config: Config = None) -> None:
    """End a car's right to speak; a live session is closed at once."""
    folder = Folder(data)
    with _records(load(config), folder) as records:
        revoke(records, vehicle)
    typer.echo(f"{vehicle} is revoked")
    with contextlib.suppress(MissingError):
        asyncio.run(_tell(ZoneFile.read(folder), subjects.REVOKED, vehicle.encode()))


@app.command()
def vehicles(data: Data = DATA, config: Config = None) -> None:
    """List the cars."""
    with _records(load(config), Folder(data)) as records:
        after: str | None = None
        while page := records.vehicles(limit=1000, after=after):
            for car in page:
                typer.echo(
                    f"{car.id}  {car.state:8}  {car.vin}  {car.enrolled_at:%Y-%m-%d}  {car.label or ''}".rstrip()
                )
            after = page[-1].id


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
) -> None:
    """Be a car, or a fleet: send a recording or a live bus to a zone."""
    settings, folder = load(config), Folder(data)
    stop = _stop_on_signal()
    units = {path: entry.unit for path, entry in _catalogue_for(settings, folder, credentials).items()}
    read = read_mapping(mapping, units)
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
    _drive(opened, parked, queue or folder.path / "queues", _speed(speed), now, stop)


@app.command()
def simulate(
    cars: Annotated[int, typer.Option(min=1, max=500, help="How many cars.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same fleet.")] = 1,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Be a fleet of simulated electric cars until Ctrl-C."""
    settings, folder = load(config), Folder(data)
    stop, fleet = _stop_on_signal(), Simulator(cars, seed, _now_us())
    _drive(fleet, _park(settings, folder, fleet.vehicles()), folder.path / "queues", 1.0, False, stop)


@app.command()
def sql(
    text: str,
    data: Data = DATA,
    config: Config = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many rows.")] = 100,
) -> None:
    """Ask the lake; the answer is a table."""
    answer = _query(load(config), Folder(data)).run(text, limit=limit)
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
    settings = load(config)
    query, rows, temporary = (
        _query(settings, Folder(data), replace(settings.query, time_s=EXPORT_TIME_S)),
        0,
        out.with_name(out.name + ".part"),
    )
    try:
        with query.stream(sql) as reader, temporary.open("wb") as sink, writers[format](sink, reader.schema) as writer:
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


@quarantine_app.command("list")
def quarantine_list(
    data: Data = DATA,
    config: Config = None,
    cause: Annotated[str | None, typer.Option(help="Only this cause.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
) -> None:
    """List what was refused and kept, the newest first."""
    with _records(load(config), Folder(data)) as records:
        for entry in records.quarantine_entries(limit, cause):
            at, detail = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}", _harmless(entry.detail)
            typer.echo(f"{entry.id[:16]}  {at}  {entry.vehicle}  {entry.cause}  {detail}")


@quarantine_app.command("show")
def quarantine_show(entry: str, data: Data = DATA, config: Config = None) -> None:
    """Show one entry, decoded as far as possible; the beginning of its id is enough."""
    folder = Folder(data)
    with _records(load(config), folder) as records:
        ids = [found.id for found in records.quarantine_entries(100_000) if found.id.startswith(entry)]
        if len(ids) > 1:
            raise InputError(f"{len(ids)} entries begin with {entry!r}.", "Give more of the id.")
        found = records.quarantine_entry(ids[0] if ids else entry)
        payload = Quarantine(records, Seal(folder.keys)).payload(found)
        shown_payload = read(payload, records)
    shown: dict[str, Any] = {"id": found.id, "at": found.at.isoformat(), "vehicle": found.vehicle, "cause": found.cause}
    shown |= {"detail": found.detail, "bytes": found.size, "decoded": shown_payload, "payload": payload.hex()}
    typer.echo("\n".join(map(_harmless, json.dumps(shown, indent=2, ensure_ascii=False).split("\n"))))


@catalogue_app.command("show")
def catalogue_show(data: Data = DATA, config: Config = None) -> None:
    """Print the catalogue in force."""
    for path, entry in sorted(_catalogue_for(load(config), Folder(data), None).items()):
        span = "" if entry.min is None and entry.max is None else f"{entry.min} … {entry.max}"
        typer.echo("  ".join(str(part) for part in (path, entry.type, entry.unit or "", span) if part))


@catalogue_app.command("check")
def catalogue_check(file: Path, data: Data = DATA, config: Config = None) -> None:
    """Read a catalogue or overlay as the zone would, and say what is wrong with it."""
    settings, in_force = load(config), Folder(data).catalogue
    overlaid = replace(settings, overlays=(*settings.overlays, str(file)))
    for use, wanted in (("overlay", overlaid), ("catalogue", replace(settings, catalogue=str(file), overlays=()))):
        try:
            found = load_catalogue(wanted, in_force)
        except ConflictError as error:
            typer.echo(f"as {use}: no. {error}")
        else:
            retired = sum(entry.retired for entry in found.values())
            typer.echo(f"as {use}: good; the zone would know {len(found)} signals, {retired} of them retired")


@verify_app.command("lake")
def verify_lake_command(data: Data = DATA) -> None:
    """Check every row of the lake against the governor's signed receipts."""
    folder = Folder(data)
    key = load_public_key(folder.keys / "receipt.pub")
    verdict = verify_lake(
        folder.lake, lambda statement, signature: verify_signature(key, "receipt", statement, signature)
    )
    for fault in verdict.faults:
        typer.secho(fault, fg=typer.colors.RED)
    typer.echo(f"{verdict.chunks} chunks, {verdict.rows} rows: {'good' if not verdict.faults else 'NOT as signed'}")
    if verdict.faults:
        raise typer.Exit(1)


# what the commands share


def _with_catalogue(settings: Settings, catalog: str, overlays: list[str]) -> Settings:
    chosen = {"catalogue": str(Path(catalog).absolute())} if catalog else {}
    if overlays:
        chosen["overlays"] = (*settings.overlays, *(str(Path(overlay).absolute()) for overlay in overlays))  # type: ignore[assignment]
    return Settings(**{**vars(settings), **chosen})


@contextlib.contextmanager
def _records(settings: Settings, folder: Folder) -> Iterator[Records]:
    if not settings.records and not folder.path.is_dir():
        raise MissingError(
            f"There is no zone in {folder.path}.", "Give its folder with --data, or start one: carcloud up."
        )
    records = Records.open(folder.records(settings))
    try:
        yield records
    finally:
        records.close()


def _endpoints(settings: Settings, folder: Folder) -> Endpoints:
    """Return where cars find the zone: its present ports if it runs, else those of its settings."""
    listen = settings.listen
    host = listen.names[0] if listen.names else listen.host
    try:
        zone = ZoneFile.read(folder)
        return Endpoints(host, zone.mqtt, f"https://{host}:{zone.https}")
    except MissingError:
        return Endpoints(host, listen.mqtt, f"https://{host}:{listen.https}")


def _catalogue_for(settings: Settings, folder: Folder, credentials: Path | None) -> Catalogue:
    """Return the catalogue in force; a car that only has its credentials goes by the settings."""
    if credentials is None and folder.catalogue.exists():
        return parse(folder.catalogue.read_bytes(), folder.catalogue.name)
    return load_catalogue(settings, folder.catalogue)


def _park(settings: Settings, folder: Folder, names: list[str]) -> dict[str, Path]:
    ZoneFile.read(folder)
    with _records(settings, folder) as records:
        place = folder.path / "credentials"
        return park(records, Authority(folder.keys), _endpoints(settings, folder), names, place, settings.tenant)


def _drive(
    source: Source, parked: dict[str, Path], queue: Path, speed: float, now: bool, stop: threading.Event
) -> None:
    summary = drive(source, parked, queue, speed=speed, now=now, progress=_show_progress, stop=stop)
    _show_progress(summary)
    typer.echo("", err=True)
    for count, what in ((summary.skipped, "skipped"), (summary.refused, "refused")):
        for cause, number in sorted(count.items()):
            typer.echo(f"{what}: {number} {cause}")
    for vehicle, trouble in summary.troubles.items():
        typer.echo(f"{vehicle}: {trouble}", err=True)
    typer.echo(f"{summary.samples_read} samples read, {summary.samples_acked} acknowledged by the zone")
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


def _query(settings: Settings, folder: Folder, limits: QueryLimits | None = None) -> LakeQuery:
    table = folder.lake / "samples"
    if not table.exists():
        raise MissingError(
            f"There is no lake in {folder.path} yet.", "Send a first batch, or give the zone's folder with --data."
        )

    def signals() -> list[dict[str, Any]]:
        fields = ("path", "type", "unit", "min", "max", "kind", "description")
        return [
            {name: getattr(entry, name) for name in fields} for entry in _catalogue_for(settings, folder, None).values()
        ]

    def cars() -> list[dict[str, Any]]:
        with _records(settings, folder) as records:
            found = records.vehicles(limit=100_000)
        return [{"vehicle": car.id, "state": car.state, "enrolled_at": car.enrolled_at} for car in found]

    return LakeQuery(table, Reader(table).live, signals, cars, limits or settings.query)


def _lines(table: pa.Table) -> Iterator[str]:
    rows = [table.column_names, *([_cell(value) for value in row.values()] for row in table.to_pylist())]
    widths = [max(len(row[at]) for row in rows) for at in range(table.num_columns)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cell(value: object) -> str:
    return "" if value is None else _harmless(str(value))


def _harmless(text: str) -> str:
    """Return text with what a terminal would obey written out: a car may have sent it."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _known_recordings(folder: Path) -> list[tuple[Path, Path]]:
    """Return (recording, mapping) for each file below the folder that a mapping in examples/mappings is named after."""
    files = {
        "rav4_60s.candump.log.gz": "comma2k19_rav4",
        "openacc_gps_10hz.parquet": "openacc",
        "bmw_i3_10hz.parquet": "bmw_i3",
    }
    found = [
        (path, Path("examples/mappings") / f"{files[path.name]}.yaml")
        for path in folder.rglob("*")
        if path.name in files
    ]
    if not found:
        raise InputError(f"No recording below {folder} is known.", f"Known names: {', '.join(files)}.")
    return sorted(found)


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


def _now_us() -> int:
    return time.time_ns() // 1000


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


async def _tell(zone: ZoneFile, subject: str, data: bytes) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            bus = await Bus.connect(zone.bus("cloud"), "command line")
            await bus.publish(subject, data)
            await bus.flush()
            await bus.close()
    except TimeoutError:
        do = "If it was killed, it will know when it starts again."
        raise TryLaterError("The zone does not answer.", do) from None


def _greet(zone: ZoneFile) -> None:
    typer.echo(f"The zone is up. Console: {zone.console}")
    typer.echo(f"Cars: mqtts://{zone.host}:{zone.mqtt} and https://{zone.host}:{zone.https}. Ctrl-C stops it.")
    typer.secho("Not yet for personal data: consent, retention and residency come later.", fg=typer.colors.YELLOW)


def _greet_demo(cars: int) -> Callable[[ZoneFile], None]:
    def greet(zone: ZoneFile) -> None:
        _greet(zone)
        typer.echo(f"{cars} simulated cars begin to drive. Open the console's map.")

    return greet


def _say(text: str) -> None:
    typer.echo(text, err=True)
