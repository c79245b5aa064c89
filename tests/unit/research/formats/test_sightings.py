"""Sightings become motion on even steps, or are refused for a named reason."""

from __future__ import annotations

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.research.adapters import sightings
from carcloud.research.adapters.sightings import Seen, gather
from carcloud.research.places import to_degrees, to_local


def made(who, times_s, x, y, names=("a", "b"), **more):
    told = {"x": np.array(x, float), "y": np.array(y, float)} | {key: np.array(v, float) for key, v in more.items()}
    seen = [Seen(name) for name in names]
    return gather(seen, np.array(who), np.rint(np.array(times_s) * 1e6).astype(np.int64), told)


def test_even_times_are_kept_and_what_is_missing_is_derived():
    times = np.arange(50) * 0.1
    motion = made([0] * 50, times + 7, 10 * times, 0 * times, ("a",)).motion
    assert motion.time_us.tolist() == [100_000 * step for step in range(50)]
    assert motion.speed[0] == pytest.approx(np.full(50, 10.0))
    assert motion.yaw[0] == pytest.approx(np.zeros(50))
    assert motion.acceleration[0] == pytest.approx(np.zeros(50), abs=1e-9)
    assert motion.z[0, 0] == pytest.approx(0.75)


def test_uneven_times_are_drawn_straight_but_not_over_a_gap():
    times = np.sort(np.r_[np.arange(0, 2, 0.1) + np.resize([0, 0.03], 20), np.arange(5, 6, 0.1)])
    motion = made([0] * len(times), times, 5 * times, 0 * times, ("a",)).motion
    at = motion.time_us / 1e6
    shown = motion.present[0]
    assert motion.x[0][shown] == pytest.approx(5 * at[shown], abs=1e-6)
    assert not shown[(at > 2.2) & (at < 4.8)].any()
    assert np.isnan(motion.x[0][~shown]).all()


def test_yaw_is_kept_while_a_road_user_stands():
    y = np.r_[np.arange(20) * 0.5, np.full(30, 9.5)]
    motion = made([0] * 50, np.arange(50) * 0.1, np.zeros(50), y, ("a",)).motion
    assert motion.yaw[0] == pytest.approx(np.full(50, np.pi / 2))


def test_yaw_is_not_touched_where_it_is_told():
    yaw = np.nextafter(np.pi, 0) - np.arange(20) * 1e-3
    assert made([0] * 20, np.arange(20) * 0.1, np.arange(20) * -0.5, np.zeros(20), ("a",), yaw=yaw).motion.yaw[
        0
    ].tolist() == (yaw.tolist())


def test_road_user_without_any_position_is_left_out_and_said():
    gathered = made([0, 0, 1, 1], [0, 0.1, 0, 0.1], [0, 1, np.nan, np.nan], [0, 0, np.nan, np.nan])
    assert [user.name for user in gathered.motion.users] == ["a"]
    assert gathered.left_out == ("b has no position at all",)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ({"who": [0, 0], "times_s": [1, 1], "x": [0, 5], "y": [0, 0]}, "is at two places"),
        ({"who": [0, 0], "times_s": [0, 0.1], "x": [np.nan] * 2, "y": [0, 0]}, "no row with a position"),
        ({"who": [0, 0, 0], "times_s": [0, 0.1, 0.2], "x": [0, 1, 500], "y": [0, 0, 0]}, "jumps 499 m"),
        ({"who": [0, 0, 0, 0], "times_s": [0, 0.001, 0.002, 2e6], "x": [0] * 4, "y": [0] * 4}, "steps of"),
        ({"who": [0, 0], "times_s": [0, 4e9], "x": [0, 0], "y": [0, 0]}, "hundred years"),
        (
            {
                "who": [0] * 20,
                "times_s": np.arange(20) * 0.1,
                "x": np.arange(20.0),
                "y": np.zeros(20),
                "speed": np.full(20, 36.0),
            },
            "3.6 times as fast",
        ),
    ],
)
def test_what_cannot_be_is_refused(rows, words):
    with pytest.raises(InputError, match=words):
        made(**rows)


def test_same_row_twice_counts_once():
    assert made([0, 0, 0], [0, 0.1, 0.1], [0, 1, 1], [0, 0, 0]).motion.shape == (1, 2)


def test_more_places_than_the_limit_are_refused(monkeypatch):
    monkeypatch.setattr(sightings, "LIMIT_PLACES", 10)
    with pytest.raises(InputError, match="over 20 steps"):
        made([0] * 20, np.arange(20) * 0.1, np.arange(20), np.zeros(20))


def test_places_go_to_metres_and_back():
    x, y = np.array([0.0, 1000.0, -12_000.0]), np.array([0.0, -500.0, 9_000.0])
    for origin in ((37.72, -122.47), (-33.9, 151.2), (0.0, 0.0)):
        again = to_local(*to_degrees(x, y, origin), origin)
        assert again[0] == pytest.approx(x, abs=1e-3)
        assert again[1] == pytest.approx(y, abs=1e-3)
    east, north = to_local(np.array([0.001]), np.array([0.001]), (0.0, 0.0))
    assert (east[0], north[0]) == pytest.approx((111.3195, 110.5743), abs=1e-3)
