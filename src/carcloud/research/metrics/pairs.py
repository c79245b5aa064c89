"""Pairs: how near an ego is to each of the others, at each step.

Rules:
* Each series is (V, T) with a row for each road user; NaN where it or the ego is absent, and in the ego's own row.
* Along the route (`gap`, `thw`, `thw_driven`, `ttc`, `ttc_accelerated`, `drac`, `required_acceleration`) only those
  count who are in the ego's lane, ahead of its front; others are never reached: infinite, and none has to brake.
  Without lanes those are in the ego's lane whose boxes overlap its own across the route.
* Accelerations that differ by less than STEADY_MPS2 count as equal in `ttc_accelerated`: less is noise in recordings.
* `wttc`: each is a circle around its middle third, and may do WORST_MPS2 in any direction; who is static, nothing.
* `nearest_ahead_s` and `nearest_ahead` (TTCE and DCE) look along the motion as it goes, from each step to its end or to
  the step before one of both leaves; `ttc_star`: until the boxes first meet on that way.

Source: Westhofen et al., "Criticality Metrics for Automated Driving" (2023): THW, TTC, WTTC, a_long,req, TTCE, DCE;
Jansson, "Collision Avoidance Theory" (2005), 5.3 (TTC and required deceleration at constant acceleration); Eggert,
"Predictive risk estimation for intelligent ADAS functions" (2014) (TTCE, DCE); Lin and Althoff, "CommonRoad-CriMe"
(2023) (TTC*, circles and accelerations of WTTC).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research import measures
from carcloud.research.measures import compiled
from carcloud.research.metrics.lanes import Standing
from carcloud.research.metrics.route import Places
from carcloud.research.metrics.shapes import apart
from carcloud.research.motion import Motion

Numbers = NDArray[np.float64]

STEADY_MPS2 = 0.1
WORST_MPS2 = 11.5
LONGEST_PET_S = 10.0
CROSSING_RAD = math.pi / 6
"""Who drives over the same place in nearly the same direction follows, and does not cross."""


@dataclass(frozen=True)
class Pairs:
    """The series of an ego to all others, each (V, T) float64: metres, seconds, m/s^2."""

    gap: Numbers
    thw: Numbers
    thw_driven: Numbers
    ttc: Numbers
    ttc_accelerated: Numbers
    drac: Numbers
    required_acceleration: Numbers
    wttc: Numbers
    distance: Numbers
    nearest_ahead: Numbers
    nearest_ahead_s: Numbers
    ttc_star: Numbers


def pairs_of(motion: Motion, ego: int, boxes: Numbers, places: Places, standing: Standing | None) -> Pairs:
    """Return the series of the road user in row `ego` to all others.

    Args:
        boxes: (V, T, 4, 2) metres. standing: in which lanes they stand; None without a map.
    """
    along_v = motion.vx * places.along[..., 0] + motion.vy * places.along[..., 1]
    along_a = motion.ax * places.along[..., 0] + motion.ay * places.along[..., 1]
    here = np.array([[user.kind != "static"] for user in motion.users], np.bool_).reshape(-1)
    in_lane = _in_lane(motion, ego, places, standing)
    along = _along(ego, places.s, along_v, along_a, motion.sizes[:, 0].copy(), in_lane, motion.step_s)
    radii = np.hypot(motion.sizes[:, 0] / 6, motion.sizes[:, 1] / 2)
    around = _around(
        ego, motion.x, motion.y, motion.vx, motion.vy, boxes, radii, np.where(here, WORST_MPS2, 0.0), motion.step_s
    )
    return Pairs(*along, *around)


def pet_of(motion: Motion, ego: int, boxes: Numbers) -> Numbers:
    """Return (V,) the post-encroachment time to each of the others, seconds; infinite where their ways do not cross.

    It is the least time between one having covered a place and the other covering it.

    Source: Allen, Shin and Cooper, "Analysis of Traffic Conflicts and Collisions" (1978).
    """
    reach = np.hypot(motion.sizes[:, 0], motion.sizes[:, 1]) / 2
    longest = round(LONGEST_PET_S / motion.step_s)
    return _pet(ego, motion.x, motion.y, motion.yaw, boxes, reach, motion.step_s, longest, math.cos(CROSSING_RAD))


def _in_lane(motion: Motion, ego: int, places: Places, standing: Standing | None) -> NDArray[np.bool_]:
    if standing is not None:
        shared: NDArray[np.bool_] = (standing.near & standing.near[ego]).any(axis=2)
        return shared
    with np.errstate(invalid="ignore"):
        beside = np.abs(places.d - places.d[ego]) < (motion.sizes[:, 1:2] + motion.sizes[ego, 1]) / 2
    return np.asarray(beside, np.bool_)


@compiled
def _along(
    ego: int, s: Numbers, v: Numbers, a: Numbers, length: Numbers, in_lane: NDArray[np.bool_], step_s: float
) -> tuple[Numbers, Numbers, Numbers, Numbers, Numbers, Numbers, Numbers]:
    users, steps = s.shape
    gap, thw, driven = (
        np.full((users, steps), math.inf),
        np.full((users, steps), math.inf),
        np.full((users, steps), math.inf),
    )
    ttc, faster = np.full((users, steps), math.inf), np.full((users, steps), math.inf)
    drac, required = np.zeros((users, steps)), np.zeros((users, steps))
    for o in range(users):
        for t in range(steps):
            if o == ego or math.isnan(v[o, t]) or math.isnan(v[ego, t]):
                for out in (gap, thw, driven, ttc, faster, drac, required):
                    out[o, t] = math.nan
                continue
            distance = measures.gap(s[ego, t], length[ego], s[o, t], length[o])
            if not in_lane[o, t] or math.isnan(distance) or distance < 0:
                continue
            closing, closing_faster = v[ego, t] - v[o, t], a[ego, t] - a[o, t]
            if abs(closing_faster) <= STEADY_MPS2 and closing > 0:
                closing_faster = 0.0
            gap[o, t] = distance
            thw[o, t] = measures.thw(distance, v[ego, t])
            ttc[o, t] = measures.ttc(distance, v[ego, t], v[o, t])
            faster[o, t] = measures.ttc_accelerated(distance, closing, closing_faster)
            drac[o, t] = measures.drac(distance, v[ego, t], v[o, t])
            if closing > 0:
                required[o, t] = measures.required_acceleration(distance, v[ego, t], v[o, t], a[o, t])
            rear = s[o, t] - length[o] / 2
            for later in range(t + 1, steps):
                if s[ego, later] + length[ego] / 2 > rear:
                    driven[o, t] = (later - t) * step_s
                    break
    return gap, thw, driven, ttc, faster, drac, required


@compiled
def _around(
    ego: int,
    x: Numbers,
    y: Numbers,
    vx: Numbers,
    vy: Numbers,
    boxes: Numbers,
    radii: Numbers,
    worst: Numbers,
    step_s: float,
) -> tuple[Numbers, Numbers, Numbers, Numbers, Numbers]:
    users, steps = x.shape
    wttc, distance = np.full((users, steps), math.nan), np.full((users, steps), math.nan)
    nearest, nearest_s = np.full((users, steps), math.nan), np.full((users, steps), math.nan)
    star = np.full((users, steps), math.nan)
    for o in range(users):
        if o == ego:
            continue
        best, best_at, met_at = math.inf, -1, -1
        for t in range(steps - 1, -1, -1):
            if math.isnan(x[o, t]) or math.isnan(x[ego, t]):
                best, best_at, met_at = math.inf, -1, -1
                continue
            dx, dy = x[o, t] - x[ego, t], y[o, t] - y[ego, t]
            wttc[o, t] = measures.wttc(
                dx, dy, vx[o, t] - vx[ego, t], vy[o, t] - vy[ego, t], radii[o] + radii[ego], worst[o] + worst[ego]
            )
            away = apart(boxes[o, t], boxes[ego, t])
            distance[o, t] = away
            if away <= best:
                best, best_at = away, t
            if away == 0.0:
                met_at = t
            nearest[o, t], nearest_s[o, t] = best, (best_at - t) * step_s
            star[o, t] = (met_at - t) * step_s if met_at >= 0 else math.inf
    return wttc, distance, nearest, nearest_s, star


@compiled
def _pet(
    ego: int,
    x: Numbers,
    y: Numbers,
    yaw: Numbers,
    boxes: Numbers,
    reach: Numbers,
    step_s: float,
    longest: int,
    following: float,
) -> Numbers:
    users, steps = x.shape
    found = np.full(users, math.inf)
    for o in range(users):
        if o == ego:
            found[o] = math.nan
            continue
        near = (reach[o] + reach[ego]) ** 2
        for lag in range(min(longest, steps - 1) + 1):
            for t in range(steps - lag):
                for turn in range(2):
                    mine, its = (t, t + lag) if turn == 0 else (t + lag, t)
                    away = (x[ego, mine] - x[o, its]) ** 2 + (y[ego, mine] - y[o, its]) ** 2
                    if not away <= near or math.cos(yaw[ego, mine] - yaw[o, its]) >= following:
                        continue
                    if apart(boxes[ego, mine], boxes[o, its]) == 0.0:
                        found[o] = lag * step_s
                        break
                if found[o] < math.inf:
                    break
            if found[o] < math.inf:
                break
    return found
