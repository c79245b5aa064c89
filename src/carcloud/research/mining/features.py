"""Features of a scenario: what conditions ask about, worked out for each road user at each step.

Rules:
* Each is a row of `tracks` with the same scenario, track and step, in the same order.
* What each is and where its limits lie is said once, in `catalogue`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from carcloud.research.location import Located, locate
from carcloud.research.mining import lanes, leads, near
from carcloud.research.mining.catalogue import (
    CHANGED_S,
    CUT_IN_S,
    FAST_MPS,
    FEATURES,
    FEATURES_LIST,
    FIT_S,
    MOVES_S,
    ROADS,
    ROWS,
    STANDS_MPS,
)
from carcloud.research.mining.slopes import half_of, slope, turning, unwrapped
from carcloud.research.motion import KINDS, Motion, Numbers
from carcloud.research.roads import Lane, RoadMap
from carcloud.research.scenario import Scenario

__all__ = ["FEATURES", "of"]

FAST_TAGS = frozenset({"highway", "interstate", "motorway"})
"""Words of sources for a scenario on a highway."""

Column = NDArray[np.generic]


def of(scenario: Scenario, located: Located | None = None) -> pa.Table:
    """Return the rows of a scenario: schema ROWS.

    Args:
        located: where its road users are on its map, if that is known already.
    """
    motion = scenario.motion
    if scenario.map is not None and located is None:
        located = locate(scenario.map, motion)
    found = _alone(scenario, located) | _together(motion, scenario.map, located) | _near(motion)
    return _table(scenario, found)


def _alone(scenario: Scenario, located: Located | None) -> dict[str, Column]:
    """Return what a road user is by itself."""
    motion = scenario.motion
    step_s, present = motion.step_s, motion.present
    half, there = half_of(FIT_S, step_s), np.where(present, 0, -1).astype(np.int32)
    heading, speed = unwrapped(motion), motion.speed
    acceleration, rate = slope(speed, there, step_s, half), slope(heading, there, step_s, half)
    sideways = motion.vy * np.cos(motion.yaw) - motion.vx * np.sin(motion.yaw)
    crossed, road, limit, offset = np.full(motion.shape, -1, np.int8), np.full(motion.shape, -1), None, None
    if located is not None and scenario.map is not None and scenario.map.lanes:
        graph = lanes.graph_of(scenario.map)
        crossed = lanes.crossings(located.lane, located.d, graph, step_s)
        on = located.lane
        sideways = np.where(on >= 0, slope(located.d, on, step_s, half), sideways)
        offset = np.where(on >= 0, located.d, np.nan)
        kinds, limits = _roads(scenario.map.lanes, scenario.tags)
        road, limit = np.where(on >= 0, kinds[on], -1), np.where(on >= 0, limits[on], np.nan)
    nothing = np.full(motion.shape, np.nan)
    return {
        "track_kind": _each([KINDS.index(user.kind) for user in motion.users], motion),
        "track_is_ego": _each([user.track == scenario.ego for user in motion.users], motion),
        "track_speed": speed,
        "track_acceleration": acceleration,
        "track_jerk": slope(acceleration, np.where(np.isnan(acceleration), -1, 0).astype(np.int32), step_s, half),
        "track_speed_error": _speed_error(motion, there),
        "track_yaw_rate": rate,
        "track_lateral_speed": sideways,
        "track_lane_offset": nothing if offset is None else offset,
        "track_stationary": np.abs(speed) < STANDS_MPS,
        "track_turning": turning(heading, rate, step_s),
        "track_lane_change": _lasting(crossed, half_of(CHANGED_S, step_s)),
        "track_road": road,
        "track_speed_limit": nothing if limit is None else limit,
    }


def _speed_error(motion: Motion, there: lanes.Indices) -> Numbers:
    half = max(2, half_of(MOVES_S, motion.step_s))
    moves = [slope(place, there, motion.step_s, half) for place in (motion.x, motion.y)]
    off = np.abs(np.abs(motion.speed) - np.hypot(*moves))
    most = maximum_filter1d(np.where(np.isnan(off), -1.0, off), 2 * half_of(FIT_S, motion.step_s) + 1, mode="nearest")
    error: Numbers = np.where(np.isnan(off), np.nan, most)
    return error


def _roads(of: Sequence[Lane], tags: Sequence[str]) -> tuple[NDArray[np.int64], Numbers]:
    """Return of each lane the place of its road in ROADS, and its speed limit."""
    fast = bool(FAST_TAGS & set(tags))
    limits = np.array([np.nan if lane.limit_mps is None else lane.limit_mps for lane in of], np.float64)
    return np.array([ROADS.index(_road(lane, fast)) for lane in of], np.int64), limits


def _road(lane: Lane, fast: bool) -> str:
    if lane.kind == "ramp":
        return "ramp"
    if lane.junction:
        return "junction"
    if lane.kind != "driving":
        return "other"
    return "highway" if fast or (lane.limit_mps or 0.0) >= FAST_MPS else "street"


def _lasting(crossed: NDArray[np.int8], steps: int) -> NDArray[np.int8]:
    """Return crossings, each told for that many steps more."""
    last = lanes.last_crossing(crossed)
    at = np.arange(crossed.shape[1])
    told = np.where((last >= 0) & (at - last <= steps), np.take_along_axis(crossed, np.maximum(last, 0), 1), 0)
    return np.where(crossed < 0, -1, told).astype(np.int8)


def _together(motion: Motion, roads: RoadMap | None, located: Located | None) -> dict[str, Column]:
    """Return what a road user is beside those in its lane and in the lanes beside."""
    step_s = motion.step_s
    mapped = located is not None and roads is not None and bool(roads.lanes)
    if located is not None and roads is not None and mapped:
        graph = lanes.graph_of(roads)
        on, s = located.lane, located.s
        crossed = lanes.last_crossing(lanes.crossings(on, located.d, graph, step_s))
    else:
        graph = lanes.graph_of(RoadMap(()))
        on, s = np.full(motion.shape, -1, np.int32), np.full(motion.shape, np.nan)
        crossed = np.full(motion.shape, -1, np.int32)
    walks = np.array([user.kind == "pedestrian" for user in motion.users], np.bool_)
    there = np.where(motion.present, 0, -1).astype(np.int32)
    speed = motion.speed
    half = half_of(FIT_S, step_s)
    rate = slope(unwrapped(motion), there, step_s, half)
    found = leads.around(
        motion.x, motion.y, motion.yaw, speed, rate, motion.sizes[:, 0].copy(), motion.sizes[:, 1].copy(),
        motion.present & ~walks[:, None], on, s, graph.length, graph.left, graph.right, graph.after, graph.before,
        crossed, half_of(CUT_IN_S, step_s),
    )  # fmt: skip
    columns = _of_lead(motion, found, speed, slope(speed, there, step_s, half))
    sides = {
        "left": (found.left, found.left_offset, graph.left),
        "right": (found.right, found.right_offset, graph.right),
    }
    for name, (who, offset, beside) in sides.items():
        lane = np.where(on >= 0, beside[on] >= 0, -1) if mapped else np.full(motion.shape, -1)
        columns |= {
            f"{name}_lane": lane,
            f"{name}_track": _tracks(motion, who),
            f"{name}_gap": np.maximum(0.0, np.abs(offset) - _lengths(motion, who)),
            f"{name}_offset": offset,
        }
    return columns


def _of_lead(motion: Motion, found: leads.Around, speed: Numbers, acceleration: Numbers) -> dict[str, Column]:
    lead, gap = found.lead, np.maximum(found.gap, 0.0)
    has = lead >= 0
    step = np.arange(motion.shape[1])
    theirs, brakes = (np.where(has, values[lead, step], np.nan) for values in (speed, acceleration))
    headway, collision, needed = leads.judged(gap, speed, theirs)
    behind, behind_gap = _behind(lead, gap)
    return {
        "lead_track": _tracks(motion, lead),
        "lead_kind": _kinds(motion, lead),
        "lead_gap": gap,
        "lead_speed": theirs,
        "lead_acceleration": brakes,
        "lead_closing": speed - theirs,
        "lead_thw": headway,
        "lead_ttc": collision,
        "lead_drac": needed,
        "lead_cut_in": np.where(has, found.cut_in, -1),
        "behind_track": _tracks(motion, behind),
        "behind_gap": behind_gap,
        "behind_ttc": np.where(behind >= 0, collision[behind, step], np.nan),
    }


def _behind(lead: lanes.Indices, gap: Numbers) -> tuple[lanes.Indices, Numbers]:
    """Return of each road user who of those whose lead it is comes nearest, and the gap."""
    behind, nearest = np.full(lead.shape, -1, np.int32), np.full(lead.shape, np.nan)
    users, steps = np.nonzero(lead >= 0)
    order = np.lexsort((users, -gap[users, steps]))[::1]
    users, steps = users[order], steps[order]
    behind[lead[users, steps], steps] = users
    nearest[lead[users, steps], steps] = gap[users, steps]
    return behind, nearest


def _near(motion: Motion) -> dict[str, Column]:
    """Return who is nearest, who comes towards it, and with whom it would collide."""
    group = np.array([near.GROUPS.get(user.kind, -1) for user in motion.users], np.int32)
    found = near.near(
        motion.x, motion.y, motion.yaw, motion.vx, motion.vy, motion.sizes, group, motion.present
    )  # fmt: skip
    columns: dict[str, Column] = {}
    for at, name in enumerate(("vehicle", "bicycle", "pedestrian")):
        columns[f"nearest_{name}_track"] = _tracks(motion, found.nearest[at])
        columns[f"nearest_{name}_distance"] = found.distance[at]
    return columns | {
        "nearest_pedestrian_crossing": np.where(found.nearest[2] >= 0, found.crosses, -1),
        "oncoming_track": _tracks(motion, found.oncoming),
        "oncoming_distance": found.oncoming_distance,
        "conflict_track": _tracks(motion, found.conflict),
        "conflict_kind": _kinds(motion, found.conflict),
        "conflict_ttc": found.conflict_s,
    }


def _each(values: Sequence[int], motion: Motion) -> Column:
    return np.broadcast_to(np.array(values, np.int64)[:, None], motion.shape)


def _tracks(motion: Motion, rows: lanes.Indices) -> Column:
    """Return track numbers for rows of road users; NaN for nobody."""
    numbers = np.array([user.track for user in motion.users], np.float64)
    return np.where(rows >= 0, numbers[rows], np.nan) if len(numbers) else np.full(rows.shape, np.nan)


def _kinds(motion: Motion, rows: lanes.Indices) -> Column:
    kinds = np.array([KINDS.index(user.kind) for user in motion.users], np.int64)
    return np.where(rows >= 0, kinds[rows], -1) if len(kinds) else np.full(rows.shape, -1)


def _lengths(motion: Motion, rows: lanes.Indices) -> Numbers:
    """Return half the lengths of both road users, added."""
    half = motion.sizes[:, 0] / 2
    lengths: Numbers = half[:, None] + np.where(rows >= 0, half[rows], np.nan)
    return lengths


def _table(scenario: Scenario, found: dict[str, Column]) -> pa.Table:
    """Return the columns as rows of those who are there."""
    motion = scenario.motion
    user, step = np.nonzero(motion.present)
    count = len(user)
    time = motion.time_us[step]
    last = np.append(user[1:] != user[:-1], True)[:count]
    following = pa.array(np.append(time[1:], 0)[:count], pa.int64(), mask=last)
    numbers = np.array([one.track for one in motion.users], np.int32)
    columns: list[pa.Array] = [
        pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([scenario.id])),
        pa.array(numbers[user] if count else [], pa.int32()),
        pa.array(step, pa.int32()),
        pa.array(time, pa.int64()),
        following,
    ]
    for feature in FEATURES_LIST:
        columns.append(_column(feature.type, feature.allowed, found[feature.column][user, step]))
    return pa.Table.from_arrays(columns, schema=ROWS)


def _column(kind: str, allowed: Sequence[str], values: Column) -> pa.Array:
    if kind == "double":
        return pa.array(values, pa.float64(), mask=~np.isfinite(values.astype(np.float64)))
    if kind == "int32":
        missing = np.isnan(values.astype(np.float64))
        return pa.array(np.where(missing, 0, values).astype(np.int32), pa.int32(), mask=missing)
    known = values.astype(np.int32)
    if kind == "boolean":
        return pa.array(known > 0, pa.bool_(), mask=known < 0)
    return pa.DictionaryArray.from_arrays(pa.array(known, pa.int32(), mask=known < 0), pa.array(list(allowed)))
