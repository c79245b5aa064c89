"""Places shown in another datum, and what has no whole place to show."""

import json
import time

import httpx
import pytest
from served import CARS, MOMENT_US, Zone

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


def put(zone: Zone, later_us: int = 0) -> None:
    for path, value in zip(HERE, (31.1774276, 121.5272106), strict=True):
        zone.twin.put(CARS[0], path, Last(value, MOMENT_US + later_us, "measured"))


def test_answers_say_their_datum_and_the_maps_is_the_zones(api: httpx.Client, zone: Zone) -> None:
    put(zone)
    shown = {}
    for asked in ("", "?datum=wgs84", "?datum=gcj02", "?datum=map"):
        said = api.get(f"/v1/vehicles/{CARS[0]}/signals{asked}").json()
        shown[asked] = said["datum"], said["signals"][HERE[0]]["value"]
    assert shown[""] == shown["?datum=wgs84"] == shown["?datum=map"] == ("wgs84", 31.1774276)
    assert shown["?datum=gcj02"] == ("gcj02", pytest.approx(31.17530398364597, abs=1e-7))
    fleet = api.get("/v1/signals", params={"paths": SPEED, "datum": "gcj02"}).json()
    assert (fleet["datum"], fleet["vehicles"]) == ("gcj02", [])
    assert api.get(f"/v1/vehicles/{CARS[0]}/signals?datum=bd09").status_code == 400


def test_live_changes_come_in_the_datum_asked_for(api: httpx.Client, zone: Zone) -> None:
    with api.stream("GET", "/v1/events", params={"datum": "gcj02"}) as stream:
        assert stream.headers["x-carcloud-datum"] == "gcj02"
        lines = stream.iter_lines()
        next(lines)
        for later_us in range(5):
            put(zone, later_us)
            time.sleep(0.05)
        said = json.loads(next(line for line in lines if line.startswith("data: ")).removeprefix("data: "))
        assert set(said["signals"]) == set(HERE)
        assert said["signals"][HERE[1]]["value"] == pytest.approx(121.531541859215, abs=1e-7)
