"""Every OpenDRIVE file that is here is read: all lanes, their lengths, their neighbours, and how they continue."""

from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from carcloud.research.adapters.opendrive.curves import reference_line
from carcloud.research.adapters.opendrive.roads import read_roads

SCENARIOS = Path(__file__).parents[4] / "shared/data/scenarios"
MAPS = sorted(SCENARIOS.rglob("*.xodr"))

pytestmark = pytest.mark.skipif(not MAPS, reason="the scenarios of others are not here (../shared/data/scenarios)")


@pytest.fixture(scope="module", params=MAPS, ids=lambda path: "/".join(path.parts[-2:]))
def read(request):
    text = request.param.read_bytes()
    return etree.fromstring(text), read_roads(text)


def test_every_lane_with_a_width_is_there(read):
    root, roads = read
    expected = {
        f"{road.get('id')}.{at}.{lane.get('id')}"
        for road in root.findall("road")
        for at, section in enumerate(road.findall("lanes/laneSection"))
        for lane in section.findall("*/lane")
        if any(float(width.get(name)) for width in lane.findall("width") for name in "abcd")
    }
    assert set(roads.by_name) == expected


def test_a_reference_line_is_as_long_as_the_road_says_and_without_gaps(read):
    root, _ = read
    for road in root.findall("road"):
        line = reference_line(road.find("planView"))
        assert line.end == pytest.approx(float(road.get("length")), abs=1e-6)
        s = np.linspace(0, line.end, 20_001)
        x, y, _ = line.at(s)
        assert np.hypot(np.diff(x), np.diff(y)).sum() == pytest.approx(line.end, rel=2e-3)
        starts = np.array([part.s for part in line.parts[1:]])
        before, after = line.at(starts - 1e-9), line.at(starts)
        np.testing.assert_allclose(before[0], after[0], atol=0.02)
        np.testing.assert_allclose(before[1], after[1], atol=0.02)


def test_lanes_are_as_wide_as_their_cubics_say(read):
    root, roads = read
    for road in root.findall("road"):
        for at, section in enumerate(road.findall("lanes/laneSection")):
            for lane in section.findall("*/lane"):
                widths = lane.findall("width")
                drawn = roads.by_name.get(f"{road.get('id')}.{at}.{lane.get('id')}")
                if drawn is None or len(widths) != 1 or any(float(widths[0].get(name)) for name in "bcd"):
                    continue
                across = drawn.left_edge - drawn.right_edge
                np.testing.assert_allclose(np.hypot(*across.T), float(widths[0].get("a")), atol=1e-6)


def test_a_lane_begins_where_the_last_one_ends(read):
    _, roads = read
    for lane in roads.lanes:
        for name in lane.after:
            following = roads.by_name[name]
            gaps = [np.hypot(*(lane.left_edge[-1] - following.left_edge[0]))]
            gaps.append(np.hypot(*(lane.right_edge[-1] - following.right_edge[0])))
            width = np.hypot(*(lane.left_edge[-1] - lane.right_edge[-1]))
            assert (max(gaps) if width > 0.01 else min(gaps)) < 0.01, (lane.name, name)


def test_neighbours_know_each_other_and_share_an_edge(read):
    _, roads = read
    for lane in roads.lanes:
        for side, back, mine, theirs in (
            ("left", "right", "left_edge", "right_edge"),
            ("right", "left", "right_edge", "left_edge"),
        ):
            if name := getattr(lane, side):
                beside = roads.by_name[name]
                assert getattr(beside, back) == lane.name
                np.testing.assert_allclose(getattr(lane, mine), getattr(beside, theirs), atol=1e-9)
        if lane.opposite:
            beside = roads.by_name[lane.opposite]
            assert beside.opposite == lane.name
            np.testing.assert_allclose(lane.left_edge, beside.left_edge[::-1], atol=1e-9)


def test_before_and_after_say_the_same(read):
    _, roads = read
    for lane in roads.lanes:
        assert all(lane.name in roads.by_name[name].before for name in lane.after)
        assert all(lane.name in roads.by_name[name].after for name in lane.before)


def test_a_junction_is_driven_through():
    roads = read_roads((SCENARIOS / "omega_prime/fabriksgatan.xodr").read_bytes())
    through = [lane for lane in roads.lanes if lane.junction and lane.kind == "driving"]
    assert len(through) == 12
    assert all(len(lane.before) == len(lane.after) == 1 for lane in through)
    forks = [lane for lane in roads.lanes if len(lane.after) == 3]
    assert {lane.name for lane in forks} == {"0.0.1", "1.0.1", "2.0.-1", "3.0.-1"}
