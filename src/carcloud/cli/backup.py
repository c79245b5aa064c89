"""`carcloud backup` and `carcloud restore`: copies of a zone, encrypted by month, and zones made from them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.backup.restoring import plan
from carcloud.assembly.backup.restoring import restore as restore_zone
from carcloud.assembly.backup.taking import take
from carcloud.assembly.records import open_records
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.safety.backup.keeper import folders
from carcloud.safety.backup.keeper import forget_folder as forget
from carcloud.safety.backup.manifest import Manifest
from carcloud.safety.backup.months import destroy_noted, lifetimes, outlived
from carcloud.safety.backup.periods import Periods, name_of
from carcloud.safety.backup.store import Store
from carcloud.safety.governance.policy import Policy
from carcloud.settings import Folder, Settings, governance_in_force

app = typer.Typer()
backup = typer.Typer(
    invoke_without_command=True, help="Take a backup of the running zone, or look after backups.", no_args_is_help=True
)
app.add_typer(backup, name="backup")

Keys = Annotated[
    Path, typer.Option("--keys", help="The folder of the backups' keys: neither in the zone nor in a backup.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask whether you mean it.")]
Folders = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of backups.")]


@backup.callback()
def take_backup(
    context: typer.Context,
    to: Annotated[Path | None, typer.Option(help="The folder of backups; made where there is none.")] = None,
    keys: Annotated[
        Path | None, typer.Option(help="The folder of the backups' keys; made where there is none.")
    ] = None,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Take a backup of the running zone, or look after backups."""
    if context.invoked_subcommand is not None:
        return
    if to is None or keys is None:
        raise InputError("A backup needs a folder, and one for its keys.", "Give --to DIR and --keys DIR.")
    settings, folder = zone_of(data, config)
    _apart({"--data": data, "--to": to, "--keys": keys})
    made = asyncio.run(take(settings, folder, Store(to, Periods(keys)), _say))
    typer.echo(f"{made.name}  {_about(made)}")


@backup.command("list")
def list_backups(
    folder: Folders,
    keys: Keys,
) -> None:
    """List the backups in a folder."""
    store = Store(folder, Periods(keys))
    for name in store.names():
        found = store.manifest(name)
        here = "" if found.period in store.periods.all() else "  (its key is destroyed)"
        typer.echo(f"{name}  {_about(found)}{here}")


@backup.command("check")
def check_backups(
    folder: Folders,
    keys: Keys,
    name: Annotated[str, typer.Option(help="Only this one.")] = "",
) -> None:
    """Read every piece of every backup in a folder, and see that it is the one that was signed, and opens."""
    store = Store(folder, Periods(keys))
    names = [name] if name else store.names()
    if not names:
        raise MissingError(f"There is no backup in {folder}.", "Take one: carcloud backup --to DIR --keys DIR")
    for each in names:
        found = store.manifest(each)
        store.check(found)
        key = store.periods.key(found.period)
        if name_of(key) != found.key:
            raise InputError(f"The key of {found.period} is not that of {each}.", "Give the right folder with --keys.")
        for piece in (*found.pieces, *found.files):
            with store.opened(found, piece, key) as source:
                while source.read(1 << 20):
                    pass
        typer.echo(f"{each}: {len(found.pieces) + len(found.files)} pieces, good")
    lines = store.lines()
    typer.echo(f"ledger of erasures: {sum('erasure' in line.said for line in lines)} cars, good")


@backup.command("keys")
def list_keys(
    keys: Keys,
    destroy: Annotated[str, typer.Option(help="Destroy a month's key, such as 2026-11, and with it its backups.")] = "",
    yes: Yes = False,
    data: Annotated[Path | None, typer.Option("--data", help="The zone's data folder; else ./carcloud-data.")] = None,
    config: Config = None,
) -> None:
    """List the months whose backups can be opened, with those the governance has outlived, or destroy a month's key."""
    periods, zone = Periods(keys), _zone_of_keys(Periods(keys), data, config)
    if destroy:
        periods.key(destroy)
        if not yes:
            typer.confirm(f"Destroy all backups of {destroy}, wherever they lie? It cannot be undone.", abort=True)
        if zone is None:
            periods.destroy(destroy)
            _say("No zone's audit log tells of it: give the zone's folder with --data.")
        else:
            with contextlib.closing(open_records(*zone)) as records:
                destroy_noted(records, periods, destroy, zone[0].tenant)
    policy = governance_in_force(*zone) if zone else None
    for period in periods.all():
        typer.echo(f"{period}{_age(period, policy)}")


