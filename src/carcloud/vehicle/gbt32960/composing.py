"""The way back: samples as units of a report, for a platform that wants the protocol and for our own terminal.

Rules:
* Of several signals that stand for a field, the first that has a value is taken.
* What a field cannot say (out of its bounds, a text it has no code for, a document that is none or is written to
  cost much) is missing, and its signal is named as unsaid. A unit of which nothing is known is left out.
* Places are sent in WGS 84. Cells of a battery beyond 200 go into further rows, as the edition of 2016 wants them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.layout import Codes, Many, Number, Part, Readings, Row, Table, readings
from carcloud.vehicle.gbt32960.mapping import BRAKING, DRIVING, NOT_VALID, SOUTH, WEST, WGS84
from carcloud.vehicle.gbt32960.rules import LISTS, NUMBERS, Rule, Rules, Sampled, rules
from carcloud.vehicle.gbt32960.units import ALARMS, OEM, OEM_TYPES, UNITS, Unit, flags_of

Values = Mapping[str, Sampled]
CELLS_A_ROW_2016 = 200
_GEARS = {-1: 13, 127: 14, 126: 15}
_UNSAYABLE = (InputError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What it is when a sample does not fit its field."""


def units_of(values: Values, edition: Edition, unsaid: set[str] | None = None) -> tuple[Unit, ...]:
    """Return values by path as the units of a report. `unsaid` gets the signals whose samples do not fit."""
    left, found = set[str]() if unsaid is None else unsaid, list[Unit]()
    for name, table in UNITS[edition].values():
        fields = _list(name, table, values, left) if name in LISTS else _fields(name, 0, table, values, left)
        if fields is not None:
            found.append(Unit(name, fields))
    return (*found, *_oem(values, left))


def _list(name: str, table: Table, values: Values, unsaid: set[str]) -> dict[str, Any] | None:
    rows_field, number_field = LISTS[name]
    many = table.parts[0]
    rows: list[dict[str, Any]] = []
    for number in NUMBERS if isinstance(many, Many) else ():
        row = _fields(name, number, many.table, values, unsaid) if isinstance(many, Many) else None
        if row is not None:
            row[number_field] = number
            rows.extend(_cut(row))
    return {rows_field: tuple(rows)} if rows else None


def _cut(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row of cells of 2016 as as many rows as it takes; any other as it is."""
    cells = row.get("cells")
    if "first" not in row or not isinstance(cells, Readings):
        return [row]
    first, total = row["first"] or 1, row["total"] or len(cells)
    cuts = range(0, max(1, len(cells)), CELLS_A_ROW_2016)
    return [
        {**row, "total": total, "first": first + at, "cells": _part(cells, at, at + CELLS_A_ROW_2016)} for at in cuts
    ]


def _part(cells: Readings, start: int, end: int) -> Readings:
    return Readings(cells.raw[start:end], cells.per, cells.less)


def _fields(name: str, number: int, table: Table, values: Values, unsaid: set[str]) -> dict[str, Any] | None:
    """Return the fields of a unit, or of one row of it; None where nothing is known."""
    known = rules()[name, number]
    values = _unsigned(values) if name == "position" else values
    fields = {part.name: _field(part, known, values, unsaid) for part in table.parts}
    if all(value is None for value in fields.values()):
        return None
    for part in table.parts:
        if fields[part.name] is None:
            fields[part.name] = _default(name, part, fields)
    return fields


def _default(name: str, part: Part, fields: Mapping[str, Any]) -> Any:
    if isinstance(part, Codes | Many):
        return ()
    if name == "position" and part.name == "datum":
        return WGS84
    if name == "position" and part.name == "flags":
        return NOT_VALID if fields["latitude"] is None or fields["longitude"] is None else 0
    return 0 if isinstance(part, Number) and part.bare else None


def _field(part: Part, known: Rules, values: Values, unsaid: set[str]) -> Any:
    if part.name == "flags" and _SIGNS in values:
        return int(values[_SIGNS])
    for rule in known.get(part.name, ()):
        value = values.get(rule.signal)
        if value is None or (part.name == "gear" and rule.form != "gear"):
            continue
        try:
            return _gear(known["gear"], value, values) if part.name == "gear" else _said(part, rule, value)
        except _UNSAYABLE:
            unsaid.add(rule.signal)
    return None


def _said(part: Part, rule: Rule, value: Sampled) -> Any:
    """Return a sample as its field says it. Raise an error where it cannot."""
    if isinstance(part, Row):
        return readings(part, orjson.loads(str(value)))
    if isinstance(part, Codes):
        codes = tuple(int(code) for code in orjson.loads(str(value)))
        Table(part).write({part.name: codes})
        return codes
    if isinstance(part, Many):
        levels = {name: level for name, level in orjson.loads(str(value)).items() if name in ALARMS}
        alarms = tuple({"alarm": ALARMS.index(name), "level": level} for name, level in levels.items())
        Table(part).write({part.name: alarms})
        return alarms
    if rule.form == "alarms":
        return flags_of(orjson.loads(str(value)))
    if rule.values is not None:
        codes_of = {told: code for code, told in reversed(list(rule.values.items()))}
        return codes_of[value]
    number = float(value) / rule.factor
    raw = part.raw(number)
    exact = (raw - part.less * part.per) / part.per
    return exact if part.per > 1 else int(exact)


_SIGNS = "flags"
"""Stands for the flags of a position, among the values it is said from; no path is called so."""


def _unsigned(values: Values) -> Values:
    """Return a place as degrees without signs, and the flags that say them."""
    latitude, longitude = (values.get(f"Vehicle.CurrentLocation.{half}") for half in ("Latitude", "Longitude"))
    valid = values.get("Vehicle.GBT32960.IsPositionValid", 1.0)
    if not isinstance(latitude, int | float) or not isinstance(longitude, int | float):
        return values if valid else {**values, _SIGNS: NOT_VALID}
    flags = (0 if valid else NOT_VALID) | (SOUTH if latitude < 0 else 0) | (WEST if longitude < 0 else 0)
    place = {"Vehicle.CurrentLocation.Latitude": abs(latitude), "Vehicle.CurrentLocation.Longitude": abs(longitude)}
    return {**values, **place, "Vehicle.GBT32960.Datum": "WGS84", _SIGNS: flags}


def _gear(known: tuple[Rule, ...], value: Sampled, values: Values) -> int:
    gear = int(value)
    code = _GEARS.get(gear, 13 if gear < 0 else gear)
    if not 0 <= code <= 15:
        raise InputError(f"There is no gear {gear}.", "Say one from -1 to 12, 126 or 127.")
    bits = {"driving": DRIVING, "braking": BRAKING}
    return code | sum(bits[rule.form] for rule in known if rule.form in bits and values.get(rule.signal))


def _oem(values: Values, unsaid: set[str]) -> list[Unit]:
    signal = rules()[OEM, 0]["content"][0].signal
    try:
        told = orjson.loads(str(values.get(signal, "{}")))
        units = [(int(code, 16), bytes.fromhex(content)) for code, content in told.items()]
    except _UNSAYABLE:
        unsaid.add(signal)
        return []
    return [Unit(OEM, {"type": code, "content": content}) for code, content in units if code in OEM_TYPES]
