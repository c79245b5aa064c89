"""Lanes of any map are written as OpenDRIVE, and read back as they were."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from lxml import etree

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import Options
from carcloud.research.adapters.commonroad import reader
from carcloud.research.adapters.opendrive.roads import read_roads
from carcloud.research.adapters.opendrive.text import write_roads
from carcloud.research.roads import Lane, RoadMap

SCENARIOS = Path(__file__).parents[5] / "shared/data/scenarios"


def farthest(points, line):
    """Return how far the farthest of some points is from a line of points."""
    begin, way = line[:-1], np.diff(line, axis=0)
    square = np.maximum((way**2).sum(axis=1), 1e-18)
    share = np.clip(((points[:, None] - begin) * way).sum(axis=2) / square, 0, 1)
    away = points[:, None] - begin - share[..., None] * way
    return np.hypot(away[..., 0], away[..., 1]).min(axis=1).max()


def assert_same(roads, again):
    assert set(roads.by_name) == set(again.by_name)
    for lane in roads.lanes:
        other = again.by_name[lane.name]
        for edge in ("left_edge", "right_edge"):
            mine, theirs = getattr(lane, edge), getattr(other, edge)
            assert max(farthest(mine, theirs), farthest(theirs, mine)) < 0.01, lane.name
            np.testing.assert_allclose(mine[[0, -1]], theirs[[0, -1]], atol=0.01)
        for word in ("kind", "before", "after", "left", "right", "opposite", "limit_mps", "junction"):
            assert getattr(lane, word) == getattr(other, word), (lane.name, word)


def bend(name: str, radius: float, turn: float, width: float = 3.5, **words) -> Lane:
    angles = np.linspace(0, turn, max(3, int(abs(turn) * radius / 2)))
    points = radius * np.column_stack((np.sin(angles), 1 - np.cos(angles)))
    across = np.column_stack((-np.sin(angles), np.cos(angles))) * width / 2
    return Lane(name, "driving", points + across, points - across, **words)


@pytest.mark.parametrize("radius", [6.0, 25.0, 400.0])
def test_a_bend_comes_back(radius: float) -> None:
    roads = RoadMap((bend("bend", radius, math.pi / 2, limit_mps=13.9),))
    assert_same(roads, read_roads(write_roads(roads)))


def test_a_straight_lane_is_one_line() -> None:
    points = np.array([[0, 0], [30, 40], [60, 80]], float)
    across = np.array([-0.8, 0.6]) * 2
    roads = RoadMap((Lane("straight", "shoulder", points + across, points - across),))
    text = write_roads(roads)
    assert text.count(b"<geometry") == text.count(b"<line/>") == 1
    assert_same(roads, read_roads(text))


def test_a_lane_that_opens_and_ends_slantingly_comes_back() -> None:
    left = np.array([[0, 0], [20, 0.5], [52, 0]], float)
    right = np.array([[0, 0], [20, -3], [50, -3.5]], float)
    roads = RoadMap((Lane("opening", "ramp", left, right),))
    assert_same(roads, read_roads(write_roads(roads)))


def test_opendrive_is_given_back_word_for_word() -> None:
    roads = RoadMap((), "opendrive", b"<OpenDRIVE><!-- theirs --></OpenDRIVE>")
    assert write_roads(roads) == roads.verbatim


def test_the_same_map_is_written_the_same_way() -> None:
    roads = RoadMap((bend("bend", 30, 1.0),))
    assert write_roads(roads) == write_roads(roads)


def fork() -> RoadMap:
    def straight(name: str, x: float, y: float, **words) -> Lane:
        points = np.array([[x, y], [x + 20, y]], float)
        return Lane(name, "driving", points + np.array([0, 1.5]), points - np.array([0, 1.5]), **words)

    return RoadMap(
        (
            straight("in", 0, 0, after=("a", "b")),
            straight("a", 20, 0, before=("in",), after=("out a",), junction=True),
            straight("b", 20, 0.5, before=("in",), after=("out b",), junction=True),
            straight("out a", 40, 0, before=("a",), after=("far",)),
            straight("out b", 40, 0.5, before=("b",)),
            straight("far", 60, 0, before=("out a",)),
        )
    )


def test_a_fork_is_a_junction_and_a_lane_alone_a_link() -> None:
    root = etree.fromstring(write_roads(fork()))
    assert [road.get("junction") for road in root.findall("road")] == ["-1", "7", "7", "-1", "-1", "-1"]
    connections = root.findall("junction/connection")
    assert [(each.get("incomingRoad"), each.get("connectingRoad")) for each in connections] == [("1", "2"), ("1", "3")]
    assert root.find("road[@id='4']/link/successor").get("elementId") == "6"
    assert root.find("road[@id='1']/link/successor").get("elementType") == "junction"


def test_links_hold_without_our_own_words() -> None:
    root = etree.fromstring(write_roads(fork()))
    for each in root.findall(".//userData"):
        each.getparent().remove(each)
    after = {lane.name: lane.after for lane in read_roads(etree.tostring(root)).lanes}
    expected = {"1": ("2", "3"), "2": ("4",), "3": ("5",), "4": ("6",), "5": (), "6": ()}
    assert after == {f"{one}.0.-1": tuple(f"{name}.0.-1" for name in names) for one, names in expected.items()}


def test_names_with_any_letters_come_back() -> None:
    roads = RoadMap((bend("<&\"'>  Spur 2 – 左", 30, 1.0),))
    assert_same(roads, read_roads(write_roads(roads)))


def test_a_lane_without_length_is_refused() -> None:
    still = np.zeros((2, 2))
    with pytest.raises(InputError, match="has no length"):
        write_roads(RoadMap((Lane("dot", "driving", still + np.array([0, 1]), still - np.array([0, 1])),)))


def test_a_lane_that_folds_is_refused() -> None:
    left = np.array([[0, 2], [10, 2], [2, 2.5], [12, 2]], float)
    right = np.array([[0, -2], [10, -2], [2, -2.5], [12, -2]], float)
    with pytest.raises(InputError, match="too bent"):
        write_roads(RoadMap((Lane("fold", "driving", left, right),)))


@pytest.mark.skipif(not SCENARIOS.exists(), reason="the scenarios of others are not here (../shared/data/scenarios)")
@pytest.mark.parametrize("name", ["USA_Lanker-1_3_T-1", "USA_US101-4_1_T-1"])
def test_lanelets_of_others_come_back(name: str) -> None:
    [scenario] = reader.read(SCENARIOS / f"commonroad/{name}.xml", Options(), lambda share: None)
    assert_same(scenario.map, read_roads(write_roads(scenario.map)))


@pytest.mark.skipif(not SCENARIOS.exists(), reason="the scenarios of others are not here (../shared/data/scenarios)")
def test_a_junction_of_others_comes_back() -> None:
    roads = read_roads((SCENARIOS / "omega_prime/fabriksgatan.xodr").read_bytes())
    assert_same(roads, read_roads(write_roads(replace(roads, format=""))))
