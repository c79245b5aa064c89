"""A route: the line along which an ego's distances are measured, and where everyone is on it.

Rules:
* With a map it is the centre of the lane in which the ego begins, with what leads into it and, ahead, whatever
  follows that comes nearest to where the ego drives later.
* Without one it is the way that the ego takes, with a straight piece at both ends.
* Who is beyond an end of it, or further than WIDEST from it, is nowhere on it: its place is NaN.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled
from carcloud.research.motion import Motion
from carcloud.research.roads import Lane, RoadMap

Numbers = NDArray[np.float64]

WIDEST_M = 30.0
LEADING_IN = 2
"""Lanes before the one in which the ego begins."""
LONGEST_LANES = 100
STRAIGHT_ON_M = 200.0
"""How far a route without a map goes on straight."""
FINEST_M = 0.5


@dataclass(frozen=True)
class Route:
    """A line, (N, 2) metres, and the length up to each of its points, (N,) metres."""

    points: Numbers
    lengths: Numbers


@dataclass(frozen=True)
class Places:
    """Where road users are on a route.

    Args:
        s, d: (V, T) metres along it, and to the left of it; NaN where nowhere on it.
        along: (V, T, 2) the route's direction there, of length 1.
    """

    s: Numbers
    d: Numbers
    along: Numbers


def route_of(motion: Motion, ego: int, roads: RoadMap | None) -> Route:
    """Return the route of the road user in this row."""
    at = np.flatnonzero(motion.present[ego])
    way = np.column_stack((motion.x[ego, at], motion.y[ego, at]))
    if roads is not None and (lanes := [one for one in roads.lanes if one.kind in ("driving", "ramp")]) and len(way):
        return _line(_lanes(lanes, roads, way, float(motion.yaw[ego, at[0]])))
    return _line(_taken(way, motion.yaw[ego, at]))


def places(motion: Motion, route: Route) -> Places:
    """Return where everyone is on a route."""
    s, d, along = _places(motion.x, motion.y, route.points, route.lengths, WIDEST_M)
    return Places(s, d, along)


def _line(points: Numbers) -> Route:
    steps = np.hypot(*np.diff(points, axis=0).T)
    points = points[np.concatenate(([True], steps > 1e-6))]
    lengths = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))))
    return Route(np.ascontiguousarray(points), lengths)


def _taken(way: Numbers, yaw: Numbers) -> Numbers:
    if not len(way):
        return np.array([[0.0, 0.0], [1.0, 0.0]])
    kept = [way[0]]
    for point in way[1:]:
        if np.hypot(*(point - kept[-1])) >= FINEST_M:
            kept.append(point)
    first = np.array([math.cos(yaw[0]), math.sin(yaw[0])])
    last = np.array([math.cos(yaw[-1]), math.sin(yaw[-1])])
    return np.array([kept[0] - STRAIGHT_ON_M * first, *kept, kept[-1] + STRAIGHT_ON_M * last])


def _lanes(lanes: list[Lane], roads: RoadMap, way: Numbers, yaw: float) -> Numbers:
    chain = [_begun(lanes, way[0], yaw)]
    known = {chain[0].name}
    while len(chain) <= LEADING_IN and (before := _known(roads, chain[0].before)) and before[0].name not in known:
        chain.insert(0, before[0])
        known.add(before[0].name)
    behind = len(chain)
    while len(chain) < LONGEST_LANES and (after := _known(roads, chain[-1].after)):
        nearest = min(after, key=lambda one: float(_from(one.centre, way).min(axis=1).mean()))
        if nearest.name in known or (len(chain) - behind >= LEADING_IN and not _goes_on(chain[-1], way)):
            break
        chain.append(nearest)
        known.add(nearest.name)
    return np.concatenate([one.centre for one in chain])


def _known(roads: RoadMap, names: tuple[str, ...]) -> list[Lane]:
    return [roads.by_name[name] for name in names if name in roads.by_name]


def _begun(lanes: list[Lane], at: Numbers, yaw: float) -> Lane:
    """Return the lane that a place lies in, of several the one that goes its way; else the nearest."""

    def odds(one: Lane) -> tuple[bool, float]:
        s, d, along = _places(at[:1, None], at[1:, None], one.centre, _line(one.centre).lengths, math.inf)
        near = int(np.argmin(np.hypot(*(one.centre - at).T)))
        half = float(np.hypot(*(one.left_edge[near] - one.right_edge[near]))) / 2
        turned = abs(math.remainder(yaw - math.atan2(along[0, 0, 1], along[0, 0, 0]), 2 * math.pi))
        away = float(np.hypot(*(one.centre - at).T).min()) if math.isnan(d[0, 0]) else abs(float(d[0, 0]))
        outside = away > half or math.isnan(s[0, 0])
        return outside, turned if not outside else away

    return min(lanes, key=odds)


def _from(points: Numbers, way: Numbers) -> Numbers:
    some = points[:: max(1, len(points) // 8)]
    few = way[:: max(1, len(way) // 64)]
    apart: Numbers = np.hypot(some[:, None, 0] - few[None, :, 0], some[:, None, 1] - few[None, :, 1])
    return apart


def _goes_on(lane: Lane, way: Numbers) -> bool:
    """Tell whether the way goes on beyond a lane's end."""
    end = lane.centre[-1] - lane.centre[-2]
    return bool(((way[-1] - lane.centre[-1]) @ end) > 0)


@compiled
def _places(
    x: Numbers, y: Numbers, points: Numbers, lengths: Numbers, widest: float
) -> tuple[Numbers, Numbers, Numbers]:
    users, steps = x.shape
    s, d = np.full((users, steps), math.nan), np.full((users, steps), math.nan)
    along = np.full((users, steps, 2), math.nan)
    for v in range(users):
        for t in range(steps):
            px, py = x[v, t], y[v, t]
            if math.isnan(px):
                continue
            best, found, share_found = math.inf, -1, 0.0
            for k in range(len(points) - 1):
                ax, ay = points[k, 0], points[k, 1]
                dx, dy = points[k + 1, 0] - ax, points[k + 1, 1] - ay
                share = ((px - ax) * dx + (py - ay) * dy) / (dx * dx + dy * dy)
                held = min(1.0, max(0.0, share))
                away = (px - ax - held * dx) ** 2 + (py - ay - held * dy) ** 2
                if away < best:
                    best, found, share_found = away, k, share
            k = found
            dx, dy = points[k + 1, 0] - points[k, 0], points[k + 1, 1] - points[k, 1]
            long = math.hypot(dx, dy)
            along[v, t, 0], along[v, t, 1] = dx / long, dy / long
            beyond = (k == 0 and share_found < 0) or (k == len(points) - 2 and share_found > 1)
            if beyond or best > widest * widest:
                continue
            s[v, t] = lengths[k] + min(1.0, max(0.0, share_found)) * long
            d[v, t] = ((py - points[k, 1]) * dx - (px - points[k, 0]) * dy) / long
    return s, d, along
