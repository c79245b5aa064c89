"""Which lane leads where, as arrays; and lane changes, told from a road user's swaying between lanes.

Rules:
* A road user changes lanes where its centre crosses into the lane beside, comes 0.5 m or more inside, and is not back
  within a second (half of one at a scenario's end). What lies further along the same lane is no change.
* A lane that is neither further along nor beside, such as one that crosses in a junction, becomes its lane after half a
  second without a change being told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled
from carcloud.research.mining.catalogue import CHANGED_S
from carcloud.research.mining.slopes import half_of
from carcloud.research.motion import Numbers
from carcloud.research.roads import RoadMap

Indices = NDArray[np.int32]
INSIDE_M = 0.5
ASTRAY_S = 0.5
HOPS = 3
"""Lanes further along that are still the same lane."""
MANY = 64
"""Lanes that are looked through at most."""


@dataclass(frozen=True)
class LaneGraph:
    """The lanes of a map as arrays, a place a lane.

    Args:
        length, width: (L,) metres.
        left, right: (L,) the lane beside, driven the same way; -1 where there is none.
        after: (L, most) lanes that it leads into, then -1. before: likewise, those that lead into it.
    """

    length: Numbers
    width: Numbers
    left: Indices
    right: Indices
    after: Indices
    before: Indices


def graph_of(roads: RoadMap) -> LaneGraph:
    """Return the lanes of a map as arrays."""
    place = {lane.name: at for at, lane in enumerate(roads.lanes)}
    after, before = (
        [[place[n] for n in names if n in place] for names in ends]
        for ends in ([lane.after for lane in roads.lanes], [lane.before for lane in roads.lanes])
    )
    return LaneGraph(
        np.array([lane.length for lane in roads.lanes], np.float64),
        np.array([float(np.hypot(*(lane.left_edge - lane.right_edge).T).mean()) for lane in roads.lanes], np.float64),
        np.array([place.get(lane.left, -1) for lane in roads.lanes], np.int32),
        np.array([place.get(lane.right, -1) for lane in roads.lanes], np.int32),
        _padded(after),
        _padded(before),
    )


def _padded(lists: list[list[int]]) -> Indices:
    padded = np.full((len(lists), max([1, *map(len, lists)])), -1, np.int32)
    for at, listed in enumerate(lists):
        padded[at, : len(listed)] = listed
    return padded


@compiled
def leads_to(lane: int, other: int, after: Indices, hops: int) -> bool:
    """Tell whether another lane is this one or lies along it, so many lanes further at most."""
    if lane == other:
        return True
    waiting, depth = np.empty(MANY, np.int32), np.empty(MANY, np.int32)
    waiting[0], depth[0], count, at = lane, 0, 1, 0
    while at < count:
        if depth[at] < hops:
            for following in after[waiting[at]]:
                if following == other:
                    return True
                if following >= 0 and count < MANY:
                    waiting[count], depth[count] = following, depth[at] + 1
                    count += 1
        at += 1
    return False


@compiled
def _side(lane: int, other: int, left: Indices, right: Indices, after: Indices, before: Indices) -> int:
    """Return 1 where another lane is to the left of this one or of what lies next along it, 2 to the right, else 0."""
    near = np.empty(MANY, np.int32)
    near[0], count = lane, 1
    for following in after[lane]:
        if following >= 0 and count < MANY:
            near[count] = following
            count += 1
    for following in before[lane]:
        if following >= 0 and count < MANY:
            near[count] = following
            count += 1
    for at in range(count):
        if left[near[at]] == other:
            return 1
        if right[near[at]] == other:
            return 2
    for at in range(count):
        if left[near[at]] >= 0 and leads_to(left[near[at]], other, after, 1):
            return 1
        if right[near[at]] >= 0 and leads_to(right[near[at]], other, after, 1):
            return 2
    return 0


@compiled
def _crossings(
    lane: Indices,
    d: Numbers,
    width: Numbers,
    left: Indices,
    right: Indices,
    after: Indices,
    before: Indices,
    stays: int,
    strays: int,
) -> NDArray[np.int8]:
    users, steps = lane.shape
    found = np.zeros((users, steps), np.int8)
    for user in range(users):
        current, side, begun, other, inside = -1, 0, -1, -1, False
        lost = 0
        for step in range(steps):
            now = lane[user, step]
            if now < 0:
                continue
            if current < 0 or leads_to(current, now, after, HOPS) or leads_to(now, current, after, 1):
                current, side, lost = now, 0, 0
                continue
            if side and not (leads_to(other, now, after, HOPS) or leads_to(now, other, after, 1)):
                further = _side(other, now, left, right, after, before)
                if inside and further:
                    found[user, begun], current = side, other
                side = 0
            if not side:
                side = _side(current, now, left, right, after, before)
                begun, inside = step, False
            if not side:
                lost += 1
                if lost >= strays:
                    current, lost = now, 0
                continue
            other, lost = now, 0
            inside = inside or abs(d[user, step]) <= width[now] / 2 - INSIDE_M
            if inside and (step - begun >= stays or (step == steps - 1 and 2 * (step - begun) >= stays)):
                found[user, begun], current, side = side, now, 0
    return found


def crossings(lane: Indices, d: Numbers, graph: LaneGraph, step_s: float) -> NDArray[np.int8]:
    """Return (V, T): 1 where a change to the left crosses into the other lane, 2 to the right, else 0.

    Args:
        lane: (V, T) places of lanes, -1 where it is in none. d: (V, T) metres to the left of its middle.
    """
    return _crossings(
        lane,
        d,
        graph.width,
        graph.left,
        graph.right,
        graph.after,
        graph.before,
        half_of(CHANGED_S, step_s),
        half_of(ASTRAY_S, step_s),
    )


def last_crossing(crossed: NDArray[np.int8]) -> Indices:
    """Return (V, T): the step of the last lane change up to each step; -1 where there was none."""
    steps = np.arange(crossed.shape[1])
    last: Indices = np.maximum.accumulate(np.where(crossed > 0, steps, -1), axis=1).astype(np.int32)
    return last
