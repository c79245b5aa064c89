"""What many commands are given: the zone's data folder, and its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", help="The zone's data folder.")]
Config = Annotated[Path | None, typer.Option("--config", help="A TOML file; docs/operations.md lists its keys.")]
DATA = Path("carcloud-data")
