"""The metrics of one ego in one motion: series per step, and a summary.

Rules:
* A series of the ego against all others takes at each step the worst: the least time or distance, the most
  deceleration.
* Times are seconds, and infinite where nothing comes of it; they are NaN only where the ego is absent.
* TET and TIT count the steps whose worst TTC is at most TTC_S.

Source: Minderhoud and Bovy, "Extended time-to-collision measures for road traffic safety assessment" (2001) (TET, TIT);
else as the modules beside this one say.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from carcloud.research.metrics import lanes, shapes
from carcloud.research.metrics.collisions import Collision, collisions_of
from carcloud.research.metrics.comfort import Comfort, comfort_of
from carcloud.research.metrics.pairs import Pairs, pairs_of, pet_of
from carcloud.research.metrics.route import places, route_of
from carcloud.research.motion import Motion
from carcloud.research.roads import RoadMap

Numbers = NDArray[np.float64]

TTC_S = 2.0
_LEAST = ("gap", "thw", "thw_driven", "ttc", "ttc_accelerated", "required_acceleration", "wttc", "distance", "ttc_star")


@dataclass(frozen=True)
class Metrics:
    """All metrics of one ego.

    Args:
        pairs: against each road user. pet: (V,) seconds. comfort: how it moves itself.
        collisions: in the order of time.
        off_road: (T,) whether a corner is off the road; None without a map.
        progress: (T,) metres along its route since its first step.
        series: (T,) each, by name: the worst against all others, and the ego's own.
        summary: one value each, by name, with its unit at the end.
    """

    pairs: Pairs
    pet: Numbers
    comfort: Comfort
    collisions: tuple[Collision, ...]
    off_road: NDArray[np.bool_] | None
    progress: Numbers
    series: dict[str, Numbers]
    summary: dict[str, float | bool | str | None]


def of(motion: Motion, ego: int, roads: RoadMap | None = None, goal: Numbers | None = None) -> Metrics:
    """Return the metrics of the road user with this track number; KeyError where there is none.

    Args:
        goal: (N, 2) metres, the polygon it is to reach.
    """
    row = motion.row(ego)
    boxes = shapes.corners(motion.x, motion.y, motion.yaw, motion.sizes)
    found = places(motion, route_of(motion, row, roads))
    drawn = None if roads is None else _drawn(_Same(roads))
    standing = None if drawn is None else lanes.standing(boxes, drawn)
    off = None if drawn is None else lanes.off_road(boxes[row], drawn)
    pairs = pairs_of(motion, row, boxes, found, standing)
    pet, comfort = pet_of(motion, row, boxes), comfort_of(motion, row)
    collided = tuple(collisions_of(motion, row, boxes, pairs.distance, standing, off))
    progress = _progress(motion, row, found.s[row])
    series = _series(pairs, comfort, progress)
    summary = _summary(motion, row, series, pet, comfort, collided, off, goal)
    return Metrics(pairs, pet, comfort, collided, off, progress, series, summary)


def progress_of(motion: Motion, ego: int, roads: RoadMap | None = None) -> float:
    """Return how far the road user with this track number came along its route, metres."""
    row = motion.row(ego)
    progress = _progress(motion, row, places(motion, route_of(motion, row, roads)).s[row])
    there = progress[motion.present[row]]
    return float(there[-1]) if len(there) else math.nan


class _Same:
    """A map as a key: the very same object is the same."""

    def __init__(self, roads: RoadMap) -> None:
        self.roads = roads

    def __hash__(self) -> int:
        return id(self.roads)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.roads is self.roads


@lru_cache(maxsize=8)
def _drawn(same: _Same) -> lanes.Lanes | None:
    return lanes.lanes_of(same.roads)


def _progress(motion: Motion, row: int, s: Numbers) -> Numbers:
    """Return metres since the first step: along the route, or by the way driven where it is left."""
    at = np.flatnonzero(motion.present[row])
    steps = np.hypot(np.diff(motion.x[row, at]), np.diff(motion.y[row, at]))
    along = np.diff(s[at])
    out = np.full(motion.shape[1], np.nan)
    out[at] = np.concatenate(([0.0], np.cumsum(np.where(np.isnan(along), steps, along)))) if len(at) else []
    return out


def _series(pairs: Pairs, comfort: Comfort, progress: Numbers) -> dict[str, Numbers]:
    series = {
        name: _least(getattr(pairs, name), 0.0 if name == "required_acceleration" else math.inf) for name in _LEAST
    }
    series["drac"] = -_least(-pairs.drac, 0.0)
    for name in ("speed", "acceleration", "lateral_acceleration", "jerk", "yaw_rate"):
        series[name] = getattr(comfort, name)
    here = ~np.isnan(comfort.speed)
    return {name: np.where(here, one, np.nan) for name, one in series.items()} | {"progress": progress}


def _least(values: Numbers, nobody: float) -> Numbers:
    least: Numbers = np.where(np.isnan(values), nobody, values).min(axis=0, initial=nobody)
    return least


def _summary(
    motion: Motion,
    row: int,
    series: dict[str, Numbers],
    pet: Numbers,
    comfort: Comfort,
    collided: tuple[Collision, ...],
    off: NDArray[np.bool_] | None,
    goal: Numbers | None,
) -> dict[str, float | bool | str | None]:
    here = motion.present[row]
    low = np.minimum(series["ttc"][here], math.inf)
    short = low <= TTC_S
    first = collided[0] if collided else None
    blamed = next((one for one in collided if one.fault), None)
    left = np.flatnonzero(off & here) if off is not None else np.array([], int)
    return {
        "collided": first is not None,
        "collided_s": None if first is None else float(motion.time_us[first.step]) / 1e6,
        "collided_with": None if first is None else float(motion.users[first.other].track),
        "collided_how": None if first is None else first.how,
        "at_fault": blamed is not None,
        "least_ttc_s": _lowest(low),
        "least_ttc_accelerated_s": _lowest(series["ttc_accelerated"][here]),
        "least_thw_s": _lowest(series["thw"][here]),
        "least_thw_driven_s": _lowest(series["thw_driven"][here]),
        "least_wttc_s": _lowest(series["wttc"][here]),
        "least_pet_s": _lowest(pet[~np.isnan(pet)]),
        "least_gap_m": _lowest(series["gap"][here]),
        "least_distance_m": _lowest(series["distance"][here]),
        "most_drac_mps2": -_lowest(-series["drac"][here]),
        "least_required_acceleration_mps2": _lowest(series["required_acceleration"][here]),
        "tet_s": float(short.sum()) * motion.step_s,
        "tit_s2": float((TTC_S - low[short]).sum()) * motion.step_s,
        "most_speed_mps": -_lowest(-comfort.speed[here]),
        "mean_speed_mps": float(comfort.speed[here].mean()) if here.any() else math.nan,
        "most_acceleration_mps2": -_lowest(-comfort.acceleration[here]),
        "most_deceleration_mps2": -min(0.0, _lowest(comfort.acceleration[here])),
        "most_lateral_acceleration_mps2": -_lowest(-np.abs(comfort.lateral_acceleration[here])),
        "most_jerk_mps3": -_lowest(-np.abs(comfort.longitudinal_jerk[here])),
        "most_yaw_rate_radps": -_lowest(-np.abs(comfort.yaw_rate[here])),
        "comfortable_share": float(comfort.comfortable[here].mean()) if here.any() else math.nan,
        "standing_s": float((np.abs(comfort.speed[here]) <= 0.1).sum()) * motion.step_s,
        "progress_m": float(series["progress"][here][-1]) if here.any() else math.nan,
        "duration_s": float(here.sum() - 1) * motion.step_s if here.any() else 0.0,
        "off_road": None if off is None else bool(len(left)),
        "off_road_s": None if not len(left) else float(motion.time_us[left[0]]) / 1e6,
        "reached_goal": None if goal is None else bool(_inside(motion.x[row, here], motion.y[row, here], goal).any()),
    }


def _lowest(values: Numbers) -> float:
    return float(values.min()) if len(values) else math.inf


def _inside(x: Numbers, y: Numbers, polygon: Numbers) -> NDArray[np.bool_]:
    """Return whether points lie in a polygon, by how often a ray crosses its edges."""
    inside = np.zeros(len(x), np.bool_)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if ay != by:
            inside ^= ((ay > y) != (by > y)) & (x < (bx - ax) * (y - ay) / (by - ay) + ax)
    return inside
