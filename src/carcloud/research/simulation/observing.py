"""What planners are shown: copies of what is there now."""

from __future__ import annotations

import math

import numpy as np

from carcloud.research.simulation.compiled import compiled
from carcloud.research.simulation.lines import place
from carcloud.research.simulation.planner import ROUTE_POINTS, ROUTE_STEP_M, Observation
from carcloud.research.simulation.sight import lead, line_of
from carcloud.research.simulation.world import (
    AT,
    EGO,
    KIND,
    LENGTH,
    OVER,
    PUSH,
    SCENE,
    SPEED,
    THERE,
    WIDTH,
    YAW,
    Counts,
    Floats,
    S,
    World,
    X,
    Y,
)


@compiled
def look(all_cars: Floats, all_marks: Counts, line: Floats, gap: Floats, lead_speed: Floats, route: Floats) -> None:
    """Write what is ahead of each ego on its route, and the points of the route."""
    for s in range(len(all_cars)):
        cars, marks = all_cars[s], all_marks[s]
        ego = marks[SCENE, EGO]
        if ego < 0 or marks[SCENE, OVER] >= 0 or not marks[THERE, ego]:
            continue
        gap[s], lead_speed[s], _ = lead(cars, marks, line, ego)
        a, b = line_of(marks, ego)
        at = marks[AT, ego]
        for point in range(route.shape[1]):
            on = cars[S, ego] + (point + 1) * ROUTE_STEP_M
            route[s, point, 0], route[s, point, 1], _, at = place(line, a, b, at, on, 0.0)


def observed(world: World, step: int, step_s: float) -> Observation:
    """Return what the egos see now."""
    cars, marks, ego = world.cars, world.marks, world.scene[:, EGO]
    count, users = cars.shape[0], cars.shape[2]
    gap, lead_speed = np.full(count, math.inf), np.full(count, math.nan)
    route = np.full((count, ROUTE_POINTS, 2), math.nan)
    look(cars, marks, world.line, gap, lead_speed, route)
    there = (marks[:, THERE] > 0) & (np.arange(users)[None] != ego[:, None])

    def own(row: int) -> Floats:
        return np.where(ego >= 0, cars[np.arange(count), row, ego], np.nan)

    def theirs(row: int) -> Floats:
        return np.where(there, cars[:, row], np.nan)

    return Observation(
        *(step * step_s, step_s),
        *(own(X), own(Y), own(YAW), own(SPEED), own(PUSH), own(LENGTH), own(WIDTH)),
        *(gap, lead_speed, route),
        *(theirs(X), theirs(Y), theirs(YAW), theirs(SPEED), theirs(LENGTH), theirs(WIDTH)),
        *(np.where(there, marks[:, KIND], 0).astype(np.int8), there),
        (ego >= 0) & (world.scene[:, OVER] < 0) & (marks[np.arange(count), THERE, ego] > 0),
    )
