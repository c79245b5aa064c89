"""Places shown in another datum, and what has no whole place to show."""

import pytest

from carcloud.api.datum import fleet_in, one_in
from carcloud.twin.values import Last

HERE = ("Vehicle.CurrentLocation.Latitude", "Vehicle.CurrentLocation.Longitude")
THERE = ("Vehicle.Goal.Latitude", "Vehicle.Goal.Longitude")
SPEED = "Vehicle.Speed"


def last(value) -> Last:
    return Last(value, 5, "measured")


def test_a_whole_place_is_moved_and_all_else_stays():
    values = {HERE[0]: last(31.1774276), SPEED: last(50.0), HERE[1]: last(121.5272106)}
    shown = one_in(values, "gcj02")
    assert list(shown) == list(values)
    assert [shown[path].value for path in HERE] == pytest.approx([31.17530398364597, 121.531541859215], abs=1e-7)
    assert shown[SPEED] == values[SPEED]
    assert shown[HERE[0]].time_us == 5
    assert one_in(values, "wgs84") is values


@pytest.mark.parametrize("half", [0, 1])
def test_half_a_place_is_left_out(half):
    values = {HERE[half]: last(31.0), SPEED: last(50.0), THERE[0]: last(48.0), THERE[1]: last("?")}
    assert one_in(values, "gcj02") == {SPEED: values[SPEED]}


def test_a_fleet_is_moved_car_by_car():
    paths = [HERE[1], SPEED, HERE[0]]
    rows = [
        [last(121.5272106), None, last(31.1774276)],
        [None, last(1.0), last(31.0)],
        [last(9.183), last(2.0), last(48.775)],
        [None, None, None],
    ]
    moved = fleet_in(paths, rows, "gcj02")
    assert [moved[0][at].value for at in (0, 2)] == pytest.approx([121.531541859215, 31.17530398364597], abs=1e-7)
    assert moved[1] == [None, last(1.0), None]
    assert moved[2:] == rows[2:]
    assert fleet_in([SPEED], [[last(1.0)]], "gcj02") == [[last(1.0)]]
    assert fleet_in(paths, [], "gcj02") == []
