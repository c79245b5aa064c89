"""Metrics of motions whose numbers can be worked out by hand."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from carcloud.research import metrics
from carcloud.research.motion import Motion, RoadUser
from carcloud.research.roads import Lane, RoadMap

STEP_S = 0.1


def moving(*ways: tuple[Sequence[float], Sequence[float], float], kinds: Sequence[str] = (), steps: int = 51) -> Motion:
    """Return cars of 4 by 2 metres; each way is a start, a velocity and an acceleration along the yaw."""
    t = np.arange(steps) * STEP_S
    users = tuple(RoadUser(n, f"{n}", (list(kinds) + ["car"] * 9)[n], 4.0, 2.0, 1.5) for n in range(len(ways)))
    x, y, vx, vy, ax, ay, yaw = (np.zeros((len(ways), steps)) for _ in range(7))
    for n, ((x0, y0), (vx0, vy0), a) in enumerate(ways):
        speed = math.hypot(vx0, vy0)
        yaw[n] = math.atan2(vy0, vx0)
        c, s = math.cos(yaw[n, 0]), math.sin(yaw[n, 0])
        way = speed * t + a * t * t / 2
        x[n], y[n] = x0 + c * way, y0 + s * way
        vx[n], vy[n], ax[n], ay[n] = c * (speed + a * t), s * (speed + a * t), c * a, s * a
    there = np.ones_like(x, dtype=bool)
    return Motion(users, (t * 1e6).round().astype(np.int64), x, y, 0 * x, yaw, vx, vy, ax, ay, there)


def road(*widths: float, length: float = 1000.0) -> RoadMap:
    """Return lanes side by side along x, from right to left, the first one's middle at y = 0."""
    edges = np.concatenate(([0.0], np.cumsum(widths))) - widths[0] / 2
    x = np.linspace(-100.0, length, 56)
    lanes = [
        Lane(f"{n}", "driving", np.column_stack((x, 0 * x + edges[n + 1])), np.column_stack((x, 0 * x + edges[n])))
        for n in range(len(widths))
    ]
    return RoadMap(tuple(lanes))


@pytest.mark.parametrize("roads", [None, road(3.5, 3.5)])
def test_follower_has_the_times_that_distance_and_speeds_give(roads: RoadMap | None):
    found = metrics.of(moving(((0, 0), (20, 0), 0), ((54, 0), (10, 0), 0)), 0, roads)
    gap = 50 - 10 * STEP_S * np.arange(51)
    assert np.allclose(found.series["gap"], np.maximum(gap, 0))
    assert np.allclose(found.series["ttc"], gap / 10)
    assert np.allclose(found.series["thw"], gap / 20)
    assert np.allclose(found.series["drac"][:50], 100 / (2 * gap[:50]))
    assert np.allclose(found.series["required_acceleration"], -found.series["drac"])
    # its front passes where the rear was after more than gap / 20 seconds, at the next step
    assert np.allclose(found.series["thw_driven"][[0, 10]], [2.6, 2.1])
    assert found.summary["tet_s"] == pytest.approx(2.1)
    assert found.summary["tit_s2"] == pytest.approx(sum(2 - n * STEP_S for n in range(21)) * STEP_S)
    assert found.summary["progress_m"] == pytest.approx(100)


def test_braking_lead_is_reached_when_the_parabolas_meet():
    found = metrics.of(moving(((0, 0), (20, 0), 0), ((44, 0), (20, 0), -5)), 0)
    assert found.series["ttc"][0] == math.inf
    assert found.series["ttc_accelerated"][0] == pytest.approx(4.0)
    assert found.summary["collided_s"] == pytest.approx(4.0)
    assert found.series["ttc_star"][0] == pytest.approx(4.0)


def test_car_in_the_lane_beside_is_in_nobodys_way():
    found = metrics.of(moving(((0, 0), (20, 0), 0), ((30, 3.5), (5, 0), 0)), 0, road(3.5, 3.5))
    assert found.summary["least_ttc_s"] == math.inf
    assert found.summary["least_distance_m"] == pytest.approx(1.5)
    assert found.summary["collided"] is False


def test_car_that_reaches_into_the_lane_is_in_the_way():
    found = metrics.of(moving(((0, 0), (20, 0), 0), ((54, 2.5), (10, 0), 0)), 0, road(3.5, 3.5))
    assert found.series["ttc"][0] == pytest.approx(5.0)


def test_worst_time_to_collision_is_where_the_circles_can_touch():
    found = metrics.of(moving(((0, 0), (0, 0), 0), ((40, 0), (0, 0), 0)), 0)
    both = 2 * math.hypot(4 / 6, 1)
    assert found.series["wttc"][0] == pytest.approx(math.sqrt(2 * (40 - both) / 23), abs=1e-6)


