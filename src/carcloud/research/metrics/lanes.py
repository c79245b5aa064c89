"""Which lanes the boxes stand in, and whether they stand on the road at all.

Rules:
* A box stands in every lane of which it covers a point. Two are in each other's lane where they share one, counting
  also the lanes that lead into those they stand in and those that follow.
* Off the road is a box of which a corner lies more than LEEWAY_M outside all lanes.

Source: Caesar et al., "nuPlan: A closed-loop ML-based planning benchmark for autonomous vehicles" (2021), drivable area
(the leeway).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled
from carcloud.research.metrics.shapes import meet
from carcloud.research.roads import RoadMap

Numbers = NDArray[np.float64]
Words = NDArray[np.uint64]

LEEWAY_M = 0.3
DRIVEN = ("driving", "ramp", "shoulder", "bicycle", "crossing", "parking")
"""The kinds of lanes that a car may stand in without being off the road."""
_BITS = 64


@dataclass(frozen=True)
class Lanes:
    """The lanes of a map as arrays: their quadrilaterals one after the other.

    Args:
        quads: (Q, 4, 2) metres. of: (Q,) the lane of each. bounds: (Q, 4) least x, least y, most x, most y.
        joined: (L, W) each lane's bits with those of the lanes before and after it.
    """

    quads: Numbers
    of: NDArray[np.int64]
    bounds: Numbers
    joined: Words


@dataclass(frozen=True)
class Standing:
    """Where boxes stand.

    Args:
        near: (V, T, W) bits of the lanes that count as theirs. lanes: (V, T) in how many they stand.
    """

    near: Words
    lanes: NDArray[np.int64]


def lanes_of(roads: RoadMap) -> Lanes | None:
    """Return a map's lanes that are driven on; None where it has none."""
    driven = [one for one in roads.lanes if one.kind in DRIVEN]
    if not driven:
        return None
    places = {one.name: at for at, one in enumerate(driven)}
    quads = [
        np.stack((one.left_edge[:-1], one.left_edge[1:], one.right_edge[1:], one.right_edge[:-1]), axis=1)
        for one in driven
    ]
    width = -(-len(driven) // _BITS)
    joined = np.zeros((len(driven), width), np.uint64)
    for at, one in enumerate(driven):
        for to in (at, *(places[name] for name in (*one.before, *one.after) if name in places)):
            joined[at, to // _BITS] |= np.uint64(1) << np.uint64(to % _BITS)
    shapes = np.ascontiguousarray(np.concatenate(quads))
    of = np.repeat(np.arange(len(driven)), [len(one) for one in quads])
    bounds = np.concatenate((shapes.min(axis=1), shapes.max(axis=1)), axis=1)
    return Lanes(shapes, of, np.ascontiguousarray(bounds), joined)


def standing(boxes: Numbers, lanes: Lanes) -> Standing:
    """Return in which lanes boxes stand; boxes: (V, T, 4, 2) metres."""
    near, count = _standing(boxes, lanes.quads, lanes.of, lanes.bounds, lanes.joined)
    return Standing(near, count)


def off_road(boxes: Numbers, lanes: Lanes) -> NDArray[np.bool_]:
    """Return (T,) whether a box is off the road; boxes: (T, 4, 2) metres."""
    middle = boxes.mean(axis=1, keepdims=True)
    ahead = (boxes[:, 0] - boxes[:, 3])[:, None]
    aside = (boxes[:, 0] - boxes[:, 1])[:, None]
    long, wide = np.hypot(*np.moveaxis(ahead, 2, 0)), np.hypot(*np.moveaxis(aside, 2, 0))
    signs = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) / 2
    length = np.maximum(long - 2 * LEEWAY_M, 0.0) / long
    breadth = np.maximum(wide - 2 * LEEWAY_M, 0.0) / wide
    held = middle + ahead * (length * signs[:, 0])[..., None] + aside * (breadth * signs[:, 1])[..., None]
    off: NDArray[np.bool_] = ~_on_road(np.ascontiguousarray(held), lanes.quads, lanes.bounds)
    return off


@compiled
def _standing(
    boxes: Numbers, quads: Numbers, of: NDArray[np.int64], bounds: Numbers, joined: Words
) -> tuple[Words, NDArray[np.int64]]:
    users, steps = boxes.shape[:2]
    words = joined.shape[1]
    near = np.zeros((users, steps, words), np.uint64)
    count = np.zeros((users, steps), np.int64)
    for v in range(users):
        for t in range(steps):
            box = boxes[v, t]
            left, right = box[:, 0].min(), box[:, 0].max()
            low, high = box[:, 1].min(), box[:, 1].max()
            if left != left:
                continue
            last = -1
            for q in range(len(quads)):
                if of[q] == last or bounds[q, 0] > right or bounds[q, 2] < left or bounds[q, 1] > high:
                    continue
                if bounds[q, 3] < low or not meet(box, quads[q]):
                    continue
                last = of[q]
                count[v, t] += 1
                for w in range(words):
                    near[v, t, w] |= joined[last, w]
    return near, count


@compiled
def _on_road(places: Numbers, quads: Numbers, bounds: Numbers) -> NDArray[np.bool_]:
    steps = len(places)
    on = np.ones(steps, np.bool_)
    for t in range(steps):
        for k in range(4):
            px, py = places[t, k, 0], places[t, k, 1]
            found = px != px
            for q in range(len(quads)):
                if bounds[q, 0] > px or bounds[q, 2] < px or bounds[q, 1] > py or bounds[q, 3] < py:
                    continue
                inside = False
                for m in range(4):
                    ax, ay = quads[q, m, 0], quads[q, m, 1]
                    bx, by = quads[q, (m + 1) % 4, 0], quads[q, (m + 1) % 4, 1]
                    if (ay > py) != (by > py) and px < (bx - ax) * (py - ay) / (by - ay) + ax:
                        inside = not inside
                if inside:
                    found = True
                    break
            if not found:
                on[t] = False
    return on
