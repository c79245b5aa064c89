"""The mapping of a table of tracks: which columns say who is where, in which units, angles and points of the car.

Rules:
* It is YAML and strict: an unknown key, a unit that cannot be converted or a kind that nobody is are errors.
* Positions are x and y in the table's own plane, or latitude and longitude; nothing else is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from carcloud.errors import InputError
from carcloud.onboard.mapping import TIME_UNITS_US, Section, cell, load
from carcloud.research.motion import KINDS
from carcloud.vehicle.units import conversion

KEYS = "recording, origin, scenario, track, time, position, angle, velocity, speed, acceleration, size, kind"
KNOWN = f"{KEYS}, ego, only, place"
WANTED = {
    "x": "m",
    "y": "m",
    "z": "m",
    "altitude": "m",
    "latitude": "degrees",
    "longitude": "degrees",
    "yaw": "radians",
    "vx": "m/s",
    "vy": "m/s",
    "speed": "m/s",
    "ax": "m/s^2",
    "ay": "m/s^2",
    "length": "m",
    "width": "m",
    "height": "m",
}
POINTS = ("centre", "front", "rear")
"""Where on the box a position is: its middle, the middle of its front or of its rear."""


@dataclass(frozen=True)
class Number:
    """A column of numbers: times `factor`, plus `offset`, in our unit."""

    column: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Kind:
    """What the road users are: a column's values by name, or one kind for all."""

    column: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    otherwise: str = "car"


@dataclass(frozen=True)
class TrackMapping:
    """A mapping, read and checked.

    Args:
        scenario: columns whose every combination is a scenario of its own.
        numbers: by names of WANTED.
        point: one of POINTS; forward: metres that the position lies ahead of it besides.
        clockwise: whether angles turn from y towards x; zero: radians from x at which the source's angle is 0.
        sizes: metres, for all.
        ego: a column and the value that marks the ego; or the name of its track.
        only: a column and the value that rows must have to count.
        place: latitude and longitude of the plane's origin.
    """

    file: Path
    scenario: tuple[str, ...]
    track: str
    time: str
    time_us: float
    numbers: Mapping[str, Number]
    point: str = "centre"
    forward: float = 0.0
    clockwise: bool = False
    zero: float = 0.0
    sizes: Mapping[str, float] = field(default_factory=dict)
    kind: Kind = Kind()
    ego: tuple[str, str] | str = ""
    only: tuple[str, str] | None = None
    place: tuple[float, float] | None = None

    @property
    def texts(self) -> list[str]:
        """Return the columns that are read as texts."""
        pairs = [self.ego[0]] if isinstance(self.ego, tuple) and self.ego[0] != self.track else []
        pairs += [self.only[0]] if self.only else []
        return list(
            dict.fromkeys([*self.scenario, self.track, *([self.kind.column] if self.kind.column else []), *pairs])
        )

    @property
    def columns(self) -> list[str]:
        """Return every column the mapping reads, once."""
        return list(dict.fromkeys([*self.texts, self.time, *(number.column for number in self.numbers.values())]))


def read_mapping(file: Path) -> TrackMapping:
    """Read and check a mapping.

    Raises:
        InputError: it is none; names file and key.
    """
    top = Section(file, "", load(file))
    if top.take("recording", str, "") != "table":
        raise InputError(
            f"{file.name} describes no table of tracks.", "Write `recording: table`; see docs/research.md."
        )
    top.take("origin", str, "")
    scenario, track = top.texts("scenario"), top.take("track", str)
    time, time_us = _time(Section(file, "time", top.take("time", dict)))
    numbers: dict[str, Number] = {}
    point, forward = _position(Section(file, "position", top.take("position", dict)), numbers)
    clockwise, zero = _angle(top, numbers)
    _pair(top, "velocity", {"x": "vx", "y": "vy"}, numbers)
    _pair(top, "acceleration", {"x": "ax", "y": "ay"}, numbers)
    speed = top.take("speed", dict, None)
    if speed is not None:
        numbers["speed"] = _number(Section(file, "speed", speed), "speed")
    sizes = _sizes(top, numbers)
    kind, ego, only, place = _kind(top), _ego(top, track), _marked(top, "only"), _place(top)
    top.end(KNOWN)
    return TrackMapping(
        file, scenario, track, time, time_us, numbers, point, forward, clockwise, zero, sizes, kind, ego, only, place
    )


def _number(section: Section, name: str) -> Number:
    column, unit = section.take("column", str), section.take("unit", str)
    scale, offset = section.take("scale", (int, float), 1.0), section.take("offset", (int, float), 0.0)
    section.end("column, unit, scale, offset")
    try:
        factor, shift = conversion(unit, WANTED[name])
    except InputError as error:
        raise section.wrong("unit", f"is wrong: {error.message.rstrip('.')}", error.do) from None
    return Number(column, scale * factor, offset * factor + shift)


