"""Every CommonRoad file that is here is read, and says what an independent look at it says."""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from carcloud.research.adapters.adapter import Options
from carcloud.research.adapters.commonroad import reader
from carcloud.research.location import locate
from carcloud.research.scenario import Scenario

FILES = sorted((Path(__file__).parents[4] / "shared/data/scenarios/commonroad").glob("*.xml"))

pytestmark = pytest.mark.skipif(not FILES, reason="the scenarios of others are not here (../shared/data/scenarios)")


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def read(request):
    assert reader.recognises(request.param)
    [scenario] = reader.read(request.param, Options(), lambda share: None)
    assert isinstance(scenario, Scenario)
    return ElementTree.parse(request.param).getroot(), scenario


def states(root):
    for obstacle in root:
        if "bstacle" in obstacle.tag:
            for state in (obstacle.find("initialState"), *obstacle.iterfind("trajectory/state")):
                numbers = [
                    state.findtext(path) for path in ("position/point/x", "position/point/y", "orientation/exact")
                ]
                rest = [state.findtext(path) for path in ("velocity/exact", "acceleration/exact")]
                yield obstacle.get("id"), int(state.findtext("time/exact")), *map(float, numbers), rest


def test_every_state_is_at_its_place(read):
    root, scenario = read
    motion = scenario.motion
    rows = {user.name: row for row, user in enumerate(motion.users)}
    seen = np.zeros(motion.shape, bool)
    for name, step, x, y, yaw, (speed, acceleration) in states(root):
        row = rows[name]
        seen[row, step] = True
        assert (motion.x[row, step], motion.y[row, step]) == (x, y)
        assert abs(math.remainder(motion.yaw[row, step] - yaw, 2 * math.pi)) < 1e-9
        assert motion.speed[row, step] == pytest.approx(float(speed), abs=1e-9)
        if acceleration is not None:
            assert motion.acceleration[row, step] == pytest.approx(float(acceleration), abs=1e-9)
    seen[motion.row(scenario.ego), 0] = True
    np.testing.assert_array_equal(motion.present, seen)
    assert motion.step_s == pytest.approx(float(root.get("timeStepSize")))


def test_the_ego_starts_where_the_problem_says_and_has_a_goal(read):
    root, scenario = read
    row = scenario.motion.row(scenario.ego)
    initial = root.find("planningProblem/initialState")
    for value, path in (
        (scenario.motion.x[row, 0], "position/point/x"),
        (scenario.motion.y[row, 0], "position/point/y"),
        (scenario.motion.yaw[row, 0], "orientation/exact"),
        (scenario.motion.speed[row, 0], "velocity/exact"),
    ):
        assert value == pytest.approx(float(initial.findtext(path)), abs=1e-9)
    assert scenario.motion.present[row].sum() == 1
    assert len(scenario.goal) >= 5
    assert scenario.parameters["goal_to_s"] >= scenario.parameters["goal_from_s"] > 0


def test_all_lanelets_are_there_with_their_sides_and_ends(read):
    root, scenario = read
    lanes = scenario.map.by_name
    assert set(lanes) == {each.get("id") for each in root.findall("lanelet")}
    for each in root.findall("lanelet"):
        lane = lanes[each.get("id")]
        assert set(lane.after) == {link.get("ref") for link in each.findall("successor")}
        assert set(lane.before) == {link.get("ref") for link in each.findall("predecessor")}
        sides = {}
        for side in ("adjacentLeft", "adjacentRight"):
            for link in each.findall(side):
                sides[side if link.get("drivingDir") == "same" else "opposite"] = link.get("ref")
        found = {"adjacentLeft": lane.left, "adjacentRight": lane.right, "opposite": lane.opposite}
        assert {side: name for side, name in found.items() if name} == sides


def test_sides_are_where_they_are_said_to_be(read):
    _, scenario = read
    lanes = scenario.map.by_name
    for lane in lanes.values():
        for side, back, sign in (("left", "right", 1), ("right", "left", -1)):
            if name := getattr(lane, side):
                assert getattr(lanes[name], back) == lane.name
                middle = len(lane.centre) // 2
                ahead = lane.centre[middle] - lane.centre[middle - 1]
                nearest = min(lanes[name].centre, key=lambda one: np.hypot(*(one - lane.centre[middle])))
                aside = nearest - lane.centre[middle]
                assert sign * (ahead[0] * aside[1] - ahead[1] * aside[0]) > 0


def test_every_road_user_is_on_a_lane_that_goes_its_way(read):
    _, scenario = read
    motion = scenario.motion
    found = locate(scenario.map, motion)
    assert found.inside[motion.present].mean() > 0.99
    turns = []
    for row, step in np.argwhere(motion.present & (found.lane >= 0)):
        lane = scenario.map.lanes[found.lane[row, step]]
        along = np.concatenate(([0], np.cumsum(np.hypot(*np.diff(lane.centre, axis=0).T))))
        piece = int(np.clip(np.searchsorted(along, found.s[row, step], "right") - 1, 0, len(along) - 2))
        ahead = lane.centre[piece + 1] - lane.centre[piece]
        turns.append(abs(math.remainder(math.atan2(ahead[1], ahead[0]) - motion.yaw[row, step], 2 * math.pi)))
    assert np.mean(np.array(turns) < math.radians(45)) > 0.96  # in Peach one car cuts the corner of its turn
