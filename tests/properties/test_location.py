"""The grid finds the lane that a search through every piece of every lane finds."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.research.grid import EDGE_M, OFFSET_M, REACH_M, YAW_RAD, preferences
from carcloud.research.location import Grid, places
from carcloud.research.motion import KINDS
from carcloud.research.roads import LANE_KINDS, Lane, RoadMap

PREFERENCES = preferences()


def from_line(a, b, place):
    along = b - a
    square = along @ along
    share = 0.0 if square == 0 else min(1.0, max(0.0, (place - a) @ along / square))
    return float(np.hypot(*(place - a - share * along)))


def within(a, b, c, place):
    turns = [np.linalg.det(np.array([second - first, place - first])) for first, second in ((a, b), (b, c), (c, a))]
    return all(turn > 0 for turn in turns) or all(turn < 0 for turn in turns)


def off(left, right, place):
    a, b, c, d = left[0], right[0], right[1], left[1]
    if within(a, b, c, place) or within(a, c, d, place):
        return 0.0
    return min(from_line(*line, place) for line in ((a, b), (b, c), (c, d), (d, a), (a, c)))


def brute(roads, place, yaw, kind):
    """Return every candidate as (off, cost, lane, s, d)."""
    found = []
    for at, lane in enumerate(roads.lanes):
        along = 0.0
        for step in range(len(lane.centre) - 1):
            way = lane.centre[step + 1] - lane.centre[step]
            length = float(np.hypot(*way))
            away = off(lane.left_edge[step : step + 2], lane.right_edge[step : step + 2], place)
            if length > 1e-9 and away <= REACH_M:
                ahead, aside = way / length, place - lane.centre[step]
                offset = float(ahead[0] * aside[1] - ahead[1] * aside[0])
                cost = (offset / OFFSET_M) ** 2 + PREFERENCES[KINDS.index(kind), LANE_KINDS.index(lane.kind)]
                if not math.isnan(yaw):
                    turned = math.remainder(math.atan2(ahead[1], ahead[0]) - yaw, 2 * math.pi)
                    cost += (turned / YAW_RAD) ** 2
                s = along + min(length, max(0.0, float(ahead @ aside)))
                found.append((0.0 if away <= EDGE_M else away, cost, at, s, offset))
            along += length
    return sorted(found)


@st.composite
def lanes(draw, name):
    count = draw(st.integers(2, 6))
    x, y = draw(st.floats(-60, 60)), draw(st.floats(-60, 60))
    heading, width = draw(st.floats(-3.1, 3.1)), draw(st.floats(0.5, 9))
    middle, headings = [(x, y)], [heading]
    for _ in range(count - 1):
        step = draw(st.floats(0.5, 40))
        x, y = x + step * math.cos(heading), y + step * math.sin(heading)
        heading += draw(st.floats(-0.4, 0.4))
        middle.append((x, y))
        headings.append(heading)
    across = np.column_stack((-np.sin(headings), np.cos(headings))) * width / 2
    points = np.array(middle)
    return Lane(name, draw(st.sampled_from(LANE_KINDS)), points + across, points - across)


@st.composite
def maps(draw):
    return RoadMap(tuple(draw(lanes(f"lane {at}")) for at in range(draw(st.integers(1, 6)))))


@settings(max_examples=60, deadline=None)
@given(
    maps(),
    st.lists(
        st.tuples(
            st.floats(-120, 120),
            st.floats(-120, 120),
            st.one_of(st.just(math.nan), st.floats(-3.14, 3.14)),
            st.sampled_from(KINDS),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_the_grid_finds_what_a_search_through_all_lanes_finds(roads, asked):
    x, y, yaw, kinds = zip(*asked, strict=True)
    codes = np.array([KINDS.index(kind) for kind in kinds], np.int32)
    located = places(Grid.of(roads), np.array(x), np.array(y), np.array(yaw), codes)
    for at, one in enumerate(asked):
        found = brute(roads, np.array(one[:2]), one[2], one[3])
        if not found:
            assert located.lane[at] == -1
            assert np.isnan(located.s[at])
            assert np.isnan(located.d[at])
            continue
        best = found[0]
        equal = [each for each in found if each[0] - best[0] < 1e-9 and abs(each[1] - best[1]) < 1e-6 * (1 + best[1])]
        assert located.inside[at] == (best[0] == 0)
        assert any(
            located.lane[at] == each[2] and abs(located.s[at] - each[3]) < 1e-6 and abs(located.d[at] - each[4]) < 1e-6
            for each in equal
        )


@settings(max_examples=40, deadline=None)
@given(maps(), st.integers(0, 5), st.integers(0, 4), st.floats(0.01, 0.99), st.floats(-0.49, 0.49))
def test_a_place_made_from_a_lane_is_inside_and_the_lane_gives_it_back(roads, which, piece, share, aside):
    lane = roads.lanes[which % len(roads.lanes)]
    step = piece % (len(lane.centre) - 1)
    left = lane.left_edge[step] + share * (lane.left_edge[step + 1] - lane.left_edge[step])
    right = lane.right_edge[step] + share * (lane.right_edge[step + 1] - lane.right_edge[step])
    place = left + (aside + 0.5) * (right - left)
    grid = Grid.of(RoadMap((lane,)))
    located = places(grid, *place[:, None], np.full(1, np.nan), np.zeros(1, np.int32))
    assert located.lane[0] == 0
    assert located.inside[0]
    assert 0 <= located.s[0] <= lane.length + 1e-9
