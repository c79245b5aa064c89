"""Simulates scenarios: many at once, each to its end or to the ego's first collision.

Rules:
* What comes of a scenario depends on it, the planner and the settings alone: not on the scenarios beside it, nor on how
  many share them out.
* A planner of ours is part of the machine code. Any other is asked at every step, and shown what is there then.
* A planner that fails spoils its scenario, which is said in the outcome; the others go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from carcloud.errors import CarcloudError
from carcloud.research.motion import Motion
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.builtin import BuiltIn
from carcloud.research.simulation.observing import observed
from carcloud.research.simulation.outcome import Outcome
from carcloud.research.simulation.planner import HARDEST_BRAKE, LARGEST_STEER, STRONGEST_PUSH, Action, Planner
from carcloud.research.simulation.prepare import prepared, steps_of
from carcloud.research.simulation.settings import Settings
from carcloud.research.simulation.stepping import advance
from carcloud.research.simulation.world import CRASHED, EXTERNAL, HIT, OVER, STEPS, Counts, Floats, World

LIMIT_PLACES = 2_000_000
"""Road users times steps of the scenarios that are simulated at once: 256 MiB of recorded and simulated motion."""
LIMIT_AT_ONCE = 4096


class PlannerError(Exception):
    """A planner failed as a whole: nobody can say for which scenario."""


def simulate(scenarios: Sequence[Scenario], planner: Planner, settings: Settings | None = None) -> list[Outcome]:
    """Return what comes of each scenario, in their order."""
    return list(simulated(scenarios, planner, settings))


def simulated(scenarios: Sequence[Scenario], planner: Planner, settings: Settings | None = None) -> Iterator[Outcome]:
    """Yield what comes of each scenario, in their order."""
    settings = settings or Settings()
    for batch in _batches(scenarios, settings):
        yield from _driven(batch, planner, settings)


def _batches(scenarios: Sequence[Scenario], settings: Settings) -> Iterator[Sequence[Scenario]]:
    begin, users, steps = 0, 0, 0
    for at, scenario in enumerate(scenarios):
        here, long = max(scenario.motion.shape[0], 1), max(steps_of(scenario, settings), scenario.motion.shape[1])
        count, most = at + 1 - begin, max(users, here) * max(steps, long)
        if at > begin and (count > LIMIT_AT_ONCE or count * most > LIMIT_PLACES):
            yield scenarios[begin:at]
            begin, users, steps = at, 0, 0
        users, steps = max(users, here), max(steps, long)
    if begin < len(scenarios):
        yield scenarios[begin:]


def _driven(batch: Sequence[Scenario], planner: Planner, settings: Settings) -> list[Outcome]:
    """Drive a batch; where the planner fails as a whole, its halves, until it is known with whom it fails."""
    try:
        return _drive(batch, planner, settings)
    except PlannerError as error:
        if len(batch) == 1:
            return [Outcome(batch[0].id, None, _ego(batch[0]), 0, fault=str(error))]
        middle = len(batch) // 2
        return _driven(batch[:middle], planner, settings) + _driven(batch[middle:], planner, settings)


def _ego(scenario: Scenario) -> int:
    return -1 if scenario.ego is None else scenario.ego


def _drive(batch: Sequence[Scenario], planner: Planner, settings: Settings) -> list[Outcome]:
    inner = planner.code if isinstance(planner, BuiltIn) else EXTERNAL
    world = prepared(batch, settings, inner)
    steps = int(world.scene[:, STEPS].max())
    shape = (len(batch), world.cars.shape[2], steps, 7) if settings.keep else (0, 0, 0, 7)
    history, faults = np.full(shape, np.nan), [""] * len(batch)
    go = partial(_shared, world, history, inner, settings)
    none = np.full(len(batch), np.nan)
    if isinstance(planner, BuiltIn):
        go(none, none, -1, steps)
    else:
        planner.begin(len(batch), settings.seed)
        go(none, none, -1, 0)
        for step in range(steps - 1):
            if (world.scene[:, OVER] >= 0).all():
                break
            seen = observed(world, step, settings.step_s)
            action = _asked(planner, seen, len(batch))
            pushes, steers = _within(action, world.scene[:, OVER], faults, step)
            go(pushes, steers, step, step + 1)
    return [_outcome(one, at, world, history, faults[at], settings) for at, one in enumerate(batch)]


def _asked(planner: Planner, seen: object, count: int) -> Action:
    try:
        action = planner.plan(seen)  # type: ignore[arg-type]
        pushes = np.array(action.acceleration, np.float64)
        steers = None if action.steer is None else np.array(action.steer, np.float64)
        faults = dict(action.faults)
    except (PlannerError, CarcloudError):
        raise
    except Exception as error:
        raise PlannerError(f"The planner failed: {type(error).__name__}: {error}") from error
    if pushes.shape != (count,) or (steers is not None and steers.shape != (count,)):
        raise PlannerError(f"The planner answered for {pushes.shape} scenarios; there are {count}.")
    return Action(pushes, steers, faults)


def _within(action: Action, over: Counts, faults: list[str], step: int) -> tuple[Floats, Floats]:
    """Return accelerations and steering as a car can do them; who asks for no number is at fault, and ends here."""
    pushes = action.acceleration
    steers = np.full(len(pushes), np.nan) if action.steer is None else action.steer
    wrong = ~np.isfinite(pushes) | (~np.isfinite(steers) if action.steer is not None else False)
    for at in np.flatnonzero(wrong & (over < 0)):
        told = action.faults.get(int(at), "The planner answered with what is no finite number.")
        faults[at] = told
        over[at] = step
    pushes = np.where(wrong, 0.0, np.clip(pushes, HARDEST_BRAKE, STRONGEST_PUSH))
    return pushes, np.clip(steers, -LARGEST_STEER, LARGEST_STEER)


def _shared(
    world: World,
    history: Floats,
    planner: int,
    settings: Settings,
    pushes: Floats,
    steers: Floats,
    begin: int,
    end: int,
) -> None:
    count, roads = len(world.cars), world.roads
    batch = (world.cars, world.marks, world.log, world.key, world.order, world.impact)
    ground = (world.line, roads.lanes, roads.wide, roads.links)
    edges = [count * at // settings.threads for at in range(settings.threads + 1)]

    def part(first: int, last: int) -> None:
        span = (begin, end, first, last)
        advance(
            *(*batch, *ground, history, planner, pushes, steers, *span),
            step_s=settings.step_s,
            react=settings.react,
            seed=settings.seed,
        )

    if settings.threads == 1 or count == 1:
        part(0, count)
        return
    with ThreadPoolExecutor(settings.threads) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))


def _outcome(scenario: Scenario, at: int, world: World, history: Floats, fault: str, settings: Settings) -> Outcome:
    over, hit = (int(world.scene[at, place]) for place in (OVER, HIT))
    end_us = round(over * settings.step_s * 1e6)
    motion = _motion(scenario, history[at, :, : over + 1], settings) if settings.keep else None
    return Outcome(
        scenario.id,
        motion,
        _ego(scenario),
        over + 1,
        end_us if hit >= 0 else None,
        scenario.motion.users[hit].track if hit >= 0 else None,
        float(world.impact[at]) if hit >= 0 else None,
        None,
        int(world.marks[at, CRASHED].sum()),
        fault,
    )


def _motion(scenario: Scenario, rows: Floats, settings: Settings) -> Motion:
    users = scenario.motion.users
    columns = [np.ascontiguousarray(rows[: len(users), :, at]) for at in range(7)]
    present = ~np.isnan(columns[0])
    z = np.where(present, _height(scenario, rows.shape[1], settings.step_s), np.nan)
    time_us = np.rint(np.arange(rows.shape[1]) * settings.step_s * 1e6).astype(np.int64)
    x, y, yaw, vx, vy, ax, ay = columns
    return Motion(users, time_us, x, y, z, yaw, vx, vy, ax, ay, present)


def _height(scenario: Scenario, steps: int, step_s: float) -> Floats:
    """Return z as recorded, held where nothing was; a simulated car stays as high as it was last."""
    motion = scenario.motion
    places = np.minimum((np.arange(steps) * step_s / motion.step_s + 1e-6).astype(int), motion.shape[1] - 1)
    z = motion.z[:, places]
    known = ~np.isnan(z)
    if known.all():
        return z
    last = np.maximum.accumulate(np.where(known, np.arange(steps), 0), axis=1)
    held = np.take_along_axis(z, last, axis=1)
    return np.where(np.isnan(held), 0.0, held)
