"""What many commands are given: the zone's data folder, and its configuration."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from carcloud.assembly.records import open_records
from carcloud.settings import Folder, Settings, settings_of

Data = Annotated[Path, typer.Option("--data", help="The zone's data folder.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file; docs/operations.md lists its keys.")]
OfTenant = Annotated[str | None, typer.Option("--tenant", help="For this tenant; else the one the zone is run for.")]
DATA = Path("carcloud-data")


def zone_of(data: Path, config: Path | None, tenant: str | None = None) -> tuple[Settings, Folder]:
    """Return settings and folder of the zone a command acts on, the settings those of a tenant where one is named.

    Raises:
        MissingError: there is no such tenant. Else as `settings_of` and `Folder.existing`.
    """
    settings, folder = settings_of(config, Folder(data)), Folder(data).existing()
    if tenant is None or tenant == settings.tenant:
        return settings, folder
    with contextlib.closing(open_records(settings, folder)) as records:
        records.tenants.get(tenant)
    return replace(settings, tenant=tenant), folder
