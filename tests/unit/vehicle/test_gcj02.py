"""GCJ-02 against points that others have published, and there and back again."""

import numpy as np
import pytest

from carcloud.vehicle.gcj02 import EAST, NORTH, SOUTH, WEST, from_gcj02, in_box, place_from_gcj02, to_gcj02

# github.com/googollee/eviltransform, go/transform_test.go: Shanghai, Shenzhen, Beijing
PUBLISHED = [
    ((31.1774276, 121.5272106), (31.17530398364597, 121.531541859215)),
    ((22.543847, 113.912316), (22.540796131694766, 113.9171764808363)),
    ((39.911954, 116.377817), (39.91334545536069, 116.38404722455657)),
]
METRES_A_DEGREE = 111_320


def apart_m(one, other):
    """Return how far places lie apart, in metres; near enough for millimetres."""
    north = (one[0] - other[0]) * METRES_A_DEGREE
    east = (one[1] - other[1]) * METRES_A_DEGREE * np.cos(np.radians(one[0]))
    return np.hypot(north, east)


@pytest.mark.parametrize(("place", "shown"), PUBLISHED)
def test_places_are_shown_where_others_show_them_and_found_again(place, shown):
    arrays = [np.array([half]) for half in place]
    there = to_gcj02(*arrays)
    assert [float(half[0]) for half in there] == pytest.approx(shown, abs=1e-7)
    assert apart_m(from_gcj02(*there), arrays).max() < 0.001


def test_there_and_back_is_the_same_place_all_over_the_box():
    chance = np.random.default_rng(2)
    place = chance.uniform(SOUTH + 0.1, NORTH - 0.1, 100_000), chance.uniform(WEST + 0.1, EAST - 0.1, 100_000)
    shown = to_gcj02(*place)
    assert apart_m(from_gcj02(*shown), place).max() < 0.001
    moved = apart_m(shown, place)
    assert 300 < np.median(moved) < 700
    assert moved.max() < 2000


@pytest.mark.parametrize("place", [(48.775, 9.183), (0.0, 100.0), (56.0, 100.0), (30.0, 138.0), (np.nan, 110.0)])
def test_a_place_outside_the_box_stays_what_it_is(place):
    arrays = [np.array([half]) for half in place]
    assert not in_box(*arrays).any()
    for moved in (to_gcj02(*arrays), from_gcj02(*arrays)):
        assert np.array_equal([half[0] for half in moved], place, equal_nan=True)


def test_one_place_is_turned_as_many_are():
    rng = np.random.default_rng(5)
    latitude, longitude = rng.uniform(-10, 60, 200), rng.uniform(60, 145, 200)
    north, east = from_gcj02(latitude, longitude)
    for at in range(200):
        found = place_from_gcj02(float(latitude[at]), float(longitude[at]))
        assert found == pytest.approx((north[at], east[at]), abs=1e-11)
