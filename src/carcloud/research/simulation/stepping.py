"""The steps of a simulation, as machine code: who is where at the next step, and whom the ego touches there.

Rules:
* All decide by what was at the step before; then all move.
* A recorded road user comes and goes as it did. A simulated one comes when it was first seen, and goes where its lane
  ends.
* A simulated car that touches another brakes to a standstill and stays. The scenario ends where the ego touches.
"""

from __future__ import annotations

import math

from carcloud.research.simulation.boxes import touching
from carcloud.research.simulation.compiled import compiled, inlined
from carcloud.research.simulation.ego import on_rails, on_wheels
from carcloud.research.simulation.following import CHANGE_S, HARDEST, PONDER_STEPS, aside, driven, idm
from carcloud.research.simulation.lanes import ahead, extent, listed, onward
from carcloud.research.simulation.lines import place
from carcloud.research.simulation.r157 import asked
from carcloud.research.simulation.sight import lead, seen
from carcloud.research.simulation.traffic import PAUSE_S, after_whom, change, ponder, resting, slowing
from carcloud.research.simulation.where import find, follow
from carcloud.research.simulation.world import (
    ACROSS,
    ALONG,
    AT,
    AX,
    AY,
    BEGIN,
    CHANGED,
    CONSTANT,
    CRASHED,
    EGO,
    END,
    EXTERNAL,
    HIT,
    IDM,
    KIND,
    LANE,
    LENGTH,
    LOG,
    MODE,
    OLD,
    OLD_S,
    ON,
    OVER,
    PATH,
    PUSH,
    RAILS,
    SCENE,
    SHIFT,
    SPEED,
    STEADY,
    STEPS,
    THERE,
    TURN,
    USERS,
    VX,
    VY,
    WIDTH,
    WISHED,
    YAW,
    Counts,
    D,
    Floats,
    S,
    X,
    Y,
)

MOTORED = 4
"""Of `KINDS`, those before this place have a motor, and react."""
ASTRAY_M, REACT_M = 1.0, 50.0
"""A recorded car reacts to an ego that is so far from its recorded place, and so near ahead on the car's own line."""


@inlined
def replay(cars: Floats, log: Floats, user: int, k: int) -> bool:
    """Put a user where it was at a recorded step; False where it was nowhere."""
    if k >= log.shape[1] or math.isnan(log[user, k, X]):
        return False
    row = log[user, k]
    cos, sin = math.cos(row[YAW]), math.sin(row[YAW])
    cars[X, user], cars[Y, user], cars[YAW, user] = row[X], row[Y], row[YAW]
    cars[SPEED, user] = row[VX] * cos + row[VY] * sin
    cars[PUSH, user] = row[AX] * cos + row[AY] * sin
    cars[S, user] = row[ALONG]
    return True


@inlined
def arrive(cars: Floats, marks: Counts, log: Floats, line: Floats, lanes: Counts, wide: Floats, k: int) -> None:
    """Move all that are replayed, and let those come that were first seen now."""
    for user in range(marks[SCENE, USERS]):
        mode = marks[MODE, user]
        if mode == LOG:
            marks[THERE, user] = replay(cars, log, user, k)
        elif marks[TURN, user] == -1 and not marks[THERE, user] and replay(cars, log, user, k):
            marks[THERE, user] = True
            cars[SPEED, user] = max(cars[SPEED, user], 0.0)
            cars[PUSH, user] = 0.0
            if mode == LANE:
                find(cars, marks, line, lanes, wide, user)
                if marks[ON, user] < 0:
                    marks[MODE, user] = LOG


@inlined
def reacts(cars: Floats, marks: Counts, log: Floats, line: Floats, user: int, ego: int, k: int) -> bool:
    """Tell whether the ego is in a recorded car's way where it was not when recorded."""
    if k < log.shape[1] and not math.isnan(log[ego, k, X]):
        dx, dy = cars[X, ego] - log[ego, k, X], cars[Y, ego] - log[ego, k, Y]
        if dx * dx + dy * dy < ASTRAY_M * ASTRAY_M:
            return False
    near, free, d, half_long, half_wide, _, _ = seen(cars, marks, line, user, ego)
    middle = free + half_long + cars[LENGTH, user] / 2
    return near and middle > 0.0 and free < REACT_M and abs(d) < half_wide + cars[WIDTH, user] / 2