def test_crossing_cars_have_the_time_between_one_leaving_and_the_other_coming():
    # the ego covers x from -2 + 10 t to 2 + 10 t; the other crosses x from 19 to 21, and y from -1 to 1 between
    # (y0 - 3) / 10 and (y0 + 3) / 10 seconds, the ego between 1.7 and 2.3
    found = metrics.of(moving(((0, 0), (10, 0), 0), ((20, -33), (0, 10), 0)), 0)
    assert found.pet[1] == pytest.approx(0.7, abs=STEP_S)
    assert found.summary["collided"] is False


def test_followers_do_not_cross():
    assert metrics.of(moving(((0, 0), (10, 0), 0), ((20, 0), (10, 0), 0)), 0).pet[1] == math.inf


@pytest.mark.parametrize(
    ("ways", "how", "fault"),
    [
        ((((0, 0), (20, 0), 0), ((30, 0), (10, 0), 0)), "front", True),
        ((((0, 0), (10, 0), 0), ((-30, 0), (20, 0), 0)), "behind", False),
        ((((0, 0), (20, 0), 0), ((30, 0), (0, 0), 0)), "stopped", True),
        ((((0, 0), (0, 0), 0), ((-30, 0), (20, 0), 0)), "standing", False),
        ((((0, 0), (10, 0), 0), ((0, 12), (10, -4), 0)), "side", False),
    ],
)
def test_fault_is_told_by_who_hits_whom(ways: tuple[object, ...], how: str, fault: bool):
    found = metrics.of(moving(*ways), 0, road(6.0, 3.5))  # type: ignore[arg-type]
    assert (found.summary["collided_how"], found.summary["at_fault"]) == (how, fault)


def test_side_collision_is_the_fault_of_whom_stands_in_two_lanes():
    found = metrics.of(moving(((0, 1.75), (10, 0), 0), ((0, 12), (10, -4), 0)), 0, road(3.5, 3.5))
    assert (found.summary["collided_how"], found.summary["at_fault"]) == ("side", True)


def test_overlap_from_the_beginning_is_no_collision():
    assert not metrics.of(moving(((0, 0), (10, 0), 0), ((1, 0), (10, 0), 0)), 0).collisions


def test_leaving_the_road_is_seen_when_a_corner_is_far_enough_out():
    found = metrics.of(moving(((0, 0), (10, 1), 0)), 0, road(3.5))
    wide = 1 * math.cos(math.atan(0.1)) + 2 * math.sin(math.atan(0.1))  # the front left corner, above its centre
    assert found.summary["off_road"] is True
    assert found.summary["off_road_s"] == pytest.approx((1.75 + 0.3 - wide) / 1, abs=2 * STEP_S)
    assert metrics.of(moving(((0, 0), (10, 0), 0)), 0, road(3.5)).summary["off_road"] is False


def test_hard_braking_is_uncomfortable():
    calm, hard = (metrics.of(moving(((0, 0), (30, 0), a)), 0) for a in (-2, -6))
    assert calm.summary["comfortable_share"] == 1
    assert hard.summary["comfortable_share"] == 0
    assert hard.summary["most_deceleration_mps2"] == pytest.approx(6)


def test_goal_is_reached_when_a_step_lies_in_it():
    goal = np.array([[40.0, -5.0], [60.0, -5.0], [60.0, 5.0], [40.0, 5.0]])
    assert metrics.of(moving(((0, 0), (10, 0), 0)), 0, goal=goal).summary["reached_goal"] is True
    assert metrics.of(moving(((0, 0), (5, 0), 0)), 0, goal=goal).summary["reached_goal"] is False


def test_gaps_in_a_track_leave_nothing_but_gaps():
    motion = moving(((0, 0), (20, 0), 0), ((54, 0), (10, 0), 0))
    for name in ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay"):
        getattr(motion, name)[1, 10:20] = np.nan
    motion.present[1, 10:20] = False
    found = metrics.of(motion, 0)
    assert np.isnan(found.pairs.ttc[1, 10:20]).all()
    assert np.isinf(found.series["ttc"][10:20]).all()
    assert found.series["ttc"][20] == pytest.approx(3.0)


def test_turned_and_shifted_motion_has_the_same_metrics():
    motion = moving(((0, 0), (20, 0), -1), ((54, 0.5), (12, 0), 0.5), ((20, 40), (0, -12), 0))
    c, s = math.cos(2.0), math.sin(2.0)
    turned = Motion(
        motion.users,
        motion.time_us,
        c * motion.x - s * motion.y + 500,
        s * motion.x + c * motion.y - 70,
        motion.z,
        motion.yaw + 2.0,
        c * motion.vx - s * motion.vy,
        s * motion.vx + c * motion.vy,
        c * motion.ax - s * motion.ay,
        s * motion.ax + c * motion.ay,
        motion.present,
    )
    one, other = metrics.of(motion, 0).summary, metrics.of(turned, 0).summary
    for name, value in one.items():
        assert other[name] == (pytest.approx(value, abs=1e-6) if isinstance(value, float) else value), name
