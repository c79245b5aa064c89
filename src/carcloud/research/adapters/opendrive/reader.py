"""A lone map: known by its name, and refused as a recording, since nothing moves in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.adapter import Options, Progress, Refused
from carcloud.research.adapters.opendrive.roads import read_roads
from carcloud.research.scenario import Scenario

FORMAT = "opendrive"
ABOUT = "OpenDRIVE: a map, for recordings that come without one; by itself it is no recording"


def recognises(path: Path) -> bool:
    """Tell by its name whether this is a map."""
    return path.suffix.lower() == ".xodr"


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Refuse it: nothing moves on a map alone.

    Raises:
        InputError: always; where the map is broken it says how.
    """
    lanes = len(read_roads(xml.text_of(path)).lanes)
    raise InputError(
        f"{path.name} is a map of {lanes} lanes, on which nothing moves.", "Import a recording, with the map as --road."
    )
