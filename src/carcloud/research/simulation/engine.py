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
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.builtin import BuiltIn
from carcloud.research.simulation.observing import observed
from carcloud.research.simulation.outcome import Outcome
from carcloud.research.simulation.planner import (
    HARDEST_BRAKE,
    LARGEST_STEER,
    STRONGEST_PUSH,
    Action,
    Observation,
    Planner,
    PlannerError,
    checked,
    failed,
)
from carcloud.research.simulation.prepare import prepared, steps_of
from carcloud.research.simulation.settings import Settings
from carcloud.research.simulation.stepping import advance
from carcloud.research.simulation.telling import told
from carcloud.research.simulation.world import EXTERNAL, OVER, STEPS, Counts, Flags, Floats, World

LIMIT_PLACES = 2_000_000
"""Road users times steps of the scenarios that are simulated at once: 256 MiB of recorded and simulated motion."""


def simulate(scenarios: Sequence[Scenario], planner: Planner, settings: Settings | None = None) -> list[Outcome]:
    """Return what comes of each scenario, in their order.

    Raises:
        InputError: the planner cannot be started at all, or a scenario is too long.
    """
    return list(simulated(scenarios, planner, settings))


def simulated(scenarios: Sequence[Scenario], planner: Planner, settings: Settings | None = None) -> Iterator[Outcome]:
    """Yield what comes of each scenario, in their order."""
    settings = settings or Settings()
    try:
        for batch in _batches(scenarios, planner.at_once, settings):
            yield from _driven(batch, planner, settings)
    finally:
        planner.end()


def _batches(scenarios: Sequence[Scenario], at_once: int, settings: Settings) -> Iterator[Sequence[Scenario]]:
    begin, users, steps = 0, 0, 0
    for at, scenario in enumerate(scenarios):
        here, long = max(scenario.motion.shape[0], 1), max(steps_of(scenario, settings), scenario.motion.shape[1])
        count, most = at + 1 - begin, max(users, here) * max(steps, long)
        if at > begin and (count > at_once or count * most > LIMIT_PLACES):
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
            return [Outcome(batch[0].id, None, -1 if batch[0].ego is None else batch[0].ego, 0, fault=str(error))]
        middle = len(batch) // 2
        return _driven(batch[:middle], planner, settings) + _driven(batch[middle:], planner, settings)


def _drive(batch: Sequence[Scenario], planner: Planner, settings: Settings) -> list[Outcome]:
    inner = planner.code if isinstance(planner, BuiltIn) else EXTERNAL
    world, faults = prepared(batch, settings, inner), [""] * len(batch)
    steps = int(world.scene[:, STEPS].max())
    shape = (len(batch), world.cars.shape[2], steps, 7) if settings.keep else (0, 0, 0, 7)
    history = np.full(shape, np.nan)
    go = partial(_shared, world, history, inner, settings)
    none = np.full(len(batch), np.nan)
    if isinstance(planner, BuiltIn):
        go(none, none, -1, steps)
        return told(batch, world, history, faults, settings)
    _begun(planner, len(batch), settings)
    go(none, none, -1, 0)
    for step in range(steps - 1):
        if (world.scene[:, OVER] >= 0).all():
            break
        seen = observed(world, step, settings.step_s)
        running = seen.running.copy()
        pushes, steers = _within(_asked(planner, seen), running, world.scene[:, OVER], faults, step)
        go(pushes, steers, step, step + 1)
    return told(batch, world, history, faults, settings)


def _begun(planner: Planner, count: int, settings: Settings) -> None:
    try:
        planner.begin(count, settings)
    except (PlannerError, CarcloudError):
        raise
    except Exception as error:
        raise PlannerError(failed(error)) from error


def _asked(planner: Planner, seen: Observation) -> Action:
    count = len(seen.x)
    try:
        return checked(planner.plan(seen), count)
    except (PlannerError, CarcloudError):
        raise
    except Exception as error:
        raise PlannerError(failed(error)) from error


def _within(action: Action, running: Flags, over: Counts, faults: list[str], step: int) -> tuple[Floats, Floats]:
    """Return accelerations and steering as a car can do them; who asks for no number is at fault, and ends here."""
    pushes, count = action.acceleration, len(action.acceleration)
    if action.steer is None:
        kept, steers = np.ones(count, np.bool_), np.zeros(count)
    else:
        kept, steers = np.zeros(count, np.bool_) if action.kept is None else action.kept, action.steer
    wrong = ~np.isfinite(pushes) | (~np.isfinite(steers) & ~kept)
    for at in np.flatnonzero(wrong & running & (over < 0)):
        faults[at] = action.faults.get(int(at), "The planner answered with what is no finite number.")
        over[at] = step
    pushes = np.where(wrong, 0.0, np.clip(pushes, HARDEST_BRAKE, STRONGEST_PUSH))
    steers = np.clip(np.where(wrong, 0.0, steers), -LARGEST_STEER, LARGEST_STEER)
    return pushes, np.where(kept, np.nan, steers)


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
    edges = [count * at // settings.threads for at in range(settings.threads + 1)]
    batch = (world.cars, world.marks, world.log, world.key, world.order, world.impact)
    ground = (world.line, roads.lanes, roads.wide, roads.links)

    def part(first: int, last: int) -> None:
        span = (begin, end, first, last)
        asked = (history, planner, pushes, steers)
        advance(*batch, *ground, *asked, *span, settings.step_s, settings.react, settings.seed)

    if settings.threads == 1 or count == 1:
        part(0, count)
        return
    with ThreadPoolExecutor(settings.threads) as pool:
        list(pool.map(part, edges[:-1], edges[1:]))
