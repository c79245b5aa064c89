"""Expressions of FleetWise become conditions that mean the same, or are refused with the reason."""

import pytest

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Catalogue, Signal
from carcloud.vehicle.conditions.text import parse
from carcloud.vehicle.fleetwise.condition import condition

CATALOGUE = Catalogue(
    [
        Signal("Vehicle.Speed", "float", "km/h"),
        Signal("Vehicle.Cruise.Speed", "float", "km/h"),
        Signal("Vehicle.Fast", "float", "m/s"),
        Signal("Vehicle.Count", "uint8"),
        Signal("Vehicle.Outside", "float", "Celsius"),
        Signal("Vehicle.IsOpen", "boolean"),
        Signal("Vehicle.Gear", "string"),
    ]
)
UNITS = {path: signal.unit for path, signal in CATALOGUE.items()}


@pytest.mark.parametrize(
    ("expression", "written"),
    [
        ("$variable.`Vehicle.Speed` > 100", "Vehicle.Speed > 100 km/h"),
        ("$variable.Vehicle.Outside >= 35.5", "Vehicle.Outside >= 35.5 Celsius"),
        ("5 < $variable.`Vehicle.Count`", "5 < Vehicle.Count"),
        ("$variable.`Vehicle.IsOpen` == true", "Vehicle.IsOpen = true"),
        ("0 == $variable.`Vehicle.IsOpen`", "Vehicle.IsOpen = false"),
        ("$variable.`Vehicle.Gear` != 'D'", 'Vehicle.Gear != "D"'),
        (
            "$variable.`Vehicle.Speed` > .5 && !($variable.`Vehicle.Count` == 3 || $variable.`Vehicle.IsOpen`)",
            "(Vehicle.Speed > 0.5 km/h) and (not ((Vehicle.Count = 3) or Vehicle.IsOpen))",
        ),
        (
            "$variable.`Vehicle.Speed` - $variable.`Vehicle.Cruise.Speed` > -2 * 5",
            "(Vehicle.Speed - Vehicle.Cruise.Speed) > ((-2 km/h) * 5)",
        ),
        ("$variable.`Vehicle.Speed` * 2 < 10e2", "(Vehicle.Speed * 2) < 10e2 km/h"),
    ],
)
def test_expression_is_written_as_a_condition(expression, written):
    found = condition(expression, UNITS, CATALOGUE)
    assert found == written
    assert parse(found, CATALOGUE).paths


def test_numbers_keep_the_unit_fleetwise_gave_them():
    units = UNITS | {"Vehicle.Fast": "km/h"}
    found = condition(
        "$variable.`Vehicle.Fast` > 36 && $variable.`Vehicle.Fast` > $variable.`Vehicle.Speed`", units, CATALOGUE
    )
    assert found == "(Vehicle.Fast > 36 km/h) and (Vehicle.Fast > Vehicle.Speed)"
    parse(found, CATALOGUE)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("isNull($variable.`Vehicle.Speed`)", "function isNull"),
        ("custom_function('x', 1) > 2", "function custom_function"),
        ("$variable.`Vehicle.Count` & 4 > 0", "bitwise &"),
        ("~$variable.`Vehicle.Count` == 1", "bitwise ~"),
        ("$variable.`Vehicle.Cam.Obstacle[0].x` > 1", "part of a struct"),
        ("$variable.`Vehicle.Absent` > 1", "no signal of the catalogue"),
        ("$variable.`Vehicle.Speed` > $variable.`Vehicle.Fast`", "different units"),
        ("$variable.`Vehicle.Speed` * $variable.`Vehicle.Fast` > 3", "different units"),
        ("$variable.`Vehicle.Speed` >", "ends too early"),
        ("($variable.`Vehicle.Speed` > 1", "nothing closes"),
        ("$variable.`Vehicle.Speed` > 1 1", "goes on behind its end"),
        ("$variable.`Vehicle.Speed` > #", "cannot be read"),
        ("", "ends too early"),
        ("(" * 100 + "1" + ")" * 100, "nested too deep"),
        ("!" * 3000, "characters"),
        ("1" + "+1" * 989, "more than 100 values"),
        ("$variable.`Vehicle.Gear` == 'a\"b'", "quotes"),
    ],
)
def test_expression_without_an_equal_is_refused_with_the_reason(expression, reason):
    with pytest.raises(InputError, match=reason):
        condition(expression, UNITS, CATALOGUE)