@inlined
def decide(
    cars: Floats,
    marks: Counts,
    key: Floats,
    order: Counts,
    line: Floats,
    lanes: Counts,
    wide: Floats,
    links: Counts,
    k: int,
    planner: int,
    step_s: float,
    seed: int,
) -> None:
    """Write what every simulated road user's acceleration will be, the ego's too unless an outer planner gives it."""
    driving = False
    for user in range(marks[SCENE, USERS]):
        driving = driving or (marks[THERE, user] and marks[MODE, user] == LANE)
    count = 0
    if driving:
        for user in range(marks[SCENE, USERS]):
            if marks[THERE, user] and marks[MODE, user] != LANE:
                follow(cars, marks, line, lanes, wide, links, user, k)
        count = listed(cars, marks, key, order)
    for user in range(marks[SCENE, USERS]):
        mode = marks[MODE, user]
        if not marks[THERE, user] or mode == LOG:
            continue
        if marks[CRASHED, user]:
            cars[PUSH, user] = -HARDEST
        elif mode == STEADY or (mode == RAILS and planner == CONSTANT):
            cars[PUSH, user] = 0.0
        elif mode == PATH or (mode == RAILS and planner == IDM):
            gap, speed, _ = lead(cars, marks, line, user)
            cars[PUSH, user] = idm(cars[SPEED, user], cars[WISHED, user], gap, speed)
        elif mode == RAILS and planner > IDM:
            cars[PUSH, user] = asked(cars, marks, line, user, planner, k * step_s, step_s)
        elif mode == LANE:
            lane, on = marks[ON, user], cars[S, user]
            far, who = ahead(key, order, count, line, lanes, links, lane, on, user, seed)
            own = after_whom(cars, user, far, who)
            if (k + user) % PONDER_STEPS == 0 and not resting(cars, user):
                ponder(cars, marks, key, order, count, line, lanes, links, user, own, seed)
            cars[PUSH, user] = min(own, slowing(line, lanes, wide, links, lane, on, cars[SPEED, user], user, seed))


@inlined
def along_lane(
    cars: Floats, marks: Counts, line: Floats, lanes: Counts, links: Counts, user: int, step_s: float, seed: int
) -> None:
    """Move a car on its lane, and over to it where it is changing lanes; it goes where the lane ends."""
    if marks[TURN, user] >= 0:
        change(cars, marks, line, lanes, user)
    way, after = driven(cars[SPEED, user], cars[PUSH, user], step_s)
    cars[PUSH, user] = (after - cars[SPEED, user]) / step_s
    cars[SPEED, user] = after
    cars[S, user] += way
    lane = marks[ON, user]
    while cars[S, user] > extent(line, lanes, lane):
        cars[S, user] -= extent(line, lanes, lane)
        lane = onward(lanes, links, lane, user, seed)
        if lane < 0:
            marks[THERE, user] = False
            marks[TURN, user] = -2
            return
        marks[ON, user], marks[AT, user] = lane, lanes[lane, BEGIN]
    slope = 0.0
    if cars[CHANGED, user] >= 0.0:
        cars[CHANGED, user] += step_s
        d = cars[SHIFT, user] * aside(cars[CHANGED, user] / CHANGE_S)
        slope = (d - cars[D, user]) / max(way, 0.1)
        cars[D, user] = d
        old = marks[OLD, user]
        if old >= 0:
            cars[OLD_S, user] += way
            if cars[OLD_S, user] > extent(line, lanes, old) or abs(d) < cars[WIDTH, user] / 2:
                marks[OLD, user] = -1
        if cars[CHANGED, user] > CHANGE_S + PAUSE_S:
            cars[CHANGED, user] = -1.0
    a, b = lanes[lane, BEGIN], lanes[lane, END]
    x, y, yaw, at = place(line, a, b, marks[AT, user], cars[S, user], cars[D, user])
    cars[X, user], cars[Y, user], marks[AT, user] = x, y, at
    cars[YAW, user] = yaw + math.atan(min(max(slope, -0.3), 0.3)) if slope != 0.0 else yaw


@inlined
def touch(cars: Floats, one: int, other: int) -> bool:
    """Tell whether two road users' boxes overlap."""
    reach = (cars[LENGTH, one] + cars[LENGTH, other] + cars[WIDTH, one] + cars[WIDTH, other]) / 2
    if abs(cars[X, one] - cars[X, other]) > reach or abs(cars[Y, one] - cars[Y, other]) > reach:
        return False
    return touching(
        cars[X, one],
        cars[Y, one],
        cars[YAW, one],
        cars[LENGTH, one],
        cars[WIDTH, one],
        cars[X, other],
        cars[Y, other],
        cars[YAW, other],
        cars[LENGTH, other],
        cars[WIDTH, other],
    )


