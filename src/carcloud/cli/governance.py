"""`carcloud governance`, `carcloud erase`: what is kept and why, and what is kept no longer."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

import typer

from carcloud.assembly.records import open_records
from carcloud.cli.notices import tell
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.cli.terminal import harmless
from carcloud.safety.governance.policy import Policy, Rule
from carcloud.safety.governance.table import Table
from carcloud.settings import Folder, Settings, catalogue_in_force, governance_in_force, load_governance, settings_of
from carcloud.stream import subjects

app = typer.Typer()
governance = typer.Typer(help="What the zone keeps of what cars say, and why.", no_args_is_help=True)
app.add_typer(governance, name="governance")


@governance.command()
def show(data: Data = DATA, config: Config = None) -> None:
    """Show the governance in force, signal by signal."""
    settings, folder = zone_of(data, config)
    _print(governance_in_force(settings, folder), settings, folder)


@governance.command()
def check(
    file: Annotated[str, typer.Argument(help="A governance file, or the name of one that comes with carcloud.")],
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Check a governance file against the zone's catalogue, and show what it would keep."""
    settings = replace(settings_of(config, Folder(data)), governance=file)
    _print(load_governance(settings), settings, Folder(data))


@app.command()
def erase(
    vehicle: Annotated[str, typer.Argument(help="The car's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you mean it.")] = False,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Erase all that the zone holds of a car; it cannot be undone."""
    settings, folder = zone_of(data, config)
    if not yes:
        typer.confirm(f"Erase everything the zone holds of {vehicle}? It cannot be undone.", abort=True)
    with contextlib.closing(open_records(settings, folder)) as records:
        erasure = records.erasures.begin(vehicle, "machine")
    for subject in (subjects.REVOKED, subjects.ERASE):
        tell(folder, subject, vehicle.encode())
    said = f"done at {erasure.done_at:%Y-%m-%d %H:%M:%S}" if erasure.done_at else "under way; see `carcloud erasures`"
    typer.echo(f"{vehicle}: {said}")


@app.command()
def erasures(data: Data = DATA, config: Config = None) -> None:
    """List what was erased, and how far it has come."""
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        for erasure in records.erasures.all():
            state = f"done {erasure.done_at:%Y-%m-%d %H:%M:%S}" if erasure.done_at else "under way"
            parts = ", ".join(sorted(erasure.parts)) or "nothing yet"
            typer.echo(f"{erasure.vehicle}  {erasure.at:%Y-%m-%d %H:%M:%S}  {state}  {parts}")
            if gone := erasure.parts.get("lake", {}).get("recordings"):
                typer.echo(f"  recordings: {gone['recordings']}, which brought {gone['rows']} rows")
            if any((exports := erasure.parts.get("lake", {}).get("exports", {})).values()):
                typer.echo(f"  exported files: {_exports(exports)}")
            for path, why in sorted(records.export_files.missed(erasure.id).items()):
                typer.echo(f"  not reached: {harmless(path)} ({why})")


def _exports(facts: Mapping[str, int]) -> str:
    said = f"{facts['rows']} rows left {facts['files']}, no row of {facts['without']} names this car"
    return f"{said}, {facts['unfinished']} unfinished deleted"


def _print(policy: Policy, settings: Settings, folder: Folder) -> None:
    catalogue = catalogue_in_force(settings, folder)
    Table(policy, catalogue)
    typer.echo(f"{policy.name}  {policy.hash}\n{policy.about}\n")
    for path in sorted(catalogue):
        rule = policy.rule_of(path)
        if rule is None or not rule.keep:
            gone = f", what is kept goes after {rule.days} days" if rule and rule.days is not None else ""
            said = "dropped" if rule is None else f"dropped ({rule.kind}){gone}"
        else:
            said = f"{rule.kind}: {', '.join(rule.purposes)}{_changes(rule, catalogue[path].unit or '', policy.epoch)}"
        typer.echo(f"{path:80} {said}")


def _changes(rule: Rule, unit: str, epoch: str) -> str:
    """Say how exactly, under which name and for how long a rule keeps a signal."""
    said = [f"to {rule.exactness:g} {unit}".rstrip()] if rule.exactness is not None else []
    said += [f"to H3 cells of resolution {rule.cell}"] if rule.cell is not None else []
    said += [f"times to {rule.time_s} s"] if rule.time_s else []
    said += [f"pseudonym by {epoch}"] if rule.pseudonym else []
    said += [f"{rule.days} days"] if rule.days is not None else []
    return "".join(f", {each}" for each in said)
