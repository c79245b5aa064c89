"""`carcloud backup` and `carcloud restore`: copies of a zone, encrypted by month, and zones made from them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.backup.restoring import plan
from carcloud.assembly.backup.restoring import restore as restore_zone
from carcloud.assembly.backup.taking import take
from carcloud.assembly.records import open_records
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.errors import InputError, MissingError
from carcloud.safety.backup.keeper import folders, set_folders
from carcloud.safety.backup.manifest import Manifest
from carcloud.safety.backup.periods import Periods, name_of
from carcloud.safety.backup.store import Store

app = typer.Typer()
backup = typer.Typer(
    invoke_without_command=True, help="Take a backup of the running zone, or look after backups.", no_args_is_help=True
)
app.add_typer(backup, name="backup")

Keys = Annotated[
    Path, typer.Option("--keys", help="The folder of the backups' keys: neither in the zone nor in a backup.")
]
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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you mean it.")] = False,
) -> None:
    """List the months whose backups can be opened, or destroy the key of one."""
    periods = Periods(keys)
    if destroy:
        periods.key(destroy)
        if not yes:
            typer.confirm(f"Destroy all backups of {destroy}, wherever they lie? It cannot be undone.", abort=True)
        periods.destroy(destroy)
    for period in periods.all():
        typer.echo(period)


@backup.command("forget")
def forget_folder(
    folder: Folders,
    data: Data = DATA,
    config: Config = None,
) -> None:
    """Have the zone forget a folder of backups that is gone for good, so that erasures wait for it no more."""
    settings, zone = zone_of(data, config)
    with contextlib.closing(open_records(settings, zone)) as records:
        known = folders(records)
        if folder.absolute() not in known:
            do = f"It knows: {', '.join(map(str, known))}." if known else "It knows none."
            raise MissingError(f"The zone knows no backups in {folder}.", do)
        set_folders(records, [one for one in known if one != folder.absolute()])


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


def _existing(path: Path) -> Path:
    return path if path.exists() else _existing(path.parent)


def _about(found: Manifest) -> str:
    files = len(found.files)
    return f"{found.size / 1e6:,.1f} MB, chunk {found.chunk}, {files} files of the lake, {found.leaves} leaves"


def _say(text: str) -> None:
    typer.echo(text, err=True)
