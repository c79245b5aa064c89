"""`carcloud verify`: check lake and audit log against what was signed, and that they tell the same."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.log_keys import log_key, witness_keys
from carcloud.assembly.records import open_records
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.errors import InputError, MissingError
from carcloud.lake.receipts import receipts_of
from carcloud.lake.verify import verify_lake
from carcloud.safety.audit.note import Key, parse_key
from carcloud.safety.audit.verify import IndexCheck, lake_faults, verify_log
from carcloud.safety.signer import Verifier, load_public_key
from carcloud.settings import Folder
from carcloud.stream.digest_keys import StoredKeys

SETTLING_S = 10.0

app = typer.Typer()
verify = typer.Typer(no_args_is_help=True, help="Check what the zone claims.")
app.add_typer(verify, name="verify")


@verify.command("lake")
def verify_lake_command(data: Data = DATA, config: Config = None) -> None:
    """Check every row of the lake against the governor's signed receipts, and these against the audit log.

    The records must be there too: they have the keys of the receipts' digests.
    """
    settings, folder = zone_of(data, config)
    load_public_key(folder.keys / "receipt.pub")  # without the key nothing can be said, not even that rows are wrong
    signed, erased = Verifier(folder.keys, "receipt"), Verifier(folder.keys, "erasure")
    with contextlib.closing(open_records(settings, folder)) as records:
        verdict = verify_lake(folder.lake, signed, erased, lambda: StoredKeys(records))
    faults = verdict.faults
    if (folder.audit / "checkpoint").exists():
        log = verify_log(folder.audit, log_key(folder))
        faults = [*faults, *log.faults, *lake_faults(verdict.receipts, log)]
        inside = len(verdict.receipts.keys() & log.chunks.keys())
        typer.echo(f"{inside} of {len(verdict.receipts)} receipts are in the audit log")
    gone = ((verdict.erased, "erased"), (verdict.expired, "expired"))
    left = "".join(f", {rows} {how}" for rows, how in gone if rows)
    typer.echo(f"{verdict.chunks} chunks, {verdict.rows} rows{left}: {'NOT as signed' if faults else 'good'}")
    _end(faults)


@verify.command("audit")
def verify_audit_command(
    data: Data = DATA,
    config: Config = None,
    since: Annotated[
        list[Path] | None, typer.Option(help="A checkpoint you kept; may be given more than once.")
    ] = None,
) -> None:
    """Check the audit log: every leaf, tile and signature, kept checkpoints, records and lake."""
    settings, folder = zone_of(data, config)
    if not (folder.audit / "checkpoint").exists():
        raise MissingError(f"There is no audit log in {folder.path} yet.", "Start the zone once, or restore the log.")
    kept = {str(file): _read(file) for file in since or ()}
    lake = list[str]()
    with contextlib.closing(open_records(settings, folder)) as records:
        index, key = IndexCheck(records.audit), log_key(folder)
        verdict = verify_log(folder.audit, key, witness_keys(folder, settings), kept, index.take)
        size = verdict.checkpoint.size if verdict.checkpoint else 0
        deadline = time.monotonic() + SETTLING_S
        while (folder.audit / "draft").exists() and records.audit.size() < size and time.monotonic() < deadline:
            time.sleep(0.1)  # the log's process is about to index what it has just written
        faults = [*_key_faults(folder, key), *verdict.faults, *index.faults(size)]
    faults += [*lake_faults(receipts_of(folder.lake, lake.append), verdict), *lake]
    for leaf, backup in verdict.restores:
        typer.echo(f"leaf {leaf}: the zone was restored from the backup {backup}")
    typer.echo(f"{size} leaves, {len(verdict.chunks)} receipts of chunks: {'NOT ' if faults else ''}good")
    _end(faults)


def _key_faults(folder: Folder, key: Key) -> list[str]:
    """Return what is wrong with the zone's key: the witness has known it from the first."""
    known = folder.witness / "log.pub"
    if known.exists() and parse_key(known.read_text()) != key:
        return [f"{folder.keys / 'checkpoint.pub'}: is not the key that the witness has known from the first"]
    return []


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.", "Give a checkpoint you kept.") from None


def _end(faults: Sequence[str]) -> None:
    for fault in faults:
        typer.secho(fault, fg=typer.colors.RED)
    if faults:
        raise typer.Exit(1)
