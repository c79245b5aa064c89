"""Lines that are driven along: points of x, y, yaw and the distance s from the first, as machine code sees them.

Rules:
* A line is a range [a, b) of rows of one array (N, 4): x, y in metres, yaw in radians, s in metres.
* Before its first and after its last point a line goes on straight.
* d is the distance to the left of the line.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carcloud.research.simulation.compiled import inlined

Line = NDArray[np.float64]


@inlined
def turned(angle: float) -> float:
    """Return an angle in (-pi, pi]."""
    while angle > math.pi:
        angle -= 2 * math.pi
    while angle <= -math.pi:
        angle += 2 * math.pi
    return angle


@inlined
def place(line: Line, a: int, b: int, near: int, s: float, d: float) -> tuple[float, float, float, int]:
    """Return x, y, yaw at s and d of a line, and the row before it; `near` is the row to look from."""
    at = min(max(near, a), b - 1)
    while at > a and line[at, 3] > s:
        at -= 1
    while at + 1 < b and line[at + 1, 3] <= s:
        at += 1
    if s < line[a, 3] or at + 1 >= b:
        yaw = line[at, 2]
        on = s - line[at, 3]
        x = line[at, 0] + on * math.cos(yaw)
        y = line[at, 1] + on * math.sin(yaw)
    else:
        share = (s - line[at, 3]) / (line[at + 1, 3] - line[at, 3])
        yaw = turned(line[at, 2] + share * turned(line[at + 1, 2] - line[at, 2]))
        x = line[at, 0] + share * (line[at + 1, 0] - line[at, 0])
        y = line[at, 1] + share * (line[at + 1, 1] - line[at, 1])
    if d != 0.0:
        x -= d * math.sin(yaw)
        y += d * math.cos(yaw)
    return x, y, yaw, at


@inlined
def nearest(
    line: Line, a: int, b: int, start: int, s_end: float, x: float, y: float
) -> tuple[float, float, float, int]:
    """Return s, d and yaw of the place nearest to x, y, from row `start` on up to s_end, and the row before it."""
    best = math.inf
    found_s = found_d = found_yaw = 0.0
    found = at = min(max(start, a), b - 1)
    while True:
        last = at + 1 >= b
        if last:
            ux, uy = math.cos(line[at, 2]), math.sin(line[at, 2])
            span = math.inf
        else:
            span = line[at + 1, 3] - line[at, 3]
            ux, uy = (line[at + 1, 0] - line[at, 0]) / span, (line[at + 1, 1] - line[at, 1]) / span
        dx, dy = x - line[at, 0], y - line[at, 1]
        on = dx * ux + dy * uy
        if on < 0.0 and at > a:
            on = 0.0
        elif on > span:
            on = span
        aside_x, aside_y = dx - on * ux, dy - on * uy
        far = aside_x * aside_x + aside_y * aside_y
        if far < best:
            best, found = far, at
            found_s = line[at, 3] + on
            side = ux * dy - uy * dx
            found_d = math.copysign(math.sqrt(far), side)
            if last or on < 0.0:
                found_yaw = line[at, 2]
            else:
                found_yaw = turned(line[at, 2] + on / span * turned(line[at + 1, 2] - line[at, 2]))
        if last or line[at + 1, 3] > s_end:
            return found_s, found_d, found_yaw, found
        at += 1
