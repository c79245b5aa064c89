"""How simulated cars on lanes decide: after whom they drive, and whether another lane is better."""

from __future__ import annotations

import math

from carcloud.research.simulation.compiled import inlined
from carcloud.research.simulation.following import CHANGE_S, COMFORT, idm, worth
from carcloud.research.simulation.lanes import ahead, behind, extent, onward
from carcloud.research.simulation.lines import nearest
from carcloud.research.simulation.world import (
    AT,
    BEGIN,
    CAP,
    CHANGED,
    END,
    LANE,
    LEFT,
    LENGTH,
    MODE,
    OLD,
    OLD_S,
    ON,
    OPEN,
    RIGHT,
    SCENE,
    SHIFT,
    SPEED,
    TURN,
    USERS,
    WISHED,
    Counts,
    D,
    Floats,
    S,
    X,
    Y,
)

PAUSE_S = 2.0
"""How long after a change of lanes a driver thinks of none."""


@inlined
def after_whom(cars: Floats, user: int, far: float, who: int) -> float:
    """Return the acceleration of the IDM behind somebody so far ahead, middle to middle; who -1 for nobody."""
    if who < 0:
        return idm(cars[SPEED, user], cars[WISHED, user], math.inf, 0.0)
    gap = far - (cars[LENGTH, user] + cars[LENGTH, who]) / 2
    return idm(cars[SPEED, user], cars[WISHED, user], gap, cars[SPEED, who])


@inlined
def slowing(
    line: Floats, lanes: Counts, wide: Floats, links: Counts, lane: int, on: float, speed: float, user: int, seed: int
) -> float:
    """Return the braking, a number below 0, that the next lane asks for since it is slower; inf where it asks none."""
    if speed > wide[lane, CAP]:
        return -COMFORT
    then = onward(lanes, links, lane, user, seed)
    if then < 0 or speed <= wide[then, CAP]:
        return math.inf
    cap = wide[then, CAP]
    need = (speed * speed - cap * cap) / (2 * max(extent(line, lanes, lane) - on, 1.0))
    return -need if need > COMFORT / 2 else math.inf


@inlined
def gain_of(
    cars: Floats,
    marks: Counts,
    key: Floats,
    order: Counts,
    count: int,
    line: Floats,
    lanes: Counts,
    links: Counts,
    user: int,
    to: int,
    own: float,
    seed: int,
) -> tuple[float, float]:
    """Return what a change to a lane is worth by MOBIL, and where on that lane it would be."""
    lane, on = marks[ON, user], cars[S, user]
    a, b = lanes[to, BEGIN], lanes[to, END]
    there, _, _, _ = nearest(line, a, b, a, math.inf, cars[X, user], cars[Y, user])
    if there < 0.0 or there > extent(line, lanes, to):
        return -math.inf, there
    far, who = ahead(key, order, count, line, lanes, links, to, there, user, seed)
    own_then = after_whom(cars, user, far, who)
    back, new = behind(key, order, count, line, lanes, links, to, there, user)
    new_now = new_then = 0.0
    if new >= 0:
        new_now = after_whom(cars, new, back + far, who)
        new_then = after_whom(cars, new, back, user)
    old_back, old = behind(key, order, count, line, lanes, links, lane, on, user)
    old_now = old_then = 0.0
    if old >= 0:
        old_far, old_who = ahead(key, order, count, line, lanes, links, lane, on, user, seed)
        old_now = after_whom(cars, old, old_back, user)
        old_then = after_whom(cars, old, old_back + old_far, old_who)
    return worth(own, own_then, new_now, new_then, old_now, old_then), there


@inlined
def ponder(
    cars: Floats,
    marks: Counts,
    key: Floats,
    order: Counts,
    count: int,
    line: Floats,
    lanes: Counts,
    links: Counts,
    user: int,
    own: float,
    seed: int,
) -> None:
    """Begin a change of lanes where MOBIL says so, and nobody else begins one to the same place now."""
    lane = marks[ON, user]
    best, best_to, best_s = 0.0, -1, 0.0
    for to in (lanes[lane, LEFT], lanes[lane, RIGHT]):
        if to >= 0 and lanes[to, OPEN]:
            gain, there = gain_of(cars, marks, key, order, count, line, lanes, links, user, to, own, seed)
            if gain > best:
                best, best_to, best_s = gain, to, there
    if best_to < 0:
        return
    for other in range(marks[SCENE, USERS]):
        rival = marks[MODE, other] == LANE and marks[TURN, other] == best_to
        if rival and abs(cars[SHIFT, other] - best_s) < cars[SPEED, user] + 10.0:
            return
    marks[TURN, user] = best_to
    cars[SHIFT, user] = best_s


@inlined
def change(cars: Floats, marks: Counts, line: Floats, lanes: Counts, user: int) -> None:
    """Carry out what `ponder` decided: from now on the car is on the other lane, beside its middle."""
    to = marks[TURN, user]
    a, b = lanes[to, BEGIN], lanes[to, END]
    on, d, _, at = nearest(line, a, b, a, math.inf, cars[X, user], cars[Y, user])
    marks[OLD, user], cars[OLD_S, user] = marks[ON, user], cars[S, user]
    marks[ON, user], cars[S, user], cars[D, user] = to, on, d
    marks[AT, user] = at
    cars[SHIFT, user] = d
    cars[CHANGED, user] = 0.0
    marks[TURN, user] = -1


@inlined
def resting(cars: Floats, user: int) -> bool:
    """Tell whether a driver changes lanes now or has just done so."""
    return bool(0.0 <= cars[CHANGED, user] < CHANGE_S + PAUSE_S)
