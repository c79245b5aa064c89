"""On which lane a road user is."""

from __future__ import annotations

import math

from carcloud.research.simulation.compiled import inlined
from carcloud.research.simulation.lines import nearest, turned
from carcloud.research.simulation.world import (
    AFTER,
    AFTER_END,
    AT,
    BEGIN,
    END,
    FIRST,
    HALF,
    LAST,
    LEFT,
    OLD,
    OLD_S,
    ON,
    OPEN,
    RIGHT,
    SCENE,
    SHIFT,
    TURN,
    WIDTH,
    YAW,
    Counts,
    D,
    Floats,
    S,
    X,
    Y,
)

ALIKE = math.pi / 4
"""A car that comes belongs to a lane that it is not turned away from by more."""
SEEK_STEPS = 10
"""Who is on no lane is looked for on all of them at every so manieth step."""


@inlined
def on_any(
    line: Floats, lanes: Counts, wide: Floats, first: int, last: int, x: float, y: float, yaw: float
) -> tuple[int, float, float, int]:
    """Return the lane of [first, last) that a place lies on, s, d and the row before it; -1 for none."""
    best, found, found_s, found_d, found_at = math.inf, -1, 0.0, 0.0, 0
    for lane in range(first, last):
        if not lanes[lane, OPEN]:
            continue
        a, b = lanes[lane, BEGIN], lanes[lane, END]
        dx, dy = x - line[a, 0], y - line[a, 1]
        reach = line[b - 1, 3] + 10.0
        if dx * dx + dy * dy > reach * reach:
            continue
        s, d, heading, at = nearest(line, a, b, a, math.inf, x, y)
        if s < 0.0 or s > line[b - 1, 3] or abs(d) > wide[lane, HALF]:
            continue
        turn = abs(turned(yaw - heading))
        if turn < ALIKE and abs(d) + turn < best:
            best, found, found_s, found_d, found_at = abs(d) + turn, lane, s, d, at
    return found, found_s, found_d, found_at


@inlined
def find(cars: Floats, marks: Counts, line: Floats, lanes: Counts, wide: Floats, user: int) -> None:
    """Put a car that is to drive on lanes on the one that it is on; lane -1 where it is on none."""
    marks[ON, user] = -1
    first, last = marks[SCENE, FIRST], marks[SCENE, LAST]
    found, on, d, at = on_any(line, lanes, wide, first, last, cars[X, user], cars[Y, user], cars[YAW, user])
    marks[ON, user] = found
    cars[S, user], cars[D, user], marks[AT, user] = on, d, at


@inlined
def lies_on(line: Floats, lanes: Counts, wide: Floats, lane: int, x: float, y: float) -> tuple[bool, float, float]:
    """Return whether a place lies on a lane, s and d."""
    a, b = lanes[lane, BEGIN], lanes[lane, END]
    s, d, _, _ = nearest(line, a, b, a, math.inf, x, y)
    return 0.0 <= s <= line[b - 1, 3] and abs(d) <= wide[lane, HALF], s, d


@inlined
def still_on(
    line: Floats, lanes: Counts, wide: Floats, links: Counts, lane: int, x: float, y: float
) -> tuple[int, float, float]:
    """Return the lane a place lies on, of one and those after and beside it, s and d; -1 for none."""
    on, s, d = lies_on(line, lanes, wide, lane, x, y)
    if on:
        return lane, s, d
    for i in range(lanes[lane, AFTER], lanes[lane, AFTER_END]):
        on, s, d = lies_on(line, lanes, wide, links[i], x, y)
        if on:
            return links[i], s, d
    for beside in (lanes[lane, LEFT], lanes[lane, RIGHT]):
        if beside >= 0:
            on, s, d = lies_on(line, lanes, wide, beside, x, y)
            if on:
                return beside, s, d
    return -1, 0.0, 0.0


@inlined
def follow(
    cars: Floats, marks: Counts, line: Floats, lanes: Counts, wide: Floats, links: Counts, user: int, k: int
) -> None:
    """Keep account of the lane that another than a car on lanes is on, and of the one that its box reaches into.

    They stand where a car on lanes has the lane that it leaves, and that which it wants.
    """
    x, y, lane = cars[X, user], cars[Y, user], marks[OLD, user]
    found, on, d = (-1, 0.0, 0.0) if lane < 0 else still_on(line, lanes, wide, links, lane, x, y)
    if found < 0 and (lane >= 0 or (k + user) % SEEK_STEPS == 0):
        first, last = marks[SCENE, FIRST], marks[SCENE, LAST]
        found, on, d, _ = on_any(line, lanes, wide, first, last, x, y, cars[YAW, user])
    marks[OLD, user], cars[OLD_S, user], marks[TURN, user] = found, on, -1
    if found >= 0 and abs(d) + cars[WIDTH, user] / 2 > wide[found, HALF]:
        beside = lanes[found, LEFT] if d > 0.0 else lanes[found, RIGHT]
        if beside >= 0:
            a, b = lanes[beside, BEGIN], lanes[beside, END]
            there, _, _, _ = nearest(line, a, b, a, math.inf, x, y)
            marks[TURN, user], cars[SHIFT, user] = beside, there
