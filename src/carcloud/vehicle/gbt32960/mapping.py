"""Reports as samples: what their fields say, as the signals that the rules name.

Rules:
* A missing value gives no sample. An abnormal one gives none either, but is named in `Vehicle.GBT32960.Abnormal`.
* Arrays are JSON lists; null stands for what is missing or abnormal in them.
* Places are kept in WGS 84. Those of 2025 that say GCJ-02 are turned; of another datum, or of none, they are left
  out. Those of 2016 say none, and are taken as they are. What the car says is not valid is no place.
* What has no signal (a motor beyond the fourth, a text beyond what a batch holds) is left out and counted.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from carcloud.vehicle.batch import LIMIT_TEXT_BYTES
from carcloud.vehicle.gbt32960.forms import Report
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.layout import ABNORMAL, Readings
from carcloud.vehicle.gbt32960.rules import LISTS, NUMBERS, Rule, Sampled, rules
from carcloud.vehicle.gbt32960.units import ALARMS, OEM, Unit, alarms_of, gear_of
from carcloud.vehicle.gcj02 import place_from_gcj02

_MEASURED = ("cells", "temperatures")
"""Units whose extremes are those of the battery."""

WGS84, GCJ02 = 1, 2
NOT_VALID, SOUTH, WEST = 1, 2, 4
DRIVING, BRAKING = 0x20, 0x10


@dataclass
class Samples:
    """What a report says: its time in microseconds since 1970 UTC, and samples by (place in the id table, value).

    The places rise. `left` counts what has no signal, by cause.
    """

    time_us: int
    rows: list[tuple[int, Sampled]]
    left: Counter[str] = field(default_factory=Counter)


class _Step(NamedTuple):
    """A field as the mapping is walked.

    `plain`: the places of a number that is taken as it is. `told`: of codes and of what is often empty, the samples by
    value, made beforehand. `rules` serve all else.
    """

    name: str
    plain: tuple[int, ...] = ()
    told: Mapping[Any, tuple[tuple[int, Sampled], ...]] = MappingProxyType({})
    rules: tuple[Rule, ...] = ()


_CODES = frozenset({"values", "gear", "driving", "braking", "valid"})


def _step(name: str, known: tuple[Rule, ...]) -> _Step:
    forms = {rule.form for rule in known}
    if forms == {"number"} and all(rule.factor == 1 and not rule.whole for rule in known):
        places = tuple(rule.place for rule in known)
        return _Step(name, places, {(): tuple((place, "[]") for place in places)}, known)
    codes = range(256) if forms and forms <= _CODES else (0,) if forms == {"alarms"} else ()
    told: dict[Any, tuple[tuple[int, Sampled], ...]] = {}
    for code in codes:
        sampled = ((rule.place, _sampled(rule, code)) for rule in known)
        told[code] = tuple((place, value) for place, value in sampled if value is not None)
    return _Step(name, (), told, known)


@cache
def _steps() -> Mapping[tuple[str, int], list[_Step]]:
    """Return the mapping as it is walked."""
    found: dict[tuple[str, int], list[_Step]] = {}
    for (unit, number), fields in rules().items():
        steps = found[unit, number] = [_Step(LISTS[unit][1])] if unit in LISTS else []
        steps += [_step(name, tuple(one for one in given if not one.back_only)) for name, given in fields.items()]
    return found


def samples(report: Report, edition: Edition) -> Samples:
    """Return what a report says, as samples."""
    taking = _Taking()
    for unit in report.units:
        taking.unit(unit, edition)
    taking.derive({unit.name for unit in report.units})
    if taking.abnormal:
        taking.put("report", 0, {"abnormal": taking.abnormal})
    time_us = int(report.at.timestamp()) * 1_000_000
    return Samples(time_us, sorted(taking.rows.items(), key=itemgetter(0)), taking.left)


class _Taking:
    """Collects the samples of one report."""

    def __init__(self) -> None:
        self.rows: dict[int, Sampled] = {}
        self.left: Counter[str] = Counter()
        self.abnormal: list[str] = []
        self.oem: dict[str, str] = {}
        self.cells: list[NDArray[np.float64]] = []
        self.probes: list[NDArray[np.float64]] = []

    def unit(self, unit: Unit, edition: Edition) -> None:
        if unit.name in LISTS:
            self._list(unit)
        elif unit.name == OEM:
            self.oem[f"{unit.fields['type']:02x}"] = unit.fields["content"].hex()
            self.put(OEM, 0, {"content": self.oem})
        else:
            self.put(unit.name, 0, self._place(unit, edition) if unit.name == "position" else unit.fields)

    def _list(self, unit: Unit) -> None:
        rows_field, number_field = LISTS[unit.name]
        rows = unit.fields[rows_field]
        if rows is ABNORMAL:
            self.abnormal.append(f"{unit.name}.{rows_field}")
        for at, row in enumerate(rows if isinstance(rows, tuple) else ()):
            number = row[number_field] if isinstance(row[number_field], int) else at + 1
            if number not in NUMBERS:
                self.left[f"{unit.name}: number {number}"] += 1
                continue
            if unit.name == "cells" and isinstance(row.get("first"), int) and row["first"] > 1:
                row = self._continued(number, row)
            self.put(unit.name, number, row)

    def _continued(self, number: int, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return a row whose cells go on where those of the last row of this battery in the same report ended."""
        rule = rules()["cells", number]
        before = self.rows.get(rule["cells"][0].place)
        first = self.rows.get(rule["first"][0].place)
        told = json.loads(before) if isinstance(before, str) and isinstance(row["cells"], Readings) else None
        if told is None or not isinstance(first, float) or first + len(told) != row["first"]:
            return row
        whole = [None if value is None else round(value * 1000) for value in told]
        raw = np.array([0xFFFF if value is None else value for value in whole], ">u2")
        joined = Readings(np.concatenate([raw, row["cells"].raw]), row["cells"].per, row["cells"].less)
        return {**row, "first": first, "cells": joined}

    def _place(self, unit: Unit, edition: Edition) -> dict[str, Any]:
        """Return the fields of a position with signed degrees in WGS 84, or without a place."""
        fields = dict(unit.fields)
        latitude, longitude, flags = fields.pop("latitude"), fields.pop("longitude"), fields["flags"]
        for name, value in (("latitude", latitude), ("longitude", longitude)):
            if value is ABNORMAL:
                fields[name] = ABNORMAL
        datum = fields.get("datum") if edition is Edition.E2025 else WGS84
        if flags & NOT_VALID or not isinstance(latitude, float) or not isinstance(longitude, float):
            return fields
        if datum not in (WGS84, GCJ02):
            self.left["position: another datum"] += 1
            return fields
        latitude, longitude = -latitude if flags & SOUTH else latitude, -longitude if flags & WEST else longitude
        if datum == GCJ02:
            north, east = place_from_gcj02(latitude, longitude)
            latitude, longitude = round(north, 7), round(east, 7)
        return fields | {"latitude": latitude, "longitude": longitude}

    def derive(self, units: set[str]) -> None:
        """Take the extremes from cells and probes where no unit says them."""
        if "extremes" in units:
            return
        known = rules()["extremes", 0]
        for seen, name in ((self.cells, "voltage"), (self.probes, "temperature")):
            if seen:
                values = seen[0] if len(seen) == 1 else np.concatenate(seen)
                highest, lowest = float(np.fmax.reduce(values)), float(np.fmin.reduce(values))
                if highest == highest:  # else all are missing
                    self.rows[known[f"highest_{name}"][0].place] = highest
                    self.rows[known[f"lowest_{name}"][0].place] = lowest

    def put(self, unit: str, number: int, fields: Mapping[str, Any]) -> None:
        """Take fields of one unit, or of one row of it."""
        rows, get = self.rows, fields.get
        for name, plain, told, known in _steps()[unit, number]:
            value: Any = get(name)
            if value is None:
                continue
            kind = type(value)
            if plain and (kind is float or kind is int):
                for place in plain:
                    rows[place] = float(value)
            elif (kind is int or value == ()) and value in told:
                rows.update(told[value])
            elif value is ABNORMAL:
                self.abnormal.append(f"{unit}{number or ''}.{name}")
            elif kind is Readings:
                self._readings(unit, name, known, value)
            else:
                for rule in known:
                    self._sample(rule, value)

    def _readings(self, unit: str, name: str, known: tuple[Rule, ...], readings: Readings) -> None:
        values = readings.values
        for rule in known:
            self._sample(rule, values)
        if unit in _MEASURED and len(values):
            (self.cells if name == "cells" else self.probes).append(values)

    def _sample(self, rule: Rule, value: Any) -> None:
        sampled = _sampled(rule, value)
        if isinstance(sampled, str) and len(sampled) > LIMIT_TEXT_BYTES:
            self.left[f"{rule.signal}: too long"] += 1
        elif sampled is not None:
            self.rows[rule.place] = sampled


