"""Shapes: the corners of boxes, whether two of them meet, and how far apart they are.

Rules:
* A shape has four corners, (4, 2) metres, in order around it, and is convex. Touching counts as meeting.

Source: Ericson, "Real-Time Collision Detection" (2005), 5.2.1 (separating axes) and 5.1.2 (point and segment).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled

Numbers = NDArray[np.float64]


@compiled
def corners(x: Numbers, y: Numbers, yaw: Numbers, sizes: Numbers) -> Numbers:
    """Return (V, T, 4, 2): front left, front right, rear right, rear left of each box; NaN where it is absent."""
    users, steps = x.shape
    out = np.empty((users, steps, 4, 2))
    for v in range(users):
        ahead, aside = sizes[v, 0] / 2, sizes[v, 1] / 2
        for t in range(steps):
            c, s = math.cos(yaw[v, t]), math.sin(yaw[v, t])
            for k in range(4):
                a = ahead if k < 2 else -ahead
                b = aside if k == 0 or k == 3 else -aside
                out[v, t, k, 0] = x[v, t] + a * c - b * s
                out[v, t, k, 1] = y[v, t] + a * s + b * c
    return out


@compiled
def _parted(a: Numbers, b: Numbers) -> bool:
    """Tell whether an edge of a has all of b on its other side than a."""
    for k in range(4):
        n = (k + 1) % 4
        nx, ny = a[n, 1] - a[k, 1], a[k, 0] - a[n, 0]
        low_a, high_a, low_b, high_b = math.inf, -math.inf, math.inf, -math.inf
        for m in range(4):
            on = nx * a[m, 0] + ny * a[m, 1]
            low_a, high_a = min(low_a, on), max(high_a, on)
            on = nx * b[m, 0] + ny * b[m, 1]
            low_b, high_b = min(low_b, on), max(high_b, on)
        if high_a < low_b or high_b < low_a:
            return True
    return False


@compiled
def meet(a: Numbers, b: Numbers) -> bool:
    """Tell whether two shapes have a point in common."""
    return not (_parted(a, b) or _parted(b, a))


@compiled
def _point_to_segment(px: float, py: float, ax: float, ay: float, bx: float, by: float) -> float:
    dx, dy = bx - ax, by - ay
    along = dx * dx + dy * dy
    share = 0.0 if along == 0 else min(1.0, max(0.0, ((px - ax) * dx + (py - ay) * dy) / along))
    return math.hypot(px - ax - share * dx, py - ay - share * dy)


@compiled
def apart(a: Numbers, b: Numbers) -> float:
    """Return how far two shapes are from each other, metres; 0 where they meet."""
    if meet(a, b):
        return 0.0
    best = math.inf
    for k in range(4):
        n = (k + 1) % 4
        for m in range(4):
            best = min(best, _point_to_segment(b[m, 0], b[m, 1], a[k, 0], a[k, 1], a[n, 0], a[n, 1]))
            best = min(best, _point_to_segment(a[m, 0], a[m, 1], b[k, 0], b[k, 1], b[n, 0], b[n, 1]))
    return best