def _time(section: Section) -> tuple[str, float]:
    column, unit, step = (
        section.take("column", str),
        section.take("unit", str, "s"),
        section.take("step_s", (int, float), 0),
    )
    section.end("column, unit, step_s")
    if unit == "step":
        if not 0.001 <= step <= 10:
            raise section.wrong(
                "step_s", f"is {step}", "With `unit: step`, say how many seconds a step lasts: 0.001 to 10."
            )
        return column, step * 1e6
    if unit not in TIME_UNITS_US:
        raise section.wrong("unit", f"is {unit!r}", f"It is {', '.join(TIME_UNITS_US)} or step.")
    return column, TIME_UNITS_US[unit]


def _position(section: Section, numbers: dict[str, Number]) -> tuple[str, float]:
    for name in ("x", "y", "z", "latitude", "longitude", "altitude"):
        value = section.take(name, dict, None)
        if value is not None:
            numbers[name] = _number(Section(section.file, f"position.{name}", value), name)
    point, forward = section.take("point", str, "centre"), float(section.take("forward", (int, float), 0))
    section.end("x, y, z, latitude, longitude, altitude, point, forward")
    if point not in POINTS:
        raise section.wrong("point", f"is {point!r}", f"It is one of {', '.join(POINTS)}.")
    if ({"x", "y"} <= numbers.keys()) == ({"latitude", "longitude"} <= numbers.keys()):
        raise section.wrong("", "is not told", "Map `x` and `y`, or `latitude` and `longitude`: one of both.")
    return point, forward


def _angle(top: Section, numbers: dict[str, Number]) -> tuple[bool, float]:
    value = top.take("angle", dict, None)
    if value is None:
        return False, 0.0
    section = Section(top.file, "angle", value)
    zero, turns = section.take("zero", str, "x"), section.take("turns", str, "left")
    if zero not in ("x", "y") or turns not in ("left", "right"):
        raise section.wrong("", "is of no known convention", "`zero` is x or y (east or north), `turns` left or right.")
    numbers["yaw"] = _number(section, "yaw")
    return turns == "right", {"x": 0.0, "y": 1.5707963267948966}[zero]


def _pair(top: Section, key: str, names: Mapping[str, str], numbers: dict[str, Number]) -> None:
    value = top.take(key, dict, None)
    if value is None:
        return
    section = Section(top.file, key, value)
    for axis, name in names.items():
        numbers[name] = _number(Section(top.file, f"{key}.{axis}", section.take(axis, dict)), name)
    section.end(", ".join(names))


def _sizes(top: Section, numbers: dict[str, Number]) -> dict[str, float]:
    value = top.take("size", dict, None)
    if value is None:
        return {}
    section, sizes = Section(top.file, "size", value), {}
    for name in ("length", "width", "height"):
        one = section.take(name, (int, float, dict), 0)
        if isinstance(one, dict):
            numbers[name] = _number(Section(top.file, f"size.{name}", one), name)
        elif one:
            sizes[name] = float(one)
    section.end("length, width, height")
    return sizes


def _kind(top: Section) -> Kind:
    value = top.take("kind", (str, dict), "car")
    if isinstance(value, str):
        found = Kind(otherwise=value)
    else:
        section = Section(top.file, "kind", value)
        rows = section.take("values", dict)
        found = Kind(
            section.take("column", str),
            {cell(one): str(kind) for one, kind in rows.items()},
            section.take("otherwise", str, "other"),
        )
        section.end("column, values, otherwise")
    for kind in (*found.values.values(), found.otherwise):
        if kind not in KINDS:
            raise top.wrong("kind", f"has {kind!r}", f"It is one of {', '.join(KINDS)}.")
    return found


def _ego(top: Section, track: str) -> tuple[str, str] | str:
    if isinstance(top.rest.get("ego"), str):
        return str(top.take("ego", str))
    marked = _marked(top, "ego")
    return marked or ""


def _marked(top: Section, key: str) -> tuple[str, str] | None:
    value = top.take(key, dict, None)
    if value is None:
        return None
    section = Section(top.file, key, value)
    column, is_ = section.take("column", str), section.rest.pop("is", "")
    section.end("column, is")
    return column, cell(is_)


def _place(top: Section) -> tuple[float, float] | None:
    value = top.take("place", dict, None)
    if value is None:
        return None
    section = Section(top.file, "place", value)
    found = float(section.take("latitude", (int, float))), float(section.take("longitude", (int, float)))
    section.end("latitude, longitude")
    if abs(found[0]) > 90 or abs(found[1]) > 180:
        raise section.wrong("", f"is {found}", "Degrees: -90 to 90, and -180 to 180.")
    return found
