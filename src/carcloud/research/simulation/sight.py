"""What is on a road user's own line ahead of it."""

from __future__ import annotations

import math

from carcloud.research.simulation.compiled import inlined
from carcloud.research.simulation.lines import nearest, turned
from carcloud.research.simulation.world import (
    AT,
    LENGTH,
    LINE,
    LINE_END,
    SCENE,
    SPEED,
    THERE,
    USERS,
    WIDTH,
    YAW,
    Counts,
    D,
    Floats,
    S,
    X,
    Y,
)

SIGHT_M = 150.0


@inlined
def line_of(marks: Counts, user: int) -> tuple[int, int]:
    """Return the rows [a, b) of a user's own line."""
    return marks[LINE, user], marks[LINE_END, user]


@inlined
def seen(
    cars: Floats, marks: Counts, line: Floats, user: int, other: int
) -> tuple[bool, float, float, float, float, float, float]:
    """Return whether another is near and not behind, and how it lies to a user's own line.

    That is: metres free ahead of the user's front, negative beside it; the other's d less the user's; half the other's
    length and width along and across the line; its speed along the line, and to the left of it.
    """
    dx, dy = cars[X, other] - cars[X, user], cars[Y, other] - cars[Y, user]
    reach = SIGHT_M + cars[LENGTH, other]
    along = dx * math.cos(cars[YAW, user]) + dy * math.sin(cars[YAW, user])
    if dx * dx + dy * dy > reach * reach or along < -(cars[LENGTH, user] + cars[LENGTH, other]):
        return False, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    a, b = line_of(marks, user)
    own = cars[S, user]
    on, d, yaw, _ = nearest(line, a, b, marks[AT, user], own + reach, cars[X, other], cars[Y, other])
    turn = turned(cars[YAW, other] - yaw)
    cos, sin = math.cos(turn), math.sin(turn)
    half_long = (cars[LENGTH, other] * abs(cos) + cars[WIDTH, other] * abs(sin)) / 2
    half_wide = (cars[LENGTH, other] * abs(sin) + cars[WIDTH, other] * abs(cos)) / 2
    free = on - own - cars[LENGTH, user] / 2 - half_long
    speed = cars[SPEED, other]
    return True, free, d - cars[D, user], half_long, half_wide, speed * cos, speed * sin


@inlined
def lead(cars: Floats, marks: Counts, line: Floats, user: int) -> tuple[float, float, int]:
    """Return the free distance to the nearest ahead that reaches into a user's way, its speed, who; inf, NaN, -1."""
    best, speed, who = math.inf, math.nan, -1
    for other in range(marks[SCENE, USERS]):
        if other == user or not marks[THERE, other]:
            continue
        near, free, d, half_long, half_wide, along, _ = seen(cars, marks, line, user, other)
        middle = free + half_long + cars[LENGTH, user] / 2
        if near and middle > 0.0 and abs(d) < half_wide + cars[WIDTH, user] / 2 and free < best:
            best, speed, who = free, along, other
    return best, speed, who