@backup.command("forget")
def forget_folder(
    folder: Folders,
    yes: Yes = False,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Have the zone forget a folder of backups that is gone for good, so that erasures wait for it no more."""
    settings, zone = zone_of(data, config)
    with contextlib.closing(open_records(settings, zone)) as records:
        open_ = records.erasures.lacking("ledger") if folder.absolute() in folders(records) else []
        for erasure in open_:
            typer.echo(f"{erasure.id}  vehicle {erasure.vehicle}  {erasure.at:%Y-%m-%dT%H:%M:%SZ}")
        if open_ and not yes:
            said = f"These {len(open_)} erasures wait for a ledger; backups in {folder} may bring the cars back."
            typer.confirm(f"{said} Forget the folder?", abort=True)
        forget(records, folder.absolute(), settings.tenant)


@app.command()
def restore(
    name: Annotated[Path, typer.Argument(metavar="BACKUP", help="A backup: its folder, DIR/NAME.")],
    keys: Keys,
    data: Annotated[Path, typer.Option("--data", help="The folder of the restored zone: new or empty.")],
    config: Config = None,
    ledger: Annotated[
        Path | None, typer.Option(help="Another copy of the ledger of erasures than the one beside the backup.")
    ] = None,
    accept_short_ledger: Annotated[
        bool, typer.Option(help="Restore though the ledger is gone, changed or too short: erased cars may come back.")
    ] = False,
) -> None:
    """Restore a zone from a backup into a new folder, erasures since applied."""
    found = plan(Store(name.parent, Periods(keys)), name.name, ledger, accept_short_ledger, _say)
    free = shutil.disk_usage(_existing(data.absolute())).free
    if free < found.manifest.size:
        raise InputError(
            f"{data} has room for {free / 1e6:,.0f} MB, the zone needs {found.manifest.size / 1e6:,.0f} MB.",
            "Give a folder on another disk.",
        )
    restore_zone(found, config, data, _say)
    typer.echo(f"The zone {found.manifest.zone} of {found.manifest.at} is restored in {data}.")
    typer.echo(
        "Look before you start it: carcloud verify lake and carcloud verify audit. What was revoked or withdrawn"
    )
    typer.echo("since the backup must be revoked or withdrawn again.")


def _apart(folders: dict[str, Path]) -> None:
    """Refuse folders of which one lies in another: a key beside what it opens protects nothing."""
    for name, path in folders.items():
        for other, around in folders.items():
            if name != other and path.resolve().is_relative_to(around.resolve()):
                raise InputError(f"{name} lies within {other}.", "Give folders that lie apart, best on other disks.")


def _zone_of_keys(periods: Periods, data: Path | None, config: Path | None) -> tuple[Settings, Folder] | None:
    """Return the zone whose backups' keys these are, where it is given or lies where zones lie."""
    if data is None and not DATA.is_dir():
        return None
    zone = zone_of(data or DATA, config)
    if periods.of(zone[1].keys):
        return zone
    if data is None:
        return None
    do = "Give the folder of the zone that took the backups with --data."
    raise ConflictError(f"The keys in {periods.folder} are not those of backups of the zone in {data}.", do)


def _age(period: str, policy: Policy | None) -> str:
    """Return what to say of a month beyond the governance's `days`."""
    days = lifetimes(policy) if policy else None
    for which, limit in (("longest", days[1]), ("shortest", days[0])) if days else ():
        if outlived([period], limit, datetime.now(UTC).date()):
            return f"  beyond the {which} retention of the governance in force, {limit} days"
    return ""


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _about(found: Manifest) -> str:
    files = len(found.files)
    return f"{found.size / 1e6:,.1f} MB, chunk {found.chunk}, {files} files of the lake, {found.leaves} leaves"


def _say(text: str) -> None:
    typer.echo(text, err=True)
