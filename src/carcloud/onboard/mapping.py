"""The mapping file: which column or CAN signal of a source is which signal of the catalogue.

Rules:
* A mapping is YAML and strict: an unknown key, a key given twice or an impossible unit is an error naming file and key.
* Every signal states the unit the source speaks; it is converted to the catalogue's.
* An empty or not finite cell gives no sample, and is counted.

Source: docs/mapping.md describes every key; examples/mappings has one file a kind of source.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from carcloud.errors import InputError, MissingError
from carcloud.vehicle.batch import LIMIT_TABLE, IdTable, Provenance
from carcloud.vehicle.units import conversion

KINDS = ("can", "table", "mdf4")
TIME_UNITS_US = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}
EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


@dataclass(frozen=True)
class Signal:
    """One mapped signal: the sum of `sources`, times `factor`, plus `offset`, in the catalogue's unit.

    `values` maps the source's value to a number or text instead; `decimals` rounds the result; `text` takes the
    source's text as it stands.
    """

    path: str
    unit: str | None
    sources: tuple[str, ...]
    factor: float = 1.0
    offset: float = 0.0
    decimals: int | None = None
    values: dict[str, float | str] | None = None
    text: bool = False

    @property
    def is_text(self) -> bool:
        """Say whether this signal's samples are texts."""
        return self.text or any(isinstance(value, str) for value in (self.values or {}).values())

    def convert(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return `raw` in the catalogue's unit. A conversion by 1 leaves every bit as it was."""
        if self.factor != 1.0:
            raw = raw * self.factor
        if self.offset:
            raw = raw + self.offset
        return raw if self.decimals is None else np.round(raw, self.decimals)


@dataclass(frozen=True)
class Time:
    """Where a table's time stamps come from, and how they become microseconds since 1970 UTC.

    `unit` is s, ms, us, ns or rfc3339. `start_us` is added to each; with `start_column` it depends on that column's
    value. `lay_by` names columns whose every combination is a drive of its own: they are laid one after another,
    `gap_us` apart, from the start on.
    """

    column: str
    unit: str
    resolution_us: int
    start_us: int = 0
    start_column: str | None = None
    starts_us: dict[str, int] = field(default_factory=dict)
    lay_by: tuple[str, ...] = ()
    gap_us: int = 0

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the columns besides the time's own that decide about the time."""
        return (*((self.start_column,) if self.start_column else ()), *self.lay_by)


@dataclass(frozen=True)
class DriveMapping:
    """A mapping file, read and checked against a catalogue."""

    file: Path
    kind: str
    signals: tuple[Signal, ...]
    vehicle: str | None = None
    vehicle_column: str | None = None
    time: Time | None = None
    dbc: tuple[str, ...] = ()
    bus: str | None = None
    provenance: Provenance | None = None

    @property
    def table(self) -> IdTable:
        """Return the id table the batches of this mapping name."""
        return IdTable(tuple((signal.path, signal.unit) for signal in self.signals))

    @property
    def columns(self) -> list[str]:
        """Return every column or CAN signal the mapping reads, once."""
        return list(dict.fromkeys(source for signal in self.signals for source in signal.sources))

    def beside(self, name: str, recording: Path | None) -> Path:
        """Return where a file named by the mapping is: beside the mapping, or beside the recording."""
        places = [self.file.parent / name, *([recording.parent / name] if recording else [])]
        for place in places:
            if place.is_file():
                return place
        wanted = " or ".join(map(str, places))
        raise MissingError(f"{self.file} names {name!r}, which is not there.", f"Put it at {wanted}.")


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = [key for index, key in enumerate(keys) if key in keys[:index]]
        if twice:
            raise yaml.MarkedYAMLError(problem=f"the key {twice[0]!r} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


class Section:
    """A mapping within the file: keys are taken out one by one, and none may remain."""

    def __init__(self, file: Path, name: str, value: object) -> None:
        self.file, self.name = file, name
        if not isinstance(value, dict):
            raise self.wrong("", f"must be a mapping of keys, not {value!r}")
        self.rest = dict(value)

    def wrong(self, key: str, what: str, do: str = "") -> InputError:
        """Return an error that names the file and the key."""
        place = ".".join(part for part in (self.name, key) if part) or "the file"
        return InputError(f"{self.file}: {place} {what}.", do or "See docs/mapping.md for what may stand there.")

    def take(self, key: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        """Take a key out; without a default it must be there."""
        if key not in self.rest:
            if default is ...:
                raise self.wrong(key, "is missing")
            return default
        value = self.rest.pop(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, f"cannot be {value!r}")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        """Take a text or a list of texts out; empty where the key is missing."""
        value = self.take(key, (str, list), [])
        items = [value] if isinstance(value, str) else value
        if not all(isinstance(item, str) for item in items):
            raise self.wrong(key, "must be a text or a list of texts")
        return tuple(items)

    def end(self, known: str) -> None:
        """Refuse what was not taken."""
        for key in self.rest:
            raise self.wrong(str(key), "is not known here", f"Known are: {known}.")


def read_mapping(file: Path, catalogue: Mapping[str, str | None]) -> DriveMapping:
    """Read and check a mapping file.

    Args:
        catalogue: the zone's signals, path → unit or None.
    """
    return mapping_of(file, "", load(file), catalogue)


def mapping_of(file: Path, name: str, value: object, catalogue: Mapping[str, str | None]) -> DriveMapping:
    """Check a mapping that stands in a file of its own, or in a part of one.

    Args:
        name: of the part, for what errors say; empty where it is the whole file.
        catalogue: the signals it may name, path → unit or None.
    """
    top = Section(file, name, value)
    kind = top.take("source", str)
    if kind not in KINDS:
        raise top.wrong("source", f"is {kind!r}", f"It is one of {', '.join(KINDS)}.")
    top.take("origin", str, "")
    vehicle, vehicle_column = _vehicle(top, kind)
    time = _time(Section(file, "time", top.take("time", dict))) if kind == "table" else None
    dbc, bus = _can(top) if kind == "can" else ((), None)
    provenance = _provenance(top)
    rows = Section(file, "signals", top.take("signals", dict)).rest
    signals = tuple(_signal(file, path, row, catalogue) for path, row in rows.items())
    top.end("source, origin, vehicle, time (tables), dbc and bus (can), provenance, signals")
    if not 0 < len(signals) <= LIMIT_TABLE:
        raise top.wrong("signals", f"has {len(signals)} entries", f"A mapping has 1 to {LIMIT_TABLE} signals.")
    return DriveMapping(file, kind, signals, vehicle, vehicle_column, time, dbc, bus, provenance)


def load(file: Path) -> object:
    """Return what a YAML file says; a key given twice is an error."""
    try:
        with file.open(encoding="utf-8") as stream:
            return yaml.load(stream, _StrictLoader)  # noqa: S506 (a safe loader, made stricter)
    except FileNotFoundError:
        raise MissingError(f"There is no mapping file {file}.", "Ready ones are in examples/mappings.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file} is not readable as YAML: {error}.", "Mend the line it names.") from None


def _vehicle(top: Section, kind: str) -> tuple[str | None, str | None]:
    value = top.take("vehicle", (str, dict))
    if isinstance(value, str):
        return value, None
    section = Section(top.file, "vehicle", value)
    if kind != "table":
        raise top.wrong("vehicle", "names a column, which only a table has", "Write the car's name instead.")
    column = section.take("column", str)
    section.end("column")
    return None, column


def _can(top: Section) -> tuple[tuple[str, ...], str | None]:
    dbc = top.texts("dbc")
    if not dbc:
        raise top.wrong("dbc", "is missing", "Name the DBC file that decodes the frames.")
    return dbc, top.take("bus", str, None)


def _provenance(top: Section) -> Provenance | None:
    name = top.take("provenance", str, None)
    if name is not None and name.upper() not in Provenance.__members__:
        raise top.wrong("provenance", f"is {name!r}", "It is measured, replay or simulated.")
    return Provenance[name.upper()] if name else None


def _time(section: Section) -> Time:
    column = section.take("column", str)
    unit = section.take("unit", str, "s")
    if unit != "rfc3339" and unit not in TIME_UNITS_US:
        raise section.wrong("unit", f"is {unit!r}", "It is s, ms, us, ns or rfc3339.")
    resolution = section.take("resolution_us", int, 1)
    if resolution < 1:
        raise section.wrong("resolution_us", "must be at least 1")
    start = section.take("start", (str, datetime, dict), None)
    start_us, start_column, starts = 0, None, {}
    if isinstance(start, dict):
        inner = Section(section.file, "time.start", start)
        start_column = inner.take("column", str)
        days = Section(section.file, "time.start.values", inner.take("values", dict))
        starts = {str(key): _micros(days, str(key), value) for key, value in days.rest.items()}
        inner.end("column, values")
    elif start is not None:
        start_us = _micros(section, "start", start)
    lay_by, gap_us = _lay(section)
    section.end("column, unit, resolution_us, start, one_after_another")
    return Time(column, unit, resolution, start_us, start_column, starts, lay_by, gap_us)


def _lay(section: Section) -> tuple[tuple[str, ...], int]:
    value = section.take("one_after_another", dict, None)
    if value is None:
        return (), 0
    inner = Section(section.file, "time.one_after_another", value)
    lay_by, gap_s = inner.texts("by"), inner.take("gap_s", (int, float), 60)
    inner.end("by, gap_s")
    if not lay_by or gap_s <= 0:
        raise inner.wrong("by", "needs at least one column, and gap_s must be above 0")
    return lay_by, round(gap_s * 1e6)


def _micros(section: Section, key: str, value: object) -> int:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        at = None
    if not isinstance(at, datetime) or at.tzinfo is None:
        raise section.wrong(key, f"is {value!r}", "Write a time with its zone, such as 2019-10-08T07:00:00Z.")
    return (at - EPOCH) // timedelta(microseconds=1)


def _signal(file: Path, path: object, row: object, catalogue: Mapping[str, str | None]) -> Signal:
    section = Section(file, f"signals.{path}", row)
    if not isinstance(path, str) or path not in catalogue:
        do = "Correct the path, or start the zone with a catalogue overlay that has it."
        raise section.wrong("", "is not in the zone's catalogue", do)
    sources = section.texts("column") or section.texts("sum")
    if not sources:
        raise section.wrong("column", "is missing", "Name the column, or the CAN signal as MESSAGE.SIGNAL.")
    scale, offset = section.take("scale", (int, float), 1.0), section.take("offset", (int, float), 0.0)
    factor, shift = _conversion(section, section.take("unit", str, None), catalogue[path])
    decimals, values, text = section.take("decimals", int, None), _values(section), section.take("text", bool, False)
    section.end("column or sum, unit, scale, offset, decimals, values, text")
    if len(sources) > 1 and (values or text):
        raise section.wrong("sum", "cannot be summed, since its values are mapped or texts")
    return Signal(path, catalogue[path], sources, scale * factor, offset * factor + shift, decimals, values, text)


def _conversion(section: Section, unit: str | None, wanted: str | None) -> tuple[float, float]:
    if wanted is None or unit is None:
        if wanted == unit:
            return 1.0, 0.0
        what = f"is {unit!r}, and the catalogue has {wanted!r}"
        raise section.wrong("unit", what, "State the unit of the source, or leave it out where the catalogue has none.")
    try:
        return conversion(unit, wanted)
    except InputError as error:
        raise section.wrong("unit", f"is wrong: {error.message.rstrip('.')}", error.do) from None


def _values(section: Section) -> dict[str, float | str] | None:
    values = section.take("values", dict, None)
    if values is None:
        return None
    kinds = {isinstance(value, str) for value in values.values()}
    if len(kinds) != 1 or not all(isinstance(value, str | int | float) for value in values.values()):
        raise section.wrong("values", "must give numbers (true and false count as such) or texts, not both")
    return {cell(key): value if isinstance(value, str) else float(value) for key, value in values.items()}


def cell(value: object) -> str:
    """Return a source's value as `values` spells it: 1, 1.0 and "1" are one."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
