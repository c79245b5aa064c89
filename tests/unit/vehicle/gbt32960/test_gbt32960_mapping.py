"""Reports as samples and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from carcloud.settings import CORE, OWN, read_catalogue
from carcloud.vehicle.document import load
from carcloud.vehicle.gbt32960.composing import units_of
from carcloud.vehicle.gbt32960.forms import Report
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.layout import ABNORMAL, Many, Readings
from carcloud.vehicle.gbt32960.mapping import samples
from carcloud.vehicle.gbt32960.rules import FILE, LISTS, table
from carcloud.vehicle.gbt32960.units import UNITS, Unit
from carcloud.vehicle.gbt32960.writing import write
from carcloud.vehicle.gcj02 import to_gcj02

AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
VIN = "LSVAU2A30NN000001"
BATTERY = "Vehicle.Powertrain.TractionBattery"


LONG = json.dumps([(3_500 + index) / 1_000 for index in range(450)]).replace(" ", "")


def said(units: list[Unit], edition: Edition = Edition.E2016) -> dict[str, Any]:
    found = samples(Report(VIN, AT, tuple(units)), edition)
    assert found.time_us == 1_772_337_906_000_000
    assert [place for place, _ in found.rows] == sorted({place for place, _ in found.rows})
    return {table().signals[place][0]: value for place, value in found.rows}


def vehicle(**fields: Any) -> Unit:
    names = [part.name for part in UNITS[Edition.E2016][1][1].parts]
    return Unit("vehicle", dict.fromkeys(names) | fields)


def test_every_field_of_both_editions_has_a_rule_and_every_rule_a_field():
    rules = load(FILE.read_text())
    known: dict[str, set[str]] = {"oem": {"content"}, "report": {"abnormal"}}
    for units in UNITS.values():
        for name, fields in units.values():
            parts = fields.parts[0].table.parts if isinstance(fields.parts[0], Many) else fields.parts
            known.setdefault(name, set()).update(part.name for part in parts)
    for name, (_, number) in LISTS.items():
        known[name] -= {number}
    assert {name: set(fields) for name, fields in rules.items()} == known


def test_every_signal_is_in_the_catalogue_with_a_type_its_values_have():
    catalogue = read_catalogue(Path(CORE)).overlaid(read_catalogue(Path(OWN)))
    assert not [path for path, _ in table().signals if path not in catalogue]
    for fields in load(FILE.read_text()).values():
        for given in fields.values():
            for rule in given if isinstance(given, list) else [given]:
                signal = catalogue[rule["signal"].format(1)]
                if values := rule.get("values"):
                    assert signal.is_text is isinstance(values[1], str), signal.path
                    assert not signal.allowed or set(values.values()) <= set(signal.allowed), signal.path


def test_units_are_converted():
    found = said([vehicle(speed=42.3, odometer=12345.6, current=-80.5, gear=0x2D, insulation=900)])
    assert found["Vehicle.Speed"] == 42.3
    assert found["Vehicle.TraveledDistance"] == 12_345_600.0
    assert found[f"{BATTERY}.CurrentCurrent"] == 80.5
    assert found["Vehicle.GBT32960.Gear"] == -1
    assert (found["Vehicle.GBT32960.HasDrivingForce"], found["Vehicle.GBT32960.HasBrakingForce"]) == (1, 0)


def test_missing_gives_no_sample_and_abnormal_is_named():
    found = said([vehicle(speed=None, voltage=ABNORMAL)])
    assert found == {"Vehicle.GBT32960.Abnormal": '["vehicle.voltage"]'}


def test_alarms_are_names_levels_and_codes():
    fields = {"level": 3, "flags": 0b101 | 1 << 23 | 1 << 31, "battery": (7,), "motors": (), "engine": (), "other": ()}
    levels = ({"alarm": 23, "level": 3}, {"alarm": 40, "level": None})
    found = said([Unit("alarms", fields | {"levels": levels})], Edition.E2025)
    active = json.loads(found["Vehicle.GBT32960.Alarm.Active"])
    assert active == ["TEMPERATURE_DIFFERENCE", "PACK_OVER_VOLTAGE", "THERMAL_EVENT", "BIT_31"]
    assert found["Vehicle.GBT32960.Alarm.BatteryCodes"] == "[7]"
    assert json.loads(found["Vehicle.GBT32960.Alarm.Levels"]) == {"THERMAL_EVENT": 3, "BIT_40": None}


def position(datum: int | None, flags: int = 0, latitude: float = 31.2304, longitude: float = 121.4737) -> Unit:
    return Unit("position", {"flags": flags, "datum": datum, "longitude": longitude, "latitude": latitude})


def test_gcj_02_is_turned_into_wgs_84():
    north, east = to_gcj02(np.array([31.2304]), np.array([121.4737]))
    found = said([position(2, 0, round(float(north[0]), 6), round(float(east[0]), 6))], Edition.E2025)
    assert found["Vehicle.CurrentLocation.Latitude"] == pytest.approx(31.2304, abs=2e-6)
    assert found["Vehicle.CurrentLocation.Longitude"] == pytest.approx(121.4737, abs=2e-6)


@pytest.mark.parametrize(("datum", "flags"), [(3, 0), (None, 0), (ABNORMAL, 0), (1, 1)])
def test_a_place_of_unknown_datum_or_not_valid_is_left_out(datum, flags):
    found = said([position(datum, flags)], Edition.E2025)
    assert "Vehicle.CurrentLocation.Latitude" not in found
    assert found["Vehicle.GBT32960.IsPositionValid"] == 1 - flags


def test_south_and_west_are_negative():
    found = said([position(1, 6, 33.4, 70.6)], Edition.E2025)
    assert (found["Vehicle.CurrentLocation.Latitude"], found["Vehicle.CurrentLocation.Longitude"]) == (-33.4, -70.6)


def cells(pack: int, raw: list[int], first: int = 1, total: int = 4) -> dict[str, Any]:
    readings = Readings(np.array(raw, ">u2"), 1000)
    fields = {"pack": pack, "voltage": 400.0, "current": 1.0, "total": total, "first": first, "cells": readings}
    return fields


def test_cells_are_a_list_with_null_for_what_is_missing_and_extremes_follow():
    found = said([Unit("cells", {"packs": (cells(1, [3957, 0xFFFF, 0xFFFE, 4001]),)})])
    assert found["Vehicle.GBT32960.Pack1.CellVoltages"] == "[3.957,null,null,4.001]"
    assert (found[f"{BATTERY}.CellVoltage.Min"], found[f"{BATTERY}.CellVoltage.Max"]) == (3.957, 4.001)


def test_cells_that_go_on_in_a_further_row_are_joined():
    packs = (cells(1, [3900, 3901], 1), cells(1, [3902, 0xFFFF], 3))
    found = said([Unit("cells", {"packs": packs})])
    assert found["Vehicle.GBT32960.Pack1.CellVoltages"] == "[3.9,3.901,3.902,null]"
    assert found["Vehicle.GBT32960.Pack1.FirstCell"] == 1


def test_what_has_no_signal_is_counted():
    report = Report(VIN, AT, (Unit("cells", {"packs": (cells(9, [3900]),)}),))
    assert samples(report, Edition.E2016).left == {"cells: number 9": 1}


@pytest.mark.parametrize("edition", Edition)
def test_samples_of_a_car_become_units_and_the_same_samples_again(edition):
    values: dict[str, float | str] = {
        "Vehicle.Speed": 88.8,
        "Vehicle.TraveledDistance": 1_234_500.0,
        f"{BATTERY}.CurrentVoltage": 388.1,
        f"{BATTERY}.CurrentCurrent": -55.5,
        f"{BATTERY}.StateOfCharge.Current": 64.0,
        "Vehicle.GBT32960.ChargeState": "NOT_CHARGING",
        "Vehicle.GBT32960.Gear": 127.0,
        "Vehicle.GBT32960.Motor1.Torque": -12.5,
        "Vehicle.CurrentLocation.Latitude": -31.230411,
        "Vehicle.CurrentLocation.Longitude": 121.473711,
        "Vehicle.GBT32960.Alarm.Active": '["INSULATION"]',
        "Vehicle.GBT32960.Pack1.CellVoltages": LONG,
        "Vehicle.GBT32960.Pack1.Temperatures": "[20.0,null,21.0]",
        "Vehicle.GBT32960.Oem": '{"80":"00ff"}',
    }
    units = units_of(values, edition)
    found = said(list(units), edition)
    assert {path: found.get(path) for path in values} == values


def test_what_a_field_cannot_say_is_missing_and_nothing_known_is_no_unit():
    assert units_of({"Vehicle.GBT32960.ChargeState": "FLYING", "Vehicle.Speed": 1e9}, Edition.E2016) == ()
    assert units_of({"Vehicle.GBT32960.Oem": "no list", "Vehicle.GBT32960.Alarm.Active": "{"}, Edition.E2025) == ()


@pytest.mark.parametrize(
    ("signal", "value"),
    [
        ("Vehicle.GBT32960.Oem", "[" * 5000),
        ("Vehicle.GBT32960.Oem", '{"80": 5}'),
        ("Vehicle.GBT32960.Alarm.BatteryCodes", "[1e999]"),
        ("Vehicle.GBT32960.Alarm.BatteryCodes", "[4294967296]"),
        ("Vehicle.GBT32960.Alarm.BatteryCodes", f"[{','.join('1' * 300)}]"),
        ("Vehicle.GBT32960.Alarm.Levels", '{"BRAKES": 1' + "0" * 400 + "}"),
        ("Vehicle.GBT32960.Alarm.Levels", '{"BRAKES": "1"}'),
        ("Vehicle.GBT32960.Alarm.Levels", "[1]"),
        ("Vehicle.GBT32960.Gear", float("inf")),
        ("Vehicle.GBT32960.Pack1.CellVoltages", "[" * 4000),
    ],
)
def test_what_is_written_to_break_a_report_is_left_out_and_named(signal, value):
    unsaid = set[str]()
    units = units_of({signal: value, "Vehicle.Speed": 1.0}, Edition.E2025, unsaid)
    assert ([unit.name for unit in units], unsaid) == (["vehicle"], {signal})
    write(Report(VIN, AT, units), Edition.E2025)


def test_charging_of_a_car_that_speaks_vss_only_is_said():
    (unit,) = units_of({f"{BATTERY}.Charging.IsCharging": 1.0, "Vehicle.Speed": 0.0}, Edition.E2025)
    assert (unit.fields["charge"], unit.fields["speed"], unit.fields["odometer"]) == (1, 0.0, None)
