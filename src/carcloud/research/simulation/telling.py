"""Outcomes from what machine code left behind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carcloud.research.grid import Grid
from carcloud.research.location import places
from carcloud.research.motion import KINDS, Motion
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.outcome import Outcome
from carcloud.research.simulation.settings import Settings
from carcloud.research.simulation.world import CRASHED, EGO, HIT, OVER, YAW, Flags, Floats, World, X, Y


def told(
    batch: Sequence[Scenario], world: World, history: Floats, faults: Sequence[str], settings: Settings
) -> list[Outcome]:
    """Return what came of each scenario of a batch."""
    grids: dict[int, Grid] = {}
    outcomes = []
    for at, scenario in enumerate(batch):
        over, hit, ego = (int(world.scene[at, place]) for place in (OVER, HIT, EGO))
        us = round(settings.step_s * 1e6)
        rows = history[at, : len(scenario.motion.users), : over + 1] if settings.keep else None
        left = None if rows is None or ego < 0 else _left(scenario, rows[ego], grids)
        outcomes.append(
            Outcome(
                scenario.id,
                None if rows is None else _motion(scenario, rows, settings),
                -1 if scenario.ego is None else scenario.ego,
                over + 1,
                over * us if hit >= 0 else None,
                scenario.motion.users[hit].track if hit >= 0 else None,
                float(world.impact[at]) if hit >= 0 else None,
                None if left is None else left * us,
                int(world.marks[at, CRASHED].sum()),
                faults[at],
            )
        )
    return outcomes


def _left(scenario: Scenario, row: Floats, grids: dict[int, Grid]) -> int | None:
    """Return the step at which the middle of the ego first was on no lane after it had been on one."""
    if scenario.map is None or not scenario.map.lanes:
        return None
    there = np.flatnonzero(~np.isnan(row[:, X]))
    code = KINDS.index(scenario.motion.users[scenario.motion.row(scenario.ego or 0)].kind)
    kinds = np.full(len(there), code, np.int32)
    grid = _grid(scenario.map, grids)
    x, y, yaw = (np.ascontiguousarray(row[there, column]) for column in (X, Y, YAW))
    inside: Flags = places(grid, x, y, yaw, kinds).inside
    begun = np.flatnonzero(inside)
    if not len(begun):
        return None
    out = np.flatnonzero(~inside[begun[0] :])
    return int(there[begun[0] + out[0]]) if len(out) else None


def _grid(roads: RoadMap, grids: dict[int, Grid]) -> Grid:
    if id(roads) not in grids:
        grids[id(roads)] = Grid.of(roads)
    return grids[id(roads)]


def _motion(scenario: Scenario, rows: Floats, settings: Settings) -> Motion:
    x, y, yaw, vx, vy, ax, ay = (np.ascontiguousarray(rows[..., column]) for column in range(7))
    present = ~np.isnan(x)
    z = np.where(present, _height(scenario, rows.shape[1], settings.step_s), np.nan)
    time_us = np.arange(rows.shape[1], dtype=np.int64) * round(settings.step_s * 1e6)
    return Motion(scenario.motion.users, time_us, x, y, z, yaw, vx, vy, ax, ay, present)


def _height(scenario: Scenario, steps: int, step_s: float) -> Floats:
    """Return z as recorded; a simulated road user stays as high as it was last recorded, 0 where it never was."""
    motion = scenario.motion
    at = np.minimum((np.arange(steps) * step_s / motion.step_s + 1e-6).astype(int), motion.shape[1] - 1)
    z: Floats = motion.z[:, at]
    known = ~np.isnan(z)
    if known.all():
        return z
    last = np.maximum.accumulate(np.where(known, np.arange(steps), 0), axis=1)
    held = np.take_along_axis(z, last, axis=1)
    return np.where(np.isnan(held), 0.0, held)
