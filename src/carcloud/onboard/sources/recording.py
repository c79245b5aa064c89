"""Opens a recording by the kind its mapping states."""

from __future__ import annotations

from pathlib import Path

from carcloud.onboard.mapping import DriveMapping
from carcloud.onboard.source import Source
from carcloud.onboard.sources.can import CanLog
from carcloud.onboard.sources.mdf4 import Mdf4
from carcloud.onboard.sources.table import Table


def open_recording(file: Path, mapping: DriveMapping) -> Source:
    """Open a recording as a source."""
    kinds: dict[str, type[CanLog] | type[Table] | type[Mdf4]] = {"can": CanLog, "table": Table, "mdf4": Mdf4}
    return kinds[mapping.kind](file, mapping)
