"""Features of scenes made by hand are what a ruler and a watch say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from carcloud.research.mining import features
from carcloud.research.mining.catalogue import CATALOGUE, COLUMNS, ROWS
from carcloud.research.mining.near import box_distance, box_touch
from carcloud.research.scenario import Scenario
from carcloud.vehicle.conditions.measure import measure
from tests.unit.research.mining.scenes import STEP_S, WIDTH_M, Way, changing, scene, straight

CAR = np.array([4.6, 1.85, 1.5])


def told(scenario: Scenario, track: int, *columns: str) -> list[Any]:
    """Return columns of one track, as lists."""
    rows = features.of(scenario).to_pylist()
    return [[row[column] for row in rows if row["track"] == track] for column in columns]


def test_rows_are_those_of_who_is_there_in_order_and_know_the_next() -> None:
    way = straight(7, 0.0, 10.0, 6)
    way.x[2:4] = np.nan
    rows = features.of(scene([way, straight(3, 30.0, 10.0, 6)]))
    assert rows.schema.equals(ROWS)
    assert rows["track"].to_pylist() == [7] * 4 + [3] * 6
    assert rows["step"].to_pylist() == [0, 1, 4, 5, *range(6)]
    assert rows["next_us"].to_pylist()[:5] == [100_000, 400_000, 500_000, None, 100_000]


def test_every_feature_is_a_signal_in_a_unit_that_conditions_know() -> None:
    assert len(set(COLUMNS.values())) == len(CATALOGUE)
    assert COLUMNS["Track.YawRate"] == "track_yaw_rate"
    assert COLUMNS["Lead.TTC"] == "lead_ttc"
    for signal in CATALOGUE.values():
        assert measure(signal.unit).name == signal.unit
        assert signal.description


@pytest.mark.parametrize("pieces", [1, 6])
@pytest.mark.parametrize("lanes", [0, 2])
def test_lead_is_measured_from_front_to_rear(lanes: int, pieces: int) -> None:
    made = scene([straight(1, 0.0, 20.0, 9), straight(2, 44.6, 15.0, 9), straight(3, 80.0, 9.0, 9)], lanes, pieces)
    lead, gap, thw, ttc, drac = told(made, 1, "lead_track", "lead_gap", "lead_thw", "lead_ttc", "lead_drac")
    assert set(lead) == {2}
    assert gap[0] == pytest.approx(40.0, abs=1e-6)
    assert thw[0] == pytest.approx(2.0)
    assert ttc[0] == pytest.approx(8.0)
    assert drac[0] == pytest.approx(25 / 80)
    [behind], [ttc_behind] = ({*values} for values in told(made, 3, "behind_track", "left_track"))
    assert (behind, ttc_behind) == (2, None)
    assert told(made, 3, "lead_track", "lead_ttc") == [[None] * 9, [None] * 9]


def test_braking_and_jerk_are_slopes_of_fitted_lines() -> None:
    at = np.arange(31) * STEP_S
    way = Way(1, 20 * at - 1.5 * at**2, np.zeros(31), yaw=0.0)
    acceleration, jerk, rate = told(scene([way]), 1, "track_acceleration", "track_jerk", "track_yaw_rate")
    assert acceleration[6:-6] == pytest.approx([-3.0] * 19)
    assert jerk[12:-12] == pytest.approx([0.0] * 7, abs=1e-9)
    assert rate == pytest.approx([0.0] * 31)


@pytest.mark.parametrize("pieces", [1, 6])
def test_change_into_the_lane_beside_is_told_where_the_centre_crosses_and_cuts_in(pieces: int) -> None:
    ways = [straight(1, 0.0, 15.0, 60), changing(2, 20.0, 15.0, 60, (1, 0), 10, 31), straight(3, -40.0, 15.0, 60, 1)]
    made = scene(ways, 2, pieces)
    (change,) = told(made, 2, "track_lane_change")
    assert [step for step, side in enumerate(change) if side == "right"] == list(range(21, 32))
    lead, cut_in = told(made, 1, "lead_track", "lead_cut_in")
    assert lead == [None] * 21 + [2] * 39
    assert cut_in == [None] * 21 + [True] * 31 + [False] * 8
    left, offset = told(made, 1, "left_track", "left_offset")
    assert left[0] == 2
    assert offset[0] == pytest.approx(20.0, abs=0.01)
    assert told(made, 1, "right_lane", "left_lane") == [[False] * 60, [True] * 60]


def test_who_changes_lanes_itself_was_not_cut_in_on() -> None:
    ways = [changing(1, 0.0, 15.0, 60, (1, 0), 10, 30), straight(2, 30.0, 15.0, 60)]
    lead, cut_in = told(scene(ways), 1, "lead_track", "lead_cut_in")
    assert lead[-1] == 2
    assert True not in cut_in


def test_swaying_over_the_line_is_no_lane_change() -> None:
    at = np.arange(120)
    y = WIDTH_M / 2 + 0.4 * np.sin(at / 4)
    assert set(told(scene([Way(1, at * 1.0, y, yaw=0.0)]), 1, "track_lane_change")[0]) == {"none"}


def test_lead_that_comes_from_the_side_cuts_in_without_a_map() -> None:
    made = scene([straight(1, 0.0, 15.0, 60), changing(2, 20.0, 15.0, 60, (1, 0), 10, 30)], 0)
    (cut_in,) = told(made, 1, "lead_cut_in")
    assert cut_in[0] is None
    assert cut_in[-1] is False
    assert cut_in.count(True) >= 25


def test_turning_and_standing() -> None:
    at = np.arange(80) * STEP_S
    heading = np.clip((at - 3) * np.pi / 4, 0, np.pi / 2)
    x, y = (np.cumsum(5 * turn * STEP_S) for turn in (np.cos(heading), np.sin(heading)))
    turning, stands = told(scene([Way(1, x, y), straight(2, 50.0, 0.0, 80)], 0), 1, "track_turning", "track_stationary")
    assert turning[10] == turning[-10] == "none"
    assert {"left"} == set(turning[34:46])
    assert set(stands) == {False}
    assert set(told(scene([straight(1, 0.0, 0.0, 9)]), 1, "track_stationary")[0]) == {True}


def test_pedestrian_who_walks_into_the_way_crosses_and_conflicts() -> None:
    steps = 40
    walker = Way(2, np.full(steps, 30.0), -5 + 1.5 * np.arange(steps) * STEP_S, "pedestrian", math.pi / 2)
    made = scene([straight(1, 0.0, 10.0, steps), walker])
    track, distance, crossing, ttc, lead = told(
        made, 1, "nearest_pedestrian_track", "nearest_pedestrian_distance", "nearest_pedestrian_crossing",
        "conflict_ttc", "lead_track",
    )  # fmt: skip
    assert set(track) == {2}
    assert set(lead) == {None}
    assert crossing[0] is True
    assert crossing[-1] is False
    # the length of a walker who faces left lies across: 0.6 m along the road, 0.5 m across it
    across, along = 5 - 0.25 - 1.85 / 2, 30 - 2.3 - 0.3
    assert distance[0] == pytest.approx(math.hypot(across, along))
    assert ttc[0] == pytest.approx(along / 10)


def test_oncoming_is_who_comes_towards_it() -> None:
    made = scene([straight(1, 0.0, 10.0, 9), straight(2, 50.0, -10.0, 9, 1)], 0)
    track, distance = told(made, 1, "oncoming_track", "oncoming_distance")
    assert set(track) == {2}
    assert distance[0] == pytest.approx(math.hypot(50 - 4.6, 3.5 - 1.85))
    assert set(told(made, 1, "lead_track")[0]) == {None}


def test_boxes_touch_when_they_do() -> None:
    assert box_distance(10.0, 0.0, 0.0, 0.0, CAR, CAR) == pytest.approx(5.4)
    assert box_distance(0.0, 3.5, 0.0, math.pi, CAR, CAR) == pytest.approx(1.65)
    assert box_distance(1.0, 1.0, 0.0, 1.0, CAR, CAR) == 0.0
    crossed = box_distance(0.0, 0.0, 0.0, math.pi / 2, CAR, CAR)
    assert crossed == 0.0, "boxes that cross without a corner inside the other"
    corner, aside = (4.6 + 1.85) / math.sqrt(8), (4.6 - 1.85) / math.sqrt(8) - 1.85 / 2
    assert box_distance(10.0, 0.0, 0.0, math.pi / 4, CAR, CAR) == pytest.approx(math.hypot(7.7 - corner, aside))
    assert box_touch(10.0, 0.0, -2.0, 0.0, 0.0, 0.0, CAR, CAR) == pytest.approx(2.7)
    assert box_touch(10.0, 5.0, -2.0, 0.0, 0.0, 0.0, CAR, CAR) == math.inf
    assert box_touch(20.0, 20.0, -5.0, -5.0, 0.0, 0.0, CAR, CAR) == pytest.approx(max(15.4, 18.15) / 5)


def test_features_of_nobody_are_none() -> None:
    way = straight(1, 0.0, 1.0, 3)
    way.x[:] = np.nan
    assert features.of(scene([way])).num_rows == 0
