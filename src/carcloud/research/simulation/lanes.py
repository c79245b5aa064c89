"""Who drives before and behind whom on lanes, as machine code asks it.

Rules:
* All cars of a scenario stand in one list, sorted by lane and distance along it; a car that leaves a lane for another
  stands in it twice until it has left.
* At a fork a car turns by a number made of the seed, its own number and the lane's: always the same way.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from carcloud.research.simulation.compiled import inlined
from carcloud.research.simulation.world import (
    AFTER,
    AFTER_END,
    BEFORE,
    BEFORE_END,
    END,
    LANE,
    MODE,
    OLD,
    OLD_S,
    ON,
    SCENE,
    SHIFT,
    THERE,
    TURN,
    USERS,
    Counts,
    Floats,
    S,
)

APART = 1_000_000.0
"""Metres between two lanes' beginnings in the list's keys: no lane is as long."""
REACH_M = 150.0
"""How far ahead and behind drivers look."""


@inlined
def onward(lanes: Counts, links: Counts, lane: int, user: int, seed: int) -> int:
    """Return the lane that a user goes on to at the end of a lane, -1 where none leads on."""
    first, last = lanes[lane, AFTER], lanes[lane, AFTER_END]
    if last - first <= 1:
        return int(links[first]) if last > first else -1
    mixed = (seed % 1_000_003 * 31 + lane * 7919 + user * 104_729 + 12_345) % 2_147_483_647
    mixed = mixed * 48_271 % 2_147_483_647
    mixed = mixed * 48_271 % 2_147_483_647
    return int(links[first + mixed % (last - first)])


@inlined
def extent(line: Floats, lanes: Counts, lane: int) -> float:
    """Return a lane's length."""
    return float(line[lanes[lane, END] - 1, 3])


@inlined
def sort(key: NDArray[np.float64], order: NDArray[np.int64]) -> int:
    """Sort the list, which is nearly sorted already; return how many stand in it."""
    standing = 0
    for i in range(len(key)):
        value, who = key[i], order[i]
        if value != math.inf:
            standing += 1
        j = i
        while j > 0 and (key[j - 1] > value or (key[j - 1] == value and order[j - 1] > who)):
            key[j], order[j] = key[j - 1], order[j - 1]
            j -= 1
        key[j], order[j] = value, who
    return standing


@inlined
def listed(cars: Floats, marks: Counts, key: Floats, order: Counts) -> int:
    """Write the list of a scenario anew, in the order of the last step, and sort it."""
    width = len(order) // 2
    for i in range(len(order)):
        who = order[i]
        user = who if who < width else who - width
        key[i] = math.inf
        if user < marks[SCENE, USERS] and marks[THERE, user]:
            if who >= width:
                lane, s = marks[OLD, user], cars[OLD_S, user]
            elif marks[MODE, user] == LANE:
                lane, s = marks[ON, user], cars[S, user]
            else:
                lane, s = marks[TURN, user], cars[SHIFT, user]
            if lane >= 0:
                key[i] = lane * APART + min(max(s, 0.0), APART - 1)
    return sort(key, order)


@inlined
def place_of(key: NDArray[np.float64], count: int, value: float) -> int:
    """Return the first place of the list whose key is at least a value."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if key[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low


@inlined
def ahead(
    key: Floats,
    order: Counts,
    count: int,
    line: Floats,
    lanes: Counts,
    links: Counts,
    lane: int,
    s: float,
    user: int,
    seed: int,
) -> tuple[float, int]:
    """Return how far the next one ahead is, middle to middle, and who; inf and -1 where nobody is near."""
    width = len(order) // 2
    passed, begin = 0.0, s
    while True:
        i = place_of(key, count, lane * APART + begin)
        while i < count and key[i] < (lane + 1) * APART:
            who = order[i] if order[i] < width else order[i] - width
            if who != user:
                return passed + key[i] - lane * APART - s, int(who)
            i += 1
        passed += extent(line, lanes, lane)
        if passed - s > REACH_M:
            return math.inf, -1
        lane, begin = onward(lanes, links, lane, user, seed), 0.0
        if lane < 0:
            return math.inf, -1


@inlined
def behind(
    key: Floats, order: Counts, count: int, line: Floats, lanes: Counts, links: Counts, lane: int, s: float, user: int
) -> tuple[float, int]:
    """Return how far the next one behind is, middle to middle, and who; at most one lane back."""
    width = len(order) // 2
    i = place_of(key, count, lane * APART + s) - 1
    while i >= 0 and key[i] >= lane * APART:
        who = order[i] if order[i] < width else order[i] - width
        if who != user:
            return s - (key[i] - lane * APART), int(who)
        i -= 1
    best, found = math.inf, -1
    for at in range(lanes[lane, BEFORE], lanes[lane, BEFORE_END]):
        back = links[at]
        i = place_of(key, count, (back + 1) * APART) - 1
        if i >= 0 and key[i] >= back * APART:
            who = order[i] if order[i] < width else order[i] - width
            far = s + extent(line, lanes, back) - (key[i] - back * APART)
            if who != user and far < best and far < REACH_M:
                best, found = far, int(who)
    return best, found
