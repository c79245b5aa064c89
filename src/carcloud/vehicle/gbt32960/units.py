"""The units of a report: every table of both editions, as they lie on the wire.

Rules:
* A unit is a type byte and its fields; what it is called here is the same in both editions.
* Where editions differ (offsets of currents and speeds, say), there are two tables, side by side.
* Types 0x80 to 0xFE are a maker's own, with a length: their bytes are kept as they came.
* A type that is none of these has no length one could pass it by with.

Source: GB/T 32960.3-2016, 7.2 and annex B.3.5; GB/T 32960.3-2025, 7.2.4; as public implementations cite them. Where
those differ, docs/gbt32960.md says which was followed, and why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.layout import Codes, Many, Number, Row, StructureError, Table

OEM = "oem"
OEM_TYPES = range(0x80, 0xFF)
SIGNATURE_TYPE = 0xFF
E2016, E2025 = Edition.E2016, Edition.E2025


@dataclass(slots=True)
class Unit:
    """One unit of a report: its name, and its fields as the tables below call them. It is not changed.

    Numbers are int, float, None (missing) or ABNORMAL; rows are `Readings`, lists of codes and of dicts are tuples.
    A maker's own unit is called "oem" and has the fields `type` (int) and `content` (bytes).
    """

    name: str
    fields: Mapping[str, Any]


def _vehicle(current_less: int, *rest: Number) -> Table:
    return Table(
        Number("state", 1),  # 1 on, 2 off, 3 other
        Number("charge", 1),  # 1 charging parked, 2 charging while driving, 3 not charging, 4 done
        Number("mode", 1),  # 1 electric, 2 hybrid, 3 fuel
        Number("speed", 2, 10, unit="km/h"),
        Number("odometer", 4, 10, unit="km"),
        Number("voltage", 2, 10, unit="V"),
        Number("current", 2, 10, current_less, "A"),  # discharge is positive
        Number("charge_level", 1, unit="%"),
        Number("dcdc", 1),  # 1 works, 2 is off
        Number("gear", 1),  # bits: see gear_of
        Number("insulation", 2, unit="kOhm"),
        *rest,
    )


_PEDALS = (Number("accelerator", 1, unit="%"), Number("brake", 1, unit="%"))

_MOTORS = {
    E2016: Table(
        Number("number", 1),
        Number("state", 1),  # 1 consumes, 2 generates, 3 off, 4 ready
        Number("controller_temperature", 1, less=40, unit="celsius"),
        Number("speed", 2, less=20_000, unit="rpm"),
        Number("torque", 2, 10, 2_000, "Nm"),
        Number("temperature", 1, less=40, unit="celsius"),
        Number("voltage", 2, 10, unit="V"),
        Number("current", 2, 10, 1_000, "A"),
    ),
    E2025: Table(
        Number("number", 1),
        Number("state", 1),
        Number("controller_temperature", 1, less=40, unit="celsius"),
        Number("speed", 2, less=32_000, unit="rpm"),
        Number("torque", 4, 10, 20_000, "Nm"),
        Number("temperature", 1, less=40, unit="celsius"),
    ),
}

_HYDROGEN = (
    Number("hydrogen_temperature", 2, 10, 40, "celsius"),
    Number("hydrogen_temperature_probe", 1),
    Number("hydrogen_concentration", 2),  # 2016: mg/kg; 2025: 0.0001 %
    Number("hydrogen_concentration_sensor", 1),
    Number("hydrogen_pressure", 2, 10, unit="MPa"),
    Number("hydrogen_pressure_sensor", 1),
    Number("dcdc", 1),  # 1 works, 2 is off
)

_FUEL_CELL = {
    E2016: Table(
        Number("voltage", 2, 10, unit="V"),
        Number("current", 2, 10, unit="A"),
        Number("consumption", 2, 100, unit="kg/100km"),
        Row("temperatures", 2, 1, less=40, unit="celsius"),
        *_HYDROGEN,
    ),
    E2025: Table(
        *_HYDROGEN,
        Number("hydrogen_level", 1, unit="%"),
        Number("dcdc_temperature", 1, less=40, unit="celsius"),
    ),
}

_ENGINE = {
    E2016: Table(
        Number("state", 1),  # 1 on, 2 off
        Number("speed", 2, unit="rpm"),
        Number("consumption", 2, 100, unit="L/100km"),
    ),
    E2025: Table(Number("speed", 2, unit="rpm")),
}

_PLACE = (Number("longitude", 4, 1_000_000, unit="degrees"), Number("latitude", 4, 1_000_000, unit="degrees"))
_POSITION = {
    E2016: Table(Number("flags", 1, bare=True), *_PLACE),  # bit 0 not valid, 1 south, 2 west
    E2025: Table(Number("flags", 1, bare=True), Number("datum", 1), *_PLACE),  # 1 WGS 84, 2 GCJ-02, 3 other
}


def _extremes(place_bytes: int) -> Table:
    """Return where the extremes are, and what they are: a pack, and a cell or probe of it in this many bytes."""
    return Table(
        Number("highest_voltage_pack", 1),
        Number("highest_voltage_cell", place_bytes),
        Number("highest_voltage", 2, 1_000, unit="V"),
        Number("lowest_voltage_pack", 1),
        Number("lowest_voltage_cell", place_bytes),
        Number("lowest_voltage", 2, 1_000, unit="V"),
        Number("highest_temperature_pack", 1),
        Number("highest_temperature_probe", place_bytes),
        Number("highest_temperature", 1, less=40, unit="celsius"),
        Number("lowest_temperature_pack", 1),
        Number("lowest_temperature_probe", place_bytes),
        Number("lowest_temperature", 1, less=40, unit="celsius"),
    )


_EXTREMES = _extremes(1)

_ALARMS = (
    Number("level", 1),
    Number("flags", 4, bare=True),
    Codes("battery"),
    Codes("motors"),
    Codes("engine"),
    Codes("other"),
)
_ALARM_LEVELS = Many("levels", Table(Number("alarm", 1), Number("level", 1)))

_PACK = (Number("pack", 1), Number("voltage", 2, 10, unit="V"))
_CELLS = {
    E2016: Table(
        *_PACK,
        Number("current", 2, 10, 1_000, "A"),
        Number("total", 2),
        Number("first", 2),
        Row("cells", 1, 2, 1_000, unit="V"),
    ),
    E2025: Table(*_PACK, Number("current", 2, 10, 3_000, "A"), Row("cells", 2, 2, 1_000, unit="V")),
}
_PROBES = Row("probes", 2, 1, less=40, unit="celsius")
_TEMPERATURES = Table(Many("packs", Table(Number("pack", 1), _PROBES)))

_STACKS = Table(
    Number("number", 1),
    Number("voltage", 2, 10, unit="V"),
    Number("current", 2, 10, unit="A"),
    Number("hydrogen_pressure", 2, 10, 100, "kPa"),
    Number("air_pressure", 2, 10, 100, "kPa"),
    Number("air_temperature", 1, less=40, unit="celsius"),
    _PROBES,
)
_CAPACITOR = Table(*_PACK, Number("current", 2, 10, 3_000, "A"), Row("cells", 2, 2, 1_000, unit="V"), _PROBES)
_CAPACITOR_EXTREMES = _extremes(2)

UNITS: dict[Edition, dict[int, tuple[str, Table]]] = {
    E2016: {
        0x01: ("vehicle", _vehicle(1_000, *_PEDALS)),
        0x02: ("motors", Table(Many("motors", _MOTORS[E2016]))),
        0x03: ("fuel_cell", _FUEL_CELL[E2016]),
        0x04: ("engine", _ENGINE[E2016]),
        0x05: ("position", _POSITION[E2016]),
        0x06: ("extremes", _EXTREMES),
        0x07: ("alarms", Table(*_ALARMS)),
        0x08: ("cells", Table(Many("packs", _CELLS[E2016]))),
        0x09: ("temperatures", _TEMPERATURES),
    },
    E2025: {
        0x01: ("vehicle", _vehicle(3_000)),
        0x02: ("motors", Table(Many("motors", _MOTORS[E2025]))),
        0x03: ("fuel_cell", _FUEL_CELL[E2025]),
        0x04: ("engine", _ENGINE[E2025]),
        0x05: ("position", _POSITION[E2025]),
        0x06: ("alarms", Table(*_ALARMS, _ALARM_LEVELS)),
        0x07: ("cells", Table(Many("packs", _CELLS[E2025]))),
        0x08: ("temperatures", _TEMPERATURES),
        0x30: ("stacks", Table(Many("stacks", _STACKS))),
        0x31: ("capacitor", _CAPACITOR),
        0x32: ("capacitor_extremes", _CAPACITOR_EXTREMES),
    },
}
"""The units by edition and type byte: name and table."""

_READERS = {
    edition: {code: (name, table.read) for code, (name, table) in known.items()} for edition, known in UNITS.items()
}
_TYPES = {edition: {name: (code, table) for code, (name, table) in known.items()} for edition, known in UNITS.items()}

ALARMS = (
    "TEMPERATURE_DIFFERENCE",
    "PACK_OVER_TEMPERATURE",
    "PACK_OVER_VOLTAGE",
    "PACK_UNDER_VOLTAGE",
    "CHARGE_LOW",
    "CELL_OVER_VOLTAGE",
    "CELL_UNDER_VOLTAGE",
    "CHARGE_HIGH",
    "CHARGE_JUMP",
    "PACK_MISMATCH",
    "CELL_INCONSISTENCY",
    "INSULATION",
    "DCDC_TEMPERATURE",
    "BRAKES",
    "DCDC_STATE",
    "MOTOR_CONTROLLER_TEMPERATURE",
    "HIGH_VOLTAGE_INTERLOCK",
    "MOTOR_TEMPERATURE",
    "PACK_OVERCHARGE",
    "MOTOR_OVER_SPEED",
    "MOTOR_OVER_CURRENT",
    "CAPACITOR_OVER_TEMPERATURE",
    "CAPACITOR_OVER_PRESSURE",
    "THERMAL_EVENT",
    "HYDROGEN_LEAK",
    "HYDROGEN_PRESSURE",
    "HYDROGEN_TEMPERATURE",
    "STACK_OVER_TEMPERATURE",
)
"""The alarms by their bit; those from MOTOR_OVER_SPEED on came with the edition of 2025."""


def alarms_of(flags: int) -> list[str]:
    """Return the names of the alarms that are set; a bit without a meaning is named by its number."""
    return [ALARMS[bit] if bit < len(ALARMS) else f"BIT_{bit}" for bit in range(32) if flags >> bit & 1]


def flags_of(alarms: list[str]) -> int:
    """Return the bits of alarms by name; the reverse of `alarms_of`. Raise InputError for a name that is none."""
    known = {name: bit for bit, name in enumerate(ALARMS)} | {f"BIT_{bit}": bit for bit in range(len(ALARMS), 32)}
    try:
        return sum(1 << known[name] for name in set(alarms))
    except KeyError as error:
        raise InputError(f"There is no alarm {error}.", f"Say one of {', '.join(ALARMS)}.") from None


def gear_of(bits: int) -> int | None:
    """Return the gear as VSS counts it: 0 neutral, 1 to 12, -1 reverse, 126 park, 127 drive; None where not valid."""
    if bits & 0x80:
        return None
    return {13: -1, 14: 127, 15: 126}.get(bits & 0x0F, bits & 0x0F)


def read_units(edition: Edition, data: bytes, at: int) -> tuple[list[Unit], int, str | None]:
    """Return the units from `at` on, and where they end: at the first type that is none of these, or at the first unit
    that does not fit into what is left, with the reason.
    """
    units: list[Unit] = []
    known, end = _READERS[edition], len(data)
    try:
        while at < end:
            code = data[at]
            if code in known:
                name, read = known[code]
                fields, at = read(data, at + 1)
                units.append(Unit(name, fields))
            elif code in OEM_TYPES:
                content, at = _read_oem(data, at)
                units.append(Unit(OEM, {"type": code, "content": content}))
            else:
                break
    except StructureError as error:
        return units, at, str(error)
    return units, at, None


def _read_oem(data: bytes, at: int) -> tuple[bytes, int]:
    start = at + 3
    end = start + int.from_bytes(data[at + 1 : start], "big")
    if start > len(data) or end > len(data):
        raise StructureError(f"oem {data[at]:#04x}: {max(0, len(data) - start)} bytes are left of {end - start}")
    return data[start:end], end


def write_unit(edition: Edition, unit: Unit) -> bytes:
    """Return a unit as bytes. Raise InputError where the edition has no such unit, or it cannot say a value."""
    if unit.name == OEM:
        code, content = unit.fields["type"], unit.fields["content"]
        if code not in OEM_TYPES or len(content) > 0xFFFF:
            raise InputError(
                "This is no maker's own unit.", "Its type is 0x80 to 0xFE, and it has at most 65,535 bytes."
            )
        return bytes([code]) + len(content).to_bytes(2, "big") + bytes(content)
    if unit.name not in _TYPES[edition]:
        raise InputError(f"The edition of {edition.year} has no unit {unit.name!r}.", "Leave it out.")
    code, table = _TYPES[edition][unit.name]
    return bytes([code]) + table.write(unit.fields)