def _sampled(rule: Rule, value: Any) -> Sampled | None:
    """Return a field's value as its signal's, or None where it has none."""
    if rule.form == "values":
        return rule.values.get(value) if rule.values else None
    if rule.form == "number":
        if isinstance(value, int | float):
            if rule.factor == 1 and not rule.whole:
                return float(value)
            return float(round(value * rule.factor)) if rule.whole else round(value * rule.factor, 6)
        return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    told: Sampled | None = _FORMS[rule.form](value)
    return told


def _gear(bits: int) -> Sampled | None:
    gear = gear_of(bits)
    return None if gear is None else float(gear)


def _levels(rows: tuple[dict[str, Any], ...]) -> str:
    levels = {}
    for row in rows:
        alarm, level = row["alarm"], row["level"]
        if isinstance(alarm, int):
            name = ALARMS[alarm] if alarm < len(ALARMS) else f"BIT_{alarm}"
            levels[name] = level if isinstance(level, int) else None
    return orjson.dumps(levels).decode()


_FORMS: Mapping[str, Any] = {
    "gear": _gear,
    "driving": lambda bits: float(bool(bits & DRIVING)),
    "braking": lambda bits: float(bool(bits & BRAKING)),
    "valid": lambda flags: float(not flags & NOT_VALID),
    "alarms": lambda flags: orjson.dumps(alarms_of(flags)).decode(),
    "levels": _levels,
    "oem": lambda contents: orjson.dumps(contents).decode(),
    "abnormal": lambda names: orjson.dumps(names).decode(),
}


def time_of(time_us: int) -> datetime:
    """Return a sample's time as a report says it: to the second."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC)
