import json
from pathlib import Path

import pytest

from carcloud.errors import InputError
from carcloud.vehicle.units import conversion

VSS = Path(__file__).parents[4] / "shared/data/vss/vss_release_6.0.json"


@pytest.mark.parametrize(
    ("source", "target", "value", "expected"),
    [
        ("m/s", "km/h", 10.0, 36.0),
        ("mph", "km/h", 100.0, 160.9344),
        ("degF", "Celsius", 212.0, 100.0),
        ("K", "Celsius", 273.15, 0.0),
        ("°C", "Celsius", 21.5, 21.5),
        ("rad/s", "degrees/s", 1.0, 57.29577951308232),
        ("rpm", "degrees/s", 1.0, 6.0),
        ("ratio", "percent", 0.25, 25.0),
        ("bar", "kPa", 2.5, 250.0),
        ("kWh/100km", "Wh/km", 16.0, 160.0),
        ("l/100km", "l/100km", 7.0, 7.0),
        ("kW", "W", 1.5, 1500.0),
        ("min", "s", 2.0, 120.0),
    ],
)
def test_linear_conversion_gives_the_other_unit(source: str, target: str, value: float, expected: float) -> None:
    factor, offset = conversion(source, target)
    assert value * factor + offset == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_metres_per_second_become_exactly_three_point_six() -> None:
    assert conversion("m/s", "km/h") == (3.6, 0.0)


@pytest.mark.parametrize(
    ("source", "target"),
    [("degrees", "percent"), ("km/l", "l/100km"), ("rpm", "cpm"), ("V", "A"), ("kg", "m/s^2"), ("Nm", "degrees")],
)
def test_conversion_that_makes_no_sense_is_refused(source: str, target: str) -> None:
    with pytest.raises(InputError, match="cannot be turned into"):
        conversion(source, target)


@pytest.mark.parametrize(
    "name",
    ["", "m/", "warp", "2 m", "((", "__class__", "10**10**10", "km/h/0", "2**99999999*km/h", "m" * 65, "(" * 9_000],
)
def test_name_that_is_no_unit_is_refused_with_examples(name: str) -> None:
    with pytest.raises(InputError, match=r"is no unit.*km/h"):
        conversion(name, "m")


@pytest.mark.skipif(not VSS.is_file(), reason="shared/data/vss is not there")
def test_every_unit_of_vss_6_is_known() -> None:
    def units(children: dict) -> set[str]:
        return {
            unit
            for node in children.values()
            for unit in (units(node["children"]) if node["type"] == "branch" else {node.get("unit")})
        }

    for unit in units(json.loads(VSS.read_text())) - {None, "iso8601"}:
        assert conversion(unit, unit) == (1.0, 0.0)
        with pytest.raises(InputError, match="cannot be turned into"):
            conversion(unit, "kat")
