"""The table of what can be set, read both ways."""

from pathlib import Path

import pytest

import carcloud.vehicle
from carcloud.errors import InputError
from carcloud.vehicle.catalogue import parse
from carcloud.vehicle.commands import command_of
from carcloud.vehicle.settable import BATTERY, SETTABLE, limited, order_of

CORE = parse((Path(carcloud.vehicle.__file__).parent / "core.yaml").read_bytes(), "core.yaml")
LIMIT = f"{BATTERY}.Charging.ChargeLimit"


def test_every_settable_path_is_an_actuator_of_the_catalogue_and_says_what_came_of_it() -> None:
    for path, one in SETTABLE.items():
        assert CORE[path].kind == "actuator"
        assert one.source in CORE
        for value in one.commands:
            assert isinstance(value, bool) == (CORE[path].type == "boolean")


def test_every_value_becomes_an_order_and_back() -> None:
    for path, one in SETTABLE.items():
        values = [*one.commands] or [60]
        for value in values if path != "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature" else [21.5]:
            command, parameters = order_of(path, value)
            command_of(command, parameters)
            assert one.value(command, parameters) == value
            assert command in one.names
    assert SETTABLE[f"{BATTERY}.Charging.StartStopCharging"].read(True) == "START"


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("Vehicle.Speed", 3.0, "cannot be set"),
        ("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", True, "cannot be set"),
        ("Vehicle.Cabin.Door.Row1.DriverSide.IsLocked", 1, "cannot be set to 1"),
        ("Vehicle.Cabin.Door.Row1.DriverSide.IsLocked", "true", "cannot be set to"),
        ("Vehicle.Body.Horn.IsActive", False, "cannot be set to false"),
        (LIMIT, 49, "ChargeLimit cannot be set to"),
        (LIMIT, "60", "ChargeLimit cannot be set to"),
        (LIMIT, True, "ChargeLimit cannot be set to"),
    ],
)
def test_what_no_row_names_is_refused(path: str, value: object, told: str) -> None:
    with pytest.raises(InputError, match=told):
        order_of(path, value)


def test_a_command_of_another_actuator_says_nothing_of_this_one() -> None:
    assert SETTABLE[LIMIT].value("lock", {}) is None
    assert SETTABLE["Vehicle.Body.Horn.IsActive"].value("lights", {"seconds": 3}) is None


def test_a_signal_has_the_limits_of_what_it_can_be_set_to() -> None:
    assert (limited(CORE[LIMIT]).min, limited(CORE[LIMIT]).max) == (50, 100)
    for path in ("Vehicle.Speed", "Vehicle.Body.Horn.IsActive"):
        assert limited(CORE[path]) is CORE[path]
