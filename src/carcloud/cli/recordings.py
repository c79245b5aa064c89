"""`carcloud research import`, `recordings`, `scenarios`, `forget`: what was recorded, and what is known of it."""

from __future__ import annotations

import contextlib
from typing import Annotated

import typer

from carcloud.assembly.records import open_records
from carcloud.backends.records.recordings import Recording
from carcloud.cli.options import DATA, Config, Data, OfTenant, zone_of
from carcloud.cli.terminal import harmless

LIMIT_SHOWN = 1000


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


def _line(one: Recording) -> str:
    state = f"{one.state} {one.progress:.0%}" if one.state == "importing" else one.state
    counts = f"{one.scenarios} scenarios" if one.state == "imported" else one.error
    return f"{one.id}  {state:14} {one.bytes / 1e6:10.3f} MB  {one.format:14} {one.name}  {counts}".rstrip()
