"""Who is nearest by kind, who comes towards whom, and who would touch whom if all kept their velocities.

Source: the separating axis theorem for boxes that move without turning: they touch while their shadows on each of the
four directions of their sides overlap.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled
from carcloud.research.mining.catalogue import CONFLICT_S, NEAR_M
from carcloud.research.mining.lanes import Indices
from carcloud.research.motion import Numbers

GROUPS = {"car": 0, "truck": 0, "bus": 0, "motorcycle": 0, "bicycle": 1, "pedestrian": 2}
"""Kinds that are looked for together; others are in none."""
ONCOMING = -0.87
"""Cosine between headings up to which two drive towards each other: 150°."""
ONCOMING_ASIDE_M = 12.0
CROSSING_M = 40.0
WALKS_MPS = 0.5
ASIDE_M = 6.0
"""How far beside the way a pedestrian who walks towards it is told to cross."""


class Near(NamedTuple):
    """Who is near: (V, T) rows of road users, -1 for nobody; metres and seconds, NaN for nobody.

    nearest, distance: (3, V, T) by GROUPS. crosses: whether the nearest pedestrian crosses.
    """

    nearest: Indices
    distance: Numbers
    crosses: NDArray[np.bool_]
    oncoming: Indices
    oncoming_distance: Numbers
    conflict: Indices
    conflict_s: Numbers


@compiled
def box_touch(
    x: float, y: float, vx: float, vy: float, yaw: float, other_yaw: float, mine: Numbers, theirs: Numbers
) -> float:
    """Return when two boxes touch at constant velocities, seconds; 0 where they do now, infinite where never.

    Args:
        x, y, vx, vy: of the other's centre, seen from the one's.
    """
    begin, end = 0.0, math.inf
    for at in range(4):
        angle = (yaw if at < 2 else other_yaw) + (math.pi / 2 if at % 2 else 0.0)
        cos, sin = math.cos(angle), math.sin(angle)
        reach = 0.0
        for turned, box in ((yaw, mine), (other_yaw, theirs)):
            reach += box[0] / 2 * abs(math.cos(angle - turned)) + box[1] / 2 * abs(math.sin(angle - turned))
        apart, moves = x * cos + y * sin, vx * cos + vy * sin
        if moves == 0.0:
            if abs(apart) > reach:
                return math.inf
            continue
        one, other = (-reach - apart) / moves, (reach - apart) / moves
        begin, end = max(begin, min(one, other)), min(end, max(one, other))
    return begin if begin <= end else math.inf


@compiled
def _beyond(x: float, y: float, turned: float, box: Numbers, yaw: float, mine: Numbers) -> float:
    """Return how far the nearest corner of a box at x, y lies from the box `mine` at 0, 0."""
    least = math.inf
    for one in (-0.5, 0.5):
        for two in (-0.5, 0.5):
            px = x + one * box[0] * math.cos(turned) - two * box[1] * math.sin(turned)
            py = y + one * box[0] * math.sin(turned) + two * box[1] * math.cos(turned)
            along = max(0.0, abs(px * math.cos(yaw) + py * math.sin(yaw)) - mine[0] / 2)
            across = max(0.0, abs(py * math.cos(yaw) - px * math.sin(yaw)) - mine[1] / 2)
            least = min(least, math.hypot(along, across))
    return least


@compiled
def box_distance(x: float, y: float, yaw: float, other_yaw: float, mine: Numbers, theirs: Numbers) -> float:
    """Return the distance between two boxes, metres; 0 where they touch.

    Args:
        x, y: of the other's centre, seen from the one's.
        mine, theirs: length and width, in places 0 and 1.
    """
    if box_touch(x, y, 0.0, 0.0, yaw, other_yaw, mine, theirs) == 0.0:
        return 0.0
    return min(_beyond(x, y, other_yaw, theirs, yaw, mine), _beyond(-x, -y, yaw, mine, other_yaw, theirs))


@compiled
def near(
    x: Numbers,
    y: Numbers,
    yaw: Numbers,
    vx: Numbers,
    vy: Numbers,
    sizes: Numbers,
    group: Indices,
    present: NDArray[np.bool_],
) -> Near:
    """Return who is near each road user at each step.

    Args:
        sizes: (V, 3) length, width, height. group: (V,) of GROUPS, -1 for none.
    """
    users, steps = x.shape
    shape = (users, steps)
    nearest, distance = np.full((3, users, steps), -1, np.int32), np.full((3, users, steps), np.nan)
    crosses = np.zeros(shape, np.bool_)
    oncoming, oncoming_m = np.full(shape, -1, np.int32), np.full(shape, np.nan)
    conflict, conflict_s = np.full(shape, -1, np.int32), np.full(shape, np.nan)
    order = np.empty(users, np.int64)
    reach = np.empty(users, np.float64)
    for user in range(users):
        reach[user] = math.hypot(sizes[user, 0], sizes[user, 1]) / 2
    for step in range(steps):
        by_x = np.argsort(np.where(np.isnan(x[:, step]), np.inf, x[:, step]))
        known = 0
        for at in range(users):
            if present[by_x[at], step]:
                order[known] = by_x[at]
                known += 1
        for at in range(known):
            me = order[at]
            cos, sin = math.cos(yaw[me, step]), math.sin(yaw[me, step])
            for way in (-1, 1):
                other_at = at + way
                while 0 <= other_at < known:
                    other = order[other_at]
                    dx, dy = x[other, step] - x[me, step], y[other, step] - y[me, step]
                    if abs(dx) > NEAR_M:
                        break
                    other_at += way
                    apart = math.hypot(dx, dy)
                    if apart > NEAR_M:
                        continue
                    of = group[other]
                    along, across = dx * cos + dy * sin, dy * cos - dx * sin
                    towards = math.cos(yaw[other, step] - yaw[me, step]) < ONCOMING
                    towards = towards and of == 0 and along > 0 and abs(across) < ONCOMING_ASIDE_M
                    closer = apart - reach[me] - reach[other]
                    is_nearest = of >= 0 and not closer >= distance[of, me, step]
                    if is_nearest or (towards and not closer >= oncoming_m[me, step]):
                        edge = box_distance(dx, dy, yaw[me, step], yaw[other, step], sizes[me], sizes[other])
                        if is_nearest and not edge >= distance[of, me, step]:
                            nearest[of, me, step], distance[of, me, step] = other, edge
                        if towards and not edge >= oncoming_m[me, step]:
                            oncoming[me, step], oncoming_m[me, step] = other, edge
                    rx, ry = vx[other, step] - vx[me, step], vy[other, step] - vy[me, step]
                    if not (dx * rx + dy * ry < 0 or closer <= 0):
                        continue
                    touch = box_touch(dx, dy, rx, ry, yaw[me, step], yaw[other, step], sizes[me], sizes[other])
                    if touch <= CONFLICT_S and not touch >= conflict_s[me, step]:
                        conflict[me, step], conflict_s[me, step] = other, touch
            walker = nearest[2, me, step]
            if walker >= 0:
                dx, dy = x[walker, step] - x[me, step], y[walker, step] - y[me, step]
                along, across = dx * cos + dy * sin, dy * cos - dx * sin
                walks = vy[walker, step] * cos - vx[walker, step] * sin
                inside = abs(across) <= sizes[me, 1] / 2 + 1.0
                comes = abs(across) <= ASIDE_M and across * walks < 0
                crosses[me, step] = 0 < along <= CROSSING_M and abs(walks) >= WALKS_MPS and (inside or comes)
    return Near(nearest, distance, crosses, oncoming, oncoming_m, conflict, conflict_s)
