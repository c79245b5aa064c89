"""On which lane a road user is."""

import math

import numpy as np
import pytest

from carcloud.research.grid import LIMIT_CELLS, Grid
from carcloud.research.location import locate, places
from carcloud.research.motion import Motion, RoadUser, at_steps
from carcloud.research.roads import Lane, RoadMap


def lane(
    name: str, begin: tuple[float, float], end: tuple[float, float], width: float = 4, kind: str = "driving"
) -> Lane:
    points = np.array([begin, end], float)
    ahead = (points[1] - points[0]) / np.hypot(*(points[1] - points[0]))
    across = np.array([-ahead[1], ahead[0]]) * width / 2
    return Lane(name, kind, points + across, points - across)


def motion(*where: tuple[float, float, float], kind: str = "car") -> Motion:
    users = tuple(RoadUser(at, str(at), kind, 4.0, 2.0, 1.5) for at in range(len(where)))
    columns = at_steps(users, 2)
    columns["x"][:, 0], columns["y"][:, 0], columns["yaw"][:, 0] = np.array(where, float).T
    present = np.tile([True, False], (len(where), 1))
    return Motion(users, np.array([0, 100_000], np.int64), **columns, present=present)


TWO = RoadMap((lane("right", (0, 0), (100, 0)), lane("left", (0, 4), (100, 4)), lane("oncoming", (100, 8), (0, 8))))


def test_place_along_and_beside_the_middle() -> None:
    found = locate(TWO, motion((30, 1.5, 0), (40, 3, 0), (10, 9, math.pi)))
    assert found.lane[:, 0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(found.s[:, 0], [30, 40, 90])
    np.testing.assert_allclose(found.d[:, 0], [1.5, -1, -1])


def test_who_is_absent_is_nowhere() -> None:
    found = locate(TWO, motion((30, 0, 0)))
    assert found.lane[0, 1] == -1
    assert np.isnan(found.s[0, 1])
    assert not found.inside[0, 1]


def test_near_a_lane_is_on_it_but_not_inside_and_far_off_is_nowhere() -> None:
    found = locate(TWO, motion((30, -4, 0), (30, -5.5, 0), (1e9, 0, 0)))
    assert found.lane[:, 0].tolist() == [0, -1, -1]
    assert found.inside[:, 0].tolist() == [False, False, False]


def test_on_a_shared_edge_there_is_no_gap() -> None:
    found = locate(TWO, motion(*((x, 2.0, 0.0) for x in np.linspace(0, 100, 33))))
    assert found.inside[:, 0].all()


def test_where_lanes_cross_the_heading_decides() -> None:
    crossing = RoadMap(
        (lane("east", (-50, 0), (50, 0)), lane("north", (0, -50), (0, 50)), lane("west", (50, 0), (-50, 0)))
    )
    found = locate(crossing, motion((0.5, 0.5, 0.1), (0.5, 0.5, 1.5), (0.5, 0.5, 3.1), (0.5, 0.5, -3.1)))
    assert found.lane[:, 0].tolist() == [0, 1, 2, 2]


def test_a_car_driving_on_the_wrong_side_is_on_that_lane() -> None:
    assert locate(TWO, motion((50, 8, 0))).lane[0, 0] == 2


def test_a_pedestrian_is_on_the_crossing_and_a_car_on_the_road_under_it() -> None:
    roads = RoadMap((lane("road", (-50, 0), (50, 0)), lane("stripes", (0, -4), (0, 4), 3, "crossing")))
    assert locate(roads, motion((0, 1, 0))).lane[0, 0] == 0
    assert locate(roads, motion((0, 1, 0), kind="pedestrian")).lane[0, 0] == 1
    assert locate(roads, motion((20, 1, 0), kind="pedestrian")).lane[0, 0] == 0


def test_the_middle_of_a_lane_is_inside() -> None:
    found = locate(TWO, motion((50, 0, 0), (50, 4, 0), (0, 0, 0), (100, 0, 0)))
    assert found.inside[:, 0].all()


def test_what_stands_still_has_no_heading() -> None:
    assert locate(TWO, motion((50, 8, 0), kind="static")).lane[0, 0] == 2
    assert locate(TWO, motion((50, 4, math.nan), kind="static")).lane[0, 0] == 1


def test_a_map_without_lanes_locates_nobody() -> None:
    assert locate(RoadMap(()), motion((0, 0, 0))).lane.tolist() == [[-1, -1]]


def test_repeated_points_do_no_harm() -> None:
    middle = np.array([[0, 0], [0, 0], [10, 0], [10, 0], [20, 0], [20, 0]], float)
    across = np.array([0, 2])
    roads = RoadMap((Lane("again", "driving", middle + across, middle - across),))
    found = locate(roads, motion((0, 1, 0), (10, 1, 0), (20, -1, 0), (15, 0, 0)))
    assert found.lane[:, 0].tolist() == [0] * 4
    np.testing.assert_allclose(found.s[:, 0], [0, 10, 20, 15])
    np.testing.assert_allclose(found.d[:, 0], [1, 1, -1, 0])


@pytest.mark.parametrize("far", [1e4, 1e7, 1e12])
def test_a_map_of_absurd_size_keeps_to_its_bounds(far: float) -> None:
    roads = RoadMap((lane("slanting", (0, 0), (far, far)), lane("wide", (0, 0), (far, 0), far)))
    grid = Grid.of(roads)
    assert grid.size[0] * grid.size[1] <= 2 * LIMIT_CELLS + 2
    found = places(grid, np.array([10.0]), np.array([10.0]), np.array([math.pi / 4]), np.zeros(1, np.int32))
    assert found.lane[0] == 0
