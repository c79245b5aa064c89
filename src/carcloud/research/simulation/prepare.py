"""From scenarios to what machine code drives: recorded motion at the simulation's steps, lines, lanes.

Rules:
* A scenario's rows are made from that scenario alone, so that it fares the same in any company.
* A road user's own line is where it was recorded to drive, a point each metre or more; on beyond its end straight. An
  ego that was recorded at one place only gets the lanes ahead of it.
* How fast a simulated car wants to be: as fast as it was ever recorded, and LEAST_MPS at least.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from carcloud.errors import InputError
from carcloud.research.motion import KINDS, Motion, wrapped
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.compiled import compiled
from carcloud.research.simulation.maps import NO_POINTS, NO_ROADS, flattened, route
from carcloud.research.simulation.settings import LIMIT_STEPS, Settings
from carcloud.research.simulation.world import (
    ALONG,
    KIND,
    LANE,
    LEAST_USERS,
    LENGTH,
    LINE,
    LINE_END,
    LOG,
    MODE,
    PATH,
    RAILS,
    REPLAY,
    STEADY,
    VX,
    VY,
    WIDTH,
    WISHED,
    YAW,
    Floats,
    Roads,
    World,
    X,
    Y,
    empty,
)

POINT_M = 1.0
LEAST_MPS = 1.0
DRIVEN = tuple(KINDS.index(kind) for kind in ("car", "truck", "bus", "motorcycle"))
"""Kinds that traffic `idm` moves; all others go as recorded."""


def steps_of(scenario: Scenario, settings: Settings) -> int:
    """Return how many steps a scenario is simulated, the first included."""
    recorded = float(scenario.motion.time_us[-1] - scenario.motion.time_us[0]) / 1e6
    steps = math.floor((settings.duration_s or recorded) / settings.step_s + 1e-6) + 1
    if steps > LIMIT_STEPS:
        raise InputError(f"{scenario.name} takes {steps} steps; at most {LIMIT_STEPS} are simulated.", "Say less time.")
    return steps


def recorded(motion: Motion, step_s: float) -> Floats:
    """Return recorded motion (V, T, 8) at steps of a simulation, straight between recorded ones; ALONG is yet NaN."""
    count = motion.shape[1]
    names = (motion.x, motion.y, motion.yaw, motion.vx, motion.vy, motion.ax, motion.ay)
    columns = np.stack([np.where(motion.present, one, np.nan) for one in names], axis=2)
    if count > 1 and abs(motion.step_s - step_s) > 1e-9:
        columns = _between(columns, motion.step_s, step_s)
    columns[..., 3:7] = np.where(np.isnan(columns[..., 3:7]) & ~np.isnan(columns[..., :1]), 0.0, columns[..., 3:7])
    return np.concatenate([columns, np.full((*columns.shape[:2], 1), np.nan)], axis=2)


def _between(columns: Floats, had_s: float, step_s: float) -> Floats:
    last = columns.shape[1] - 1
    places = np.arange(math.floor(last * had_s / step_s + 1e-6) + 1) * step_s / had_s
    before = np.minimum(np.floor(places + 1e-9).astype(int), last)
    after, share = np.minimum(before + 1, last), np.clip(places - before, 0.0, 1.0)[None, :, None]
    change = columns[:, after] - columns[:, before]
    change[..., YAW] = wrapped(change[..., YAW])
    made = np.where(share > 1e-6, columns[:, before] + share * change, columns[:, before])
    made[..., YAW] = wrapped(made[..., YAW])
    return made


@compiled
def line_along(row: Floats) -> Floats:
    """Return the line (N, 4) that a recorded row (T, 8) drove, and write its ALONG: metres on that line."""
    line = np.zeros((len(row) + 1, 4))
    count, way, last_way, on = 0, 0.0, 0.0, 0.0
    x = y = 0.0
    for k in range(len(row)):
        if math.isnan(row[k, X]):
            continue
        if count > 0:
            way += math.sqrt((row[k, X] - x) ** 2 + (row[k, Y] - y) ** 2)
        x, y = row[k, X], row[k, Y]
        if count == 0 or way - last_way >= POINT_M:
            if count > 0:
                on += math.sqrt((x - line[count - 1, 0]) ** 2 + (y - line[count - 1, 1]) ** 2)
            line[count, 0], line[count, 1], line[count, 2], line[count, 3] = x, y, row[k, YAW], on
            last_way, count = way, count + 1
        row[k, ALONG] = on + way - last_way
    return line[: max(count, 1)].copy()


def modes_of(scenario: Scenario, settings: Settings, planner: int) -> list[int]:
    """Return how each road user moves."""
    modes = []
    for user in scenario.motion.users:
        driven = KINDS.index(user.kind) in DRIVEN
        if user.track == scenario.ego:
            modes.append(LOG if planner == REPLAY else RAILS)
        elif settings.traffic == "idm" and driven:
            modes.append(LANE if scenario.map is not None else PATH)
        else:
            modes.append(STEADY if settings.traffic == "constant" and user.kind != "static" else LOG)
    return modes


def prepared(scenarios: Sequence[Scenario], settings: Settings, planner: int) -> World:
    """Return scenarios as machine code drives them."""
    maps = {id(one.map): one.map for one in scenarios if one.map is not None and one.map.lanes}
    places = {key: at for at, key in enumerate(maps)}
    roads, points = flattened(list(maps.values())) if maps else (NO_ROADS, NO_POINTS)
    logs = [recorded(one.motion, settings.step_s) for one in scenarios]
    users, steps = max(len(one) for one in logs), max(one.shape[1] for one in logs)
    world = empty(len(scenarios), users, steps, roads)
    lines, total = [points], len(points)
    for at, (scenario, log) in enumerate(zip(scenarios, logs, strict=True)):
        map_at = places.get(id(scenario.map), -1)
        for line, row in zip(_lines(scenario, log, roads, points, map_at), range(len(log)), strict=True):
            world.marks[at, (LINE, LINE_END), row] = total, total + len(line)
            lines.append(line)
            total += len(line)
        world.log[at, : len(log), : log.shape[1]] = log
        world.scene[at, :LEAST_USERS] = (
            *(len(log), _ego_row(scenario), steps_of(scenario, settings)),
            *((0, 0) if map_at < 0 else roads.begins[map_at : map_at + 2]),
            *(-1, -1),
        )
        _describe(world, at, scenario, log, settings, planner)
    return world._replace(line=np.concatenate(lines))


def _describe(world: World, at: int, scenario: Scenario, log: Floats, settings: Settings, planner: int) -> None:
    here, motion = len(log), scenario.motion
    world.cars[at, LENGTH, :here], world.cars[at, WIDTH, :here] = motion.sizes[:, 0], motion.sizes[:, 1]
    speeds = np.hypot(log[..., VX], log[..., VY])
    world.cars[at, WISHED, :here] = np.fmax.reduce(speeds, axis=1, initial=LEAST_MPS)
    world.marks[at, KIND, :here] = [KINDS.index(user.kind) for user in motion.users]
    world.marks[at, MODE, :here] = modes_of(scenario, settings, planner)


def _lines(scenario: Scenario, log: Floats, roads: Roads, points: Floats, map_at: int) -> list[Floats]:
    lines = [line_along(row) for row in log]
    ego = _ego_row(scenario)
    if ego >= 0 and map_at >= 0 and len(lines[ego]) == 1:
        lines[ego] = route(roads, points, map_at, lines[ego])
    return lines


def _ego_row(scenario: Scenario) -> int:
    return -1 if scenario.ego is None else scenario.motion.row(scenario.ego)
