"""Reads a lone MF4 measurement file of one car, by a mapping of the same form as a drive's with one part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters.adapter import Options, Progress, Refused
from carcloud.research.adapters.drive.parts import read_car, read_parts
from carcloud.research.adapters.drive.scenario import scenario_of
from carcloud.research.scenario import Scenario

FORMAT = "mf4"
ABOUT = "A measurement file of one car (.mf4), by a mapping."

MAGIC = b"MDF     "


def recognises(path: Path) -> bool:
    """Tell by the first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Yield the one scenario of a measurement file."""
    if options.mapping is None:
        raise InputError(f"{path.name} needs a mapping.", "Say --mapping; ready ones are in examples/mappings.")
    car, parts = read_car(options.mapping, path.parent, lone=path)
    told = next(read_parts(parts))
    progress(0.9)
    if isinstance(told, CarcloudError):
        raise told
    yield scenario_of(path.stem, car, told)
