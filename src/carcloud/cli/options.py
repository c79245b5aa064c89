"""What many commands are given: the zone's data folder, and its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from carcloud.settings import Folder, Settings, settings_of

Data = Annotated[Path, typer.Option("--data", help="The zone's data folder.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file; docs/operations.md lists its keys.")]
DATA = Path("carcloud-data")


def zone_of(data: Path, config: Path | None) -> tuple[Settings, Folder]:
    """Return settings and folder of the zone a command acts on; raise as `settings_of` and `Folder.existing`."""
    return settings_of(config, Folder(data)), Folder(data).existing()
