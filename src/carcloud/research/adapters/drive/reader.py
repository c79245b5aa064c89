"""Reads the drive of one car: CAN logs, tables of its satellite receiver and inertial sensors, MF4; with a mapping."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters.adapter import Options, Progress, Refused
from carcloud.research.adapters.drive.parts import read_car, read_parts
from carcloud.research.adapters.drive.scenario import scenario_of
from carcloud.research.scenario import Scenario, Series

FORMAT = "drive"
ABOUT = "The drive of one car: a folder with CAN logs, GNSS and IMU tables or MF4, by a mapping."

LOGS = (".log", ".log.gz", ".blf", ".asc")


def recognises(path: Path) -> bool:
    """Tell by a CAN log: the file itself, or one in the folder."""
    try:
        return path.name.lower().endswith(LOGS) or (path.is_dir() and any(map(_is_log, path.iterdir())))
    except OSError:
        return False


def _is_log(path: Path) -> bool:
    return path.name.lower().endswith(LOGS)


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Yield the one scenario of a drive, and each file of it that could not be read."""
    if options.mapping is None:
        raise InputError(f"{path.name} needs a mapping.", "Say --mapping; ready ones are in examples/mappings.")
    folder = path if path.is_dir() else path.parent
    car, parts = read_car(options.mapping, folder)
    series: list[Series] = []
    refused: list[CarcloudError] = []
    for number, told in enumerate(read_parts(parts), 1):
        progress(number / (len(parts) + 1))
        if isinstance(told, CarcloudError):
            refused.append(told)
        else:
            series += told
    if len(refused) == len(parts):
        raise refused[0]
    yield scenario_of(options.parameters.get("name", path.name.partition(".")[0]), car, tuple(series))
    yield from (Refused(f"{path.name}: a part", error) for error in refused)
