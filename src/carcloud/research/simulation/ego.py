"""How the ego moves: on its route, or by its wheels."""

from __future__ import annotations

import math

from carcloud.research.simulation.compiled import inlined
from carcloud.research.simulation.following import driven
from carcloud.research.simulation.lines import nearest, place, turned
from carcloud.research.simulation.sight import line_of
from carcloud.research.simulation.world import AT, LENGTH, PUSH, SPEED, YAW, Counts, D, Floats, S, X, Y

WHEELBASE = 0.6
"""The share of a car's length that lies between its axles."""


@inlined
def on_rails(cars: Floats, marks: Counts, line: Floats, user: int, step_s: float) -> None:
    """Move along the own line at the acceleration that stands in the state."""
    way, after = driven(cars[SPEED, user], cars[PUSH, user], step_s)
    a, b = line_of(marks, user)
    cars[S, user] += way
    x, y, yaw, at = place(line, a, b, marks[AT, user], cars[S, user], cars[D, user])
    cars[X, user], cars[Y, user], cars[YAW, user], marks[AT, user] = x, y, yaw, at
    cars[PUSH, user] = (after - cars[SPEED, user]) / step_s
    cars[SPEED, user] = after


@inlined
def on_wheels(cars: Floats, marks: Counts, line: Floats, user: int, steer: float, step_s: float) -> None:
    """Move by a kinematic bicycle around the middle between the axles, which is that of the box.

    Source: Polack et al., "The kinematic bicycle model: a consistent model for planning feasible trajectories for
    autonomous vehicles?" (IV 2017), equations 2; over a step the car drives an arc, at its mean speed.
    """
    way, after = driven(cars[SPEED, user], cars[PUSH, user], step_s)
    slip = math.atan(math.tan(steer) / 2.0)
    turn = way * math.sin(slip) / (WHEELBASE * cars[LENGTH, user] / 2.0)
    heading = cars[YAW, user] + slip + turn / 2.0
    chord = way if abs(turn) < 1e-9 else way * math.sin(turn / 2.0) / (turn / 2.0)
    cars[X, user] += chord * math.cos(heading)
    cars[Y, user] += chord * math.sin(heading)
    cars[YAW, user] = turned(cars[YAW, user] + turn)
    cars[PUSH, user] = (after - cars[SPEED, user]) / step_s
    cars[SPEED, user] = after
    a, b = line_of(marks, user)
    near, far = marks[AT, user], cars[S, user] + 10.0
    while near > a and line[near, 3] > cars[S, user] - 5.0:
        near -= 1
    on, d, _, at = nearest(line, a, b, near, far, cars[X, user], cars[Y, user])
    cars[S, user], cars[D, user], marks[AT, user] = on, d, at
