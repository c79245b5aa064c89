"""The map beside a recording: that of the option, or one of the same name."""

from __future__ import annotations

from pathlib import Path

from carcloud.errors import InputError, MissingError
from carcloud.research.adapters.adapter import LIMIT_XML_BYTES, Options
from carcloud.research.adapters.opendrive.roads import read_roads
from carcloud.research.roads import RoadMap


def road_beside(path: Path, options: Options, *, needed: bool) -> RoadMap | None:
    """Return the map of the option; where there is none and it is needed, the `.xodr` of the same name, if any."""
    if options.road is not None:
        return read_road(options.road)
    beside = path.with_suffix(".xodr")
    return read_road(beside) if needed and beside.is_file() else None


def read_road(path: Path) -> RoadMap:
    """Read a map in OpenDRIVE."""
    if not path.is_file():
        raise MissingError(f"There is no map {path.name}.", "Give the path of an OpenDRIVE file.")
    if path.stat().st_size > LIMIT_XML_BYTES:
        raise InputError(f"The map {path.name} has more than {LIMIT_XML_BYTES >> 20} MiB.", "Cut it.")
    return read_roads(path.read_bytes())
