"""`carcloud research import`, `recordings`, `scenarios`, `forget`: what was recorded, and what happens in it."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from carcloud.assembly.importing import importer_of
from carcloud.assembly.recordings import desk_of, forget_recording
from carcloud.assembly.records import open_records
from carcloud.backends.records.recordings import Recording
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.orders import ACTOR
from carcloud.cli.terminal import harmless
from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters.adapter import Progress
from carcloud.research.manifest import Manifest
from carcloud.research.remote import RemoteDoor
from carcloud.research.sending import OwnDoor, Source, gathered, send
from carcloud.research.store import Store
from carcloud.safety.keys import read_key

LIMIT_SHOWN = 1000
LOOK_EVERY_S = 0.5
SHOWN_REFUSALS = 10

Id = Annotated[str, typer.Argument(help="The recording's id.")]


def import_files(
    files: Annotated[list[Path], typer.Argument(help="Files or folders; each is a recording.")],
    format_: Annotated[str, typer.Option("--format", help="What they are, where it cannot be seen.")] = "",
    mapping: Annotated[Path | None, typer.Option(help="A mapping file, for tables and drives of a car.")] = None,
    road: Annotated[Path | None, typer.Option(help="The roads under it: an OpenDRIVE file.")] = None,
    beside: Annotated[
        list[Path], typer.Option("--with", help="A file or folder that it refers to and is taken along.")
    ] = [],  # noqa: B006 (typer copies it)
    vehicle: Annotated[str, typer.Option(help="The car of the zone that recorded it.")] = "",
    licence: Annotated[str, typer.Option(help="The licence it comes under; must be given where no car is.")] = "",
    purpose: Annotated[str, typer.Option(help="What it is used for: a purpose of the governance.")] = "",
    place: Annotated[str, typer.Option(help="Where it was recorded.")] = "",
    software: Annotated[str, typer.Option(help="The version of the software that recorded it.")] = "",
    parameter: Annotated[list[str], typer.Option(help="NAME=VALUE, for what the recording declares.")] = [],  # noqa: B006 (typer copies it)
    url: Annotated[str, typer.Option(help="A running zone's address; else the zone in the data folder.")] = "",
    token_file: Annotated[Path | None, typer.Option(help="With --url: a file of your own with your token.")] = None,
    ca: Annotated[Path | None, typer.Option(help="With --url: the authority of its certificate.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Take recordings in, and read their scenarios; one that was cut off goes on."""
    about: dict[str, Any] = {"format": format_, "purpose": purpose, "vehicle": vehicle, "licence": licence}
    about |= {"place": place, "software_version": software, "parameters": _parameters(parameter)}
    wrong = 0
    with _way(url, token_file, ca, (data, config, tenant)) as way:
        for file in files:
            try:
                source, said = gathered(file, beside, mapping, road)
                found = way(source, replace(said, **about))
            except CarcloudError as error:
                if len(files) == 1:
                    raise
                found = {"name": file.name, "state": "refused", "error": str(error), "refusals": []}
            wrong += found["state"] != "imported"
            _tell(found)
    if wrong:
        raise typer.Exit(1)


def list_recordings(
    state: Annotated[str | None, typer.Option(help="Only those that are in this state.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """List the recordings, the newest first."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        for one in records.recordings.listed(settings.tenant, LIMIT_SHOWN, state):
            typer.echo(harmless(_line(one)))


def list_scenarios(
    recording: Annotated[str | None, typer.Option(help="Only those of this recording.")] = None,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """List the scenarios: id, recording, road users, seconds, roads, name and tags."""
    settings, folder = zone_of(data, config, tenant)
    for row in Store(folder.lake, settings.tenant).scenarios():
        if recording in (None, row.recording):
            counts = f"{row.tracks:5} users {row.duration_s:8.1f} s  {row.map or '-':12}"
            typer.echo(harmless(f"{row.id}  {row.recording}  {counts}  {row.name}  {', '.join(row.tags)}".rstrip()))


def forget(
    recording: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
) -> None:
    """Forget a recording for ever: its rows, its bytes, and what names anybody."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        found = records.recordings.get(settings.tenant, recording)
        if not yes:
            typer.confirm(harmless(f"Forget {found.name or found.id}? It cannot be undone."), abort=True)
        rows = forget_recording(settings, folder, records, found, ACTOR)
    typer.echo(f"{recording} is forgotten: {rows} rows")


@contextlib.contextmanager
def _way(url: str, token_file: Path | None, ca: Path | None, zone: tuple[Any, ...]) -> Iterator[Any]:
    """Yield what takes a recording in and returns what became of it."""
    if not url:
        settings, folder = zone_of(*zone)
        with contextlib.closing(open_records(settings, folder)) as records:
            door = OwnDoor(desk_of(settings, folder, records), settings.tenant, ACTOR)
            importer = importer_of(settings, folder, records, ACTOR)

            def own(source: Source, said: Manifest) -> dict[str, Any]:
                with _bar(said.title) as told:
                    sent = send(door, source, said, lambda share: told(share / 2))
                    done = replace(importer, told=lambda share: told(0.5 + share / 2)).run(settings.tenant, sent.id)
                return vars(done)

            yield own
        return
    if token_file is None:
        raise InputError("A zone elsewhere wants to know who you are.", "Give --token-file; see `carcloud token make`.")
    with contextlib.closing(RemoteDoor(url, _secret(token_file), str(ca or ""))) as remote:

        def elsewhere(source: Source, said: Manifest) -> dict[str, Any]:
            with _bar(said.title) as told:
                sent = send(remote, source, said, lambda share: told(share / 2))
                while (found := remote.look(sent.id))["state"] in ("waiting", "importing"):
                    told(0.5 + found["progress"] / 2)
                    time.sleep(LOOK_EVERY_S)
            return dict(found) | {"refusals": [(one["name"], one["message"]) for one in found["refusals"]]}

        yield elsewhere


def _secret(file: Path) -> str:
    try:
        return read_key(file).decode("ascii", "replace").strip()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", "Write the token into it.") from None


@contextlib.contextmanager
def _bar(title: str) -> Iterator[Progress]:
    """Show how far a recording is, where somebody looks."""
    if not sys.stderr.isatty():
        yield lambda share: None
        return
    with typer.progressbar(length=1000, label=harmless(title), file=sys.stderr) as bar:
        yield lambda share: bar.update(int(share * 1000) - bar.pos)


def _tell(found: dict[str, Any]) -> None:
    name = found["name"]
    if found["state"] == "imported":
        also = f", {found['duplicates']} known already" if found["duplicates"] else ""
        also += f", {found['refused']} refused" if found["refused"] else ""
        typer.echo(harmless(f"{found['id']}  {name}: {found['scenarios']} scenarios{also}"))
    else:
        typer.secho(harmless(f"{name}: {found['state']}. {found['error']}"), err=True, fg=typer.colors.RED)
    for scenario, why in found["refusals"][:SHOWN_REFUSALS]:
        typer.echo(harmless(f"  {scenario}: {why}"), err=True)


def _parameters(given: list[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise InputError(f"{name[:64]!r} gives no parameter a value.", "Write NAME=VALUE.")
    return {name: value for name, _, value in pairs}


def _line(one: Recording) -> str:
    state = f"{one.state} {one.progress:.0%}" if one.state == "importing" else one.state
    counts = f"{one.scenarios} scenarios" if one.state == "imported" else one.error
    return f"{one.id}  {state:14} {one.bytes / 1e6:10.3f} MB  {one.format:14} {one.name}  {counts}".rstrip()
