"""`carcloud quarantine`: look into what the guards refused."""

from __future__ import annotations

import contextlib
import json
from typing import Annotated, Any

import typer

from carcloud.assembly.records import open_records
from carcloud.backends.records import Entry
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.terminal import harmless
from carcloud.errors import InputError
from carcloud.safety.seal import Seals
from carcloud.stream.quarantine import Quarantine, read

app = typer.Typer()
quarantine = typer.Typer(no_args_is_help=True, help="Look into what the guards refused.")
app.add_typer(quarantine, name="quarantine")


@quarantine.command("list")
def quarantine_list(
    data: Data = DATA,
    config: Config = None,
    tenant: OfTenant = None,
    cause: Annotated[str | None, typer.Option(help="Only this cause.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
) -> None:
    """List what was refused and kept, the newest first."""
    settings, folder = zone_of(data, config, tenant)
    with contextlib.closing(open_records(settings, folder)) as records:
        for entry in records.quarantine_entries(limit, cause, tenant=settings.tenant):
            at, detail = f"{entry.at:%Y-%m-%dT%H:%M:%SZ}", harmless(entry.detail)
            typer.echo(f"{entry.id[:16]}  {at}  {entry.vehicle}  {entry.cause}  {detail}")


@quarantine.command("show")
def quarantine_show(entry: str, data: Data = DATA, config: Config = None) -> None:
    """Show one entry, decoded as far as possible; the beginning of its id is enough."""
    settings, folder = zone_of(data, config)
    with contextlib.closing(open_records(settings, folder)) as records:
        ids = [found.id for found in records.quarantine_entries(100_000) if found.id.startswith(entry)]
        if len(ids) > 1:
            raise InputError(f"{len(ids)} entries begin with {entry!r}.", "Give more of the id.")
        found = records.quarantine_entry(ids[0] if ids else entry)
        payload = Quarantine(records, Seals(folder.keys, settings.tenant)).payload(found)
        shown_payload = read(payload, records)
        act = Entry("machine", "openQuarantine", f"quarantine:{found.id}", tenant=found.tenant)
        records.audit.add(act)
    shown: dict[str, Any] = {"id": found.id, "at": found.at.isoformat(), "vehicle": found.vehicle, "cause": found.cause}
    shown |= {"detail": found.detail, "bytes": found.size, "decoded": shown_payload, "payload": payload.hex()}
    typer.echo("\n".join(map(harmless, json.dumps(shown, indent=2, ensure_ascii=False).split("\n"))))
