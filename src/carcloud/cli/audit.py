"""`carcloud audit` and `carcloud witness`: look into the audit log, keep its checkpoints, be a witness of others."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from carcloud.assembly.log_keys import checkpoint_of, known_keys
from carcloud.assembly.records import open_records
from carcloud.backends.http import PromptHttp
from carcloud.backends.records.audit import Wanted
from carcloud.cli.options import DATA, Config, Data, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError
from carcloud.safety.audit.door import witness_app
from carcloud.safety.audit.note import parse_key
from carcloud.safety.audit.witness import Witness
from carcloud.settings import Folder

app = typer.Typer()
audit = typer.Typer(invoke_without_command=True, help="Look into the audit log: what was done, by whom.")
app.add_typer(audit, name="audit")


@audit.callback()
def audit_list(
    context: typer.Context,
    data: Data = DATA,
    config: Config = None,
    actor: Annotated[str | None, typer.Option(help="Only acts of this one, such as person:ID.")] = None,
    action: Annotated[str | None, typer.Option(help="Only this action, such as revokeVehicle.")] = None,
    object: Annotated[str | None, typer.Option(help="Only acts on this, such as vehicle:ID.")] = None,  # noqa: A002
    since: Annotated[str | None, typer.Option(help="Only acts from this time on, RFC 3339.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
) -> None:
    """List acts, the newest first; receipts of chunks are left out."""
    if context.invoked_subcommand:
        return
    settings, folder = zone_of(data, config)
    begin = None if since is None else _time(since)
    wanted = Wanted(actor=actor, action=action, object=object, since=begin)
    with contextlib.closing(open_records(settings, folder)) as records:
        for leaf in records.audit.leaves(wanted, limit):
            words = (f"{leaf.at:%Y-%m-%dT%H:%M:%S.%fZ}", leaf.actor, leaf.action, leaf.object, leaf.outcome)
            typer.echo(harmless(f"{leaf.number:>8}  {'  '.join(words)}"))


@audit.command("checkpoint")
def audit_checkpoint(data: Data = DATA) -> None:
    """Print the newest checkpoint: keep it elsewhere, and give it to `verify audit --since` later."""
    typer.echo(checkpoint_of(Folder(data).existing()).decode(), nl=False)


@audit.command("keys")
def audit_keys(data: Data = DATA, config: Config = None) -> None:
    """Print the public keys of the log and of its witnesses, one a line."""
    settings, folder = zone_of(data, config)
    for key in known_keys(folder, settings):
        typer.echo(str(key))


@app.command("witness")
def witness(
    state: Annotated[Path, typer.Option(help="The folder for the witness's key and memory.")],
    log_key: Annotated[list[Path], typer.Option(help="A file with a log's key; may be given more than once.")],
    listen: Annotated[str, typer.Option(help="Address and port, as HOST:PORT.")] = "127.0.0.1:8425",
    name: Annotated[str, typer.Option(help="The witness's name, for life.")] = "carcloud-witness",
) -> None:
    """Be a witness of audit logs, for zones elsewhere, until Ctrl-C."""
    host, _, port = listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise InputError(f"{listen!r} is no address.", "Give HOST:PORT.")
    known = [parse_key(line) for file in log_key for line in _lines(file)]
    opened = Witness(state, known, name)
    typer.echo(f"http://{listen} {opened.key}")
    settings = uvicorn.Config(
        witness_app(opened), host=host, port=int(port), http=PromptHttp, log_config=None, access_log=False,
        lifespan="off", limit_concurrency=64,
    )  # fmt: skip
    try:
        uvicorn.Server(settings).run()
    finally:
        opened.close()


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is no time.", "Write it as 2026-11-23T12:00:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file} cannot be read: {error}.", "Give what `carcloud audit keys` printed.") from None
