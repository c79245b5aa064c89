"""Scenarios as machine code sees them: what is fixed, and what moves, as arrays of S scenarios and V road users.

Rules:
* A scenario of fewer road users than V leaves the rest empty; nothing ever looks at it.
* `cars` and `marks` are arrays of one row a property and one column a road user; the rows are named below.
* The recorded motion is in `World.log` and nowhere else: what a planner is given is made from `cars` and `marks` alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

LOG, PATH, LANE, STEADY, RAILS = 0, 1, 2, 3, 4
"""How a road user moves: as recorded; by the IDM along its own line; by IDM and MOBIL on lanes; steadily along its own
line; by the planner."""

EXTERNAL, REPLAY, CONSTANT, IDM, CC_HUMAN, REG157, RSS, FSM = range(8)
"""Who decides for the ego."""

X, Y, YAW, SPEED, PUSH, S, D, OLD_S, CHANGED, SHIFT, LENGTH, WIDTH, WISHED, PERCEIVED, JUDGED, ASIDE = range(16)
"""Rows of `cars`. S, D: on the own line or lane. OLD_S: on the lane that is being left. CHANGED: seconds since a change
of lanes began, -1 for none. SHIFT: D at its beginning. PERCEIVED, JUDGED: 1 + the time when the ego's driver did so of
this road user, 0 for never. ASIDE: how far aside of the ego's line it was at most."""
CAR_ROWS = 16

AT, ON, OLD, TURN, MODE, THERE, CRASHED, KIND, LINE, LINE_END, SCENE, ACROSS = range(12)
"""Rows of `marks`. AT: the point of the line before it. ON, OLD, TURN: the lane it is on, leaves, wants; -1 for none.
LINE, LINE_END: its own line. SCENE: what is said of the scenario as a whole, by the places below.
ACROSS: all users in the order of their x."""
MARK_ROWS = 12

USERS, EGO, STEPS, FIRST, LAST, OVER, HIT = range(7)
"""Places in the row SCENE. FIRST, LAST: its lanes. OVER: its last step, HIT: whom the ego touched; -1 while unknown."""
LEAST_USERS = 7

VX, VY, AX, AY, ALONG = range(3, 8)
"""Columns of recorded motion, after X, Y, YAW. ALONG: metres along its own line."""

BEGIN, END, LEFT, RIGHT, AFTER, AFTER_END, BEFORE, BEFORE_END, OPEN = range(9)
"""Columns of `lanes`: its points in `line`; the lanes beside it, -1 for none; those after and before it, in `links`;
whether it is driven on."""
HALF, CAP = 0, 1
"""Columns of `wide`: half its width, metres; how fast it is driven at most, metres a second."""


class Roads(NamedTuple):
    """The lanes of all maps: lanes (L, 9), wide (L, 2), links, and at which lanes each map begins and the last ends."""

    lanes: Counts
    wide: Floats
    links: Counts
    begins: Counts


class World(NamedTuple):
    """A batch: cars (S, CAR_ROWS, V), marks (S, MARK_ROWS, V), log (S, V, T, 8) with NaN where nobody is, key and order
    (S, 2 V), impact (S,), and all lines, of lanes first, (N, 4)."""

    cars: Floats
    marks: Counts
    log: Floats
    key: Floats
    order: Counts
    impact: Floats
    line: Floats
    roads: Roads

    @property
    def scene(self) -> Counts:
        """Return (S, V): what is said of each scenario as a whole."""
        return self.marks[:, SCENE]


def empty(count: int, users: int, steps: int, roads: Roads) -> World:
    """Return a batch in which nobody is yet."""
    users = max(users, LEAST_USERS)
    cars = np.zeros((count, CAR_ROWS, users))
    cars[:, CHANGED] = -1.0
    cars[:, (LENGTH, WIDTH, WISHED)] = 1.0
    marks = np.zeros((count, MARK_ROWS, users), np.int64)
    marks[:, (ON, OLD, TURN, SCENE)] = -1
    marks[:, ACROSS] = np.arange(users)
    order = np.tile(np.arange(2 * users, dtype=np.int64), (count, 1))
    log, key = np.full((count, users, steps, 8), np.nan), np.full((count, 2 * users), np.inf)
    return World(cars, marks, log, key, order, np.zeros(count), np.zeros((0, 4)), roads)
