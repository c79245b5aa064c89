"""Parts of a drive: the files of one car, each with its own mapping, read into series.

Rules:
* A part's mapping is what `carcloud drive` takes, with the name of its file; see docs/mapping.md. A path that the core
  catalogue does not have keeps the unit that the mapping states.
* A part that several files would give a signal is an error; so is a file that is not there.
* Samples of a signal are put in the order of time, and one of two of the same time is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import carcloud.vehicle
from carcloud.errors import CarcloudError, InputError, MissingError
from carcloud.onboard.mapping import DriveMapping, Section, load, mapping_of
from carcloud.onboard.sources.recording import open_recording
from carcloud.research.scenario import Series
from carcloud.vehicle.catalogue import parse

LIMIT_SAMPLES = 50_000_000
LIMIT_PARTS = 50
KNOWN = "recording, origin, vehicle, size, antenna, step_s, parts"


@dataclass(frozen=True)
class Car:
    """What a mapping says of the car.

    Args:
        size: length, width, height in metres; 0 where it says none.
        antenna: metres from the box's middle to the receiver's antenna: forward, left, up.
        step_s: between two steps of the scenario.
    """

    name: str
    size: tuple[float, float, float]
    antenna: tuple[float, float, float]
    step_s: float


@dataclass(frozen=True)
class Part:
    """A file of the drive and the mapping it is read by."""

    file: Path
    mapping: DriveMapping


def read_car(mapping: Path, folder: Path, lone: Path | None = None) -> tuple[Car, list[Part]]:
    """Return the car of a mapping, and its parts.

    Args:
        folder: where the files lie.
        lone: a file that stands for the only part's, whatever that one is called.

    Raises:
        InputError: the mapping does not describe a drive.
    """
    top = Section(mapping, "", load(mapping))
    if top.take("recording", str, "") != "drive":
        raise InputError(f"{mapping.name} describes no drive.", "Write `recording: drive`; see docs/research.md.")
    top.take("origin", str, "")
    name = top.take("vehicle", str)
    size = _three(top, "size", ("length", "width", "height"))
    antenna = _three(top, "antenna", ("forward", "left", "up"))
    step_s = float(top.take("step_s", (int, float), 0.1))
    rows = top.take("parts", list)
    top.end(KNOWN)
    if not 0.001 <= step_s <= 10:
        raise top.wrong("step_s", f"is {step_s}", "It is 0.001 to 10 seconds.")
    if not 0 < len(rows) <= LIMIT_PARTS:
        raise top.wrong("parts", f"has {len(rows)} entries", f"A drive has 1 to {LIMIT_PARTS} files.")
    if lone is not None and len(rows) != 1:
        raise top.wrong("parts", f"names {len(rows)} files", f"{lone.name} is one: give the folder with all of them.")
    parts = [_part(mapping, number, row, name, folder, lone) for number, row in enumerate(rows)]
    return Car(name, size, antenna, step_s), parts


def _three(top: Section, key: str, names: tuple[str, str, str]) -> tuple[float, float, float]:
    value = top.take(key, dict, None)
    if value is None:
        return 0.0, 0.0, 0.0
    section = Section(top.file, key, value)
    found = tuple(float(section.take(name, (int, float), 0)) for name in names)
    section.end(", ".join(names))
    return found[0], found[1], found[2]


def _part(mapping: Path, number: int, row: object, vehicle: str, folder: Path, lone: Path | None) -> Part:
    name = f"parts.{number}"
    section = Section(mapping, name, row)
    called = section.take("file", str, "") if lone is not None else section.take("file", str)
    file = lone or folder / called
    if Path(called).name != called or not file.is_file():
        raise MissingError(
            f"{mapping.name} names the file {called!r}, which is not there.", "Put it beside the others."
        )
    return Part(file, mapping_of(mapping, name, {"vehicle": vehicle} | section.rest, _catalogue(section.rest)))


@cache
def _core() -> dict[str, str | None]:
    file = Path(carcloud.vehicle.__path__[0]) / "core.yaml"
    return {path: signal.unit for path, signal in parse(file.read_bytes(), file.name).items()}


def _catalogue(part: Mapping[Any, Any]) -> dict[str, str | None]:
    rows = part.get("signals")
    own = {
        path: row.get("unit") if isinstance(row, dict) else None
        for path, row in (rows.items() if isinstance(rows, dict) else ())
        if isinstance(path, str)
    }
    return own | _core()


def read_parts(parts: list[Part]) -> Iterator[tuple[Series, ...] | CarcloudError]:
    """Yield what each part tells, or why it cannot be read. Times are microseconds since 1970."""
    taken: set[str] = set()
    for part in parts:
        twice = sorted(taken & {signal.path for signal in part.mapping.signals})
        if twice:
            raise InputError(f"{twice[0]} is mapped in two files.", "Give it another name in one of them.")
        taken |= {signal.path for signal in part.mapping.signals}
        try:
            yield tuple(_read(part))
        except CarcloudError as error:
            yield error


def _read(part: Part) -> Iterator[Series]:
    times: dict[int, list[NDArray[np.int64]]] = {}
    values: dict[int, list[NDArray[np.float64]]] = {}
    count: Counter[str] = Counter()
    source = open_recording(part.file, part.mapping)
    for slice_ in source.slices():
        for column in (column for block in slice_.blocks for column in block.columns if column.texts is None):
            times.setdefault(column.signal, []).append(column.times_us)
            values.setdefault(column.signal, []).append(column.values)
            count["samples"] += len(column)
        if count["samples"] > LIMIT_SAMPLES:
            raise InputError(
                f"{part.file.name} has more than {LIMIT_SAMPLES} samples.", "Cut it, or map fewer signals."
            )
    for index, signal in enumerate(part.mapping.signals):
        if index in times:
            at, order = np.unique(np.concatenate(times[index]), return_index=True)
            yield Series(signal.path, signal.unit or "", at, np.concatenate(values[index])[order])
