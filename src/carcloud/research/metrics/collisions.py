"""Collisions, and whose fault each is.

Rules:
* Two collide when their boxes meet that were apart before; who overlaps from the beginning must first be apart.
* A collision counts as the ego's fault, unless by the first of these that holds it does not:
  `standing`: the ego stood (not its fault); `stopped`: the other stood (its fault); `behind`: the ego is hit from
  behind (not its fault); `front`: its own front hits (its fault); `side`: its fault where it stands in more than one
  lane, or off the road, or where no map tells.
* Somebody stands below STANDS_MPS. Whoever's centre is in the rear sector of the ego's (BEHIND_RAD to both sides of
  straight ahead, and beyond) is behind it.

Source: Caesar et al., "nuPlan" (2021), no at-fault collisions: the classes and their order; the code is our own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.metrics.lanes import Standing
from carcloud.research.metrics.shapes import meet
from carcloud.research.motion import Motion

Numbers = NDArray[np.float64]

STANDS_MPS = 0.05
BEHIND_RAD = math.radians(150)


@dataclass(frozen=True)
class Collision:
    """A collision of an ego.

    Args:
        step: at which the boxes first meet. other: the row of whom it meets.
        how: `standing`, `stopped`, `behind`, `front` or `side`.
        fault: whether it counts as the ego's.
    """

    step: int
    other: int
    how: str
    fault: bool


def collisions_of(
    motion: Motion,
    ego: int,
    boxes: Numbers,
    distance: Numbers,
    standing: Standing | None,
    off_road: NDArray[np.bool_] | None,
) -> list[Collision]:
    """Return an ego's collisions in the order of time, at most one with each road user.

    Args:
        distance: (V, T) metres between the boxes of the ego and all others, NaN where one is absent.
    """
    found = []
    for other in range(len(motion.users)):
        was_apart = False
        for step in np.flatnonzero(~np.isnan(distance[other])):
            if distance[other, step] > 0:
                was_apart = True
            elif was_apart:
                found.append(_judged(motion, ego, boxes, standing, off_road, int(step), other))
                break
    return sorted(found, key=lambda one: (one.step, one.other))


def _judged(
    motion: Motion,
    ego: int,
    boxes: Numbers,
    standing: Standing | None,
    off_road: NDArray[np.bool_] | None,
    step: int,
    other: int,
) -> Collision:
    if math.hypot(motion.vx[ego, step], motion.vy[ego, step]) <= STANDS_MPS:
        return Collision(step, other, "standing", False)
    if math.hypot(motion.vx[other, step], motion.vy[other, step]) <= STANDS_MPS:
        return Collision(step, other, "stopped", True)
    to = math.atan2(motion.y[other, step] - motion.y[ego, step], motion.x[other, step] - motion.x[ego, step])
    if abs(math.remainder(to - motion.yaw[ego, step], 2 * math.pi)) >= BEHIND_RAD:
        return Collision(step, other, "behind", False)
    left, right = boxes[ego, step, 0], boxes[ego, step, 1]
    if meet(np.stack((left, right, right, left)), np.ascontiguousarray(boxes[other, step])):
        return Collision(step, other, "front", True)
    in_one = standing is not None and standing.lanes[ego, step] <= 1
    on_road = off_road is None or not off_road[step]
    return Collision(step, other, "side", not (in_one and on_road))