@inlined
def collide(cars: Floats, marks: Counts, across: Counts) -> float:
    """Note whom the ego touches, and which simulated others touch anybody; return how fast the ego meets it.

    across: the users in the order of their x a step ago; they are sorted anew, and only neighbours are looked at.
    """
    ego, impact, count, widest = marks[SCENE, EGO], 0.0, 0, 0.0
    for i in range(len(across)):
        user = across[i]
        if marks[THERE, user]:
            widest = max(widest, cars[LENGTH, user] + cars[WIDTH, user])
            x, place_at = cars[X, user], count
            across[i], across[count] = across[count], user
            count += 1
            while place_at > 0 and cars[X, across[place_at - 1]] > x:
                across[place_at] = across[place_at - 1]
                place_at -= 1
            across[place_at] = user
    for i in range(count):
        one = across[i]
        for j in range(i + 1, count):
            other = across[j]
            if cars[X, other] - cars[X, one] > widest:
                break
            moved = marks[MODE, one] != LOG or marks[MODE, other] != LOG or one == ego or other == ego
            if not (moved and touch(cars, one, other)):
                continue
            for user in (one, other):
                if user != ego and marks[MODE, user] != LOG:
                    marks[CRASHED, user] = True
            if one == ego or other == ego:
                met = other if one == ego else one
                if marks[SCENE, HIT] < 0 or met < marks[SCENE, HIT]:
                    marks[SCENE, HIT] = met
                    impact = meeting(cars, one, other)
    return impact


@inlined
def meeting(cars: Floats, one: int, other: int) -> float:
    """Return how fast two move against each other."""
    speed, theirs = cars[SPEED, one], cars[SPEED, other]
    vx = speed * math.cos(cars[YAW, one]) - theirs * math.cos(cars[YAW, other])
    vy = speed * math.sin(cars[YAW, one]) - theirs * math.sin(cars[YAW, other])
    return math.sqrt(vx * vx + vy * vy)


@inlined
def write(cars: Floats, marks: Counts, log: Floats, history: Floats, k: int) -> None:
    """Write where everybody is."""
    for user in range(marks[SCENE, USERS]):
        if not marks[THERE, user]:
            continue
        row = history[user, k]
        if marks[MODE, user] == LOG:
            for column in range(7):
                row[column] = log[user, k, column]
            continue
        cos, sin = math.cos(cars[YAW, user]), math.sin(cars[YAW, user])
        row[X], row[Y], row[YAW] = cars[X, user], cars[Y, user], cars[YAW, user]
        row[VX], row[VY] = cars[SPEED, user] * cos, cars[SPEED, user] * sin
        row[AX], row[AY] = cars[PUSH, user] * cos, cars[PUSH, user] * sin


@inlined
def move(
    cars: Floats,
    marks: Counts,
    log: Floats,
    line: Floats,
    lanes: Counts,
    links: Counts,
    k: int,
    steer: float,
    step_s: float,
    react: bool,
    seed: int,
) -> None:
    """Move all that are simulated by one step."""
    ego = marks[SCENE, EGO]
    for user in range(marks[SCENE, USERS]):
        mode = marks[MODE, user]
        if not marks[THERE, user] or mode == LOG:
            continue
        if mode == LANE:
            along_lane(cars, marks, line, lanes, links, user, step_s, seed)
        elif mode == RAILS and not math.isnan(steer):
            on_wheels(cars, marks, line, user, steer, step_s)
        else:
            on_rails(cars, marks, line, user, step_s)
    if react and ego >= 0 and marks[THERE, ego]:
        for user in range(marks[SCENE, USERS]):
            replayed = marks[MODE, user] == LOG and user != ego and marks[THERE, user] and marks[KIND, user] < MOTORED
            if replayed and reacts(cars, marks, log, line, user, ego, k):
                marks[MODE, user] = PATH


@compiled
def advance(
    all_cars: Floats,
    all_marks: Counts,
    logs: Floats,
    keys: Floats,
    orders: Counts,
    impact: Floats,
    line: Floats,
    lanes: Counts,
    wide: Floats,
    links: Counts,
    history: Floats,
    planner: int,
    pushes: Floats,
    steers: Floats,
    begin: int,
    end: int,
    first: int,
    last: int,
    step_s: float,
    react: bool,
    seed: int,
) -> None:
    """Drive scenarios [first, last) from step `begin`, -1 for before the first, to step `end`.

    history: (S, V, T, 7) to write motion to, or none of it. pushes, steers: (S,) of an outer planner; a steer of NaN
    keeps the ego on its route.
    """
    for s in range(first, last):
        cars, marks, log = all_cars[s], all_marks[s], logs[s]
        ego, steps = marks[SCENE, EGO], marks[SCENE, STEPS]
        for k in range(begin, min(end, steps - 1)):
            if marks[SCENE, OVER] >= 0:
                break
            if k >= 0:
                decide(cars, marks, keys[s], orders[s], line, lanes, wide, links, k, planner, step_s, seed)
                if planner == EXTERNAL and ego >= 0 and marks[THERE, ego]:
                    cars[PUSH, ego] = pushes[s]
                move(cars, marks, log, line, lanes, links, k, steers[s], step_s, react, seed)
            arrive(cars, marks, log, line, lanes, wide, k + 1)
            if len(history) > s:
                write(cars, marks, log, history[s], k + 1)
            impact[s] = collide(cars, marks, marks[ACROSS])
            if marks[SCENE, HIT] >= 0 or k + 2 >= steps:
                marks[SCENE, OVER] = k + 1
