"""What a planner is: told what the ego sees now, it answers how to accelerate and steer until the next step.

Rules:
* It sees the present, and what it remembers. What comes later in a recording is no part of what it is given.
* One planner drives all scenarios of a batch at once; S scenarios, of at most V other road users each.
* Units are SI, the frame is the scenario's own: metres, radians from x towards y.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from carcloud.research.motion import KINDS
from carcloud.research.simulation.settings import Settings

Numbers = NDArray[np.float64]

ROUTE_POINTS, ROUTE_STEP_M = 20, 5.0
"""The route is told as that many points ahead of the ego, so far apart."""
LARGEST_STEER = 0.6
"""Radians at the front wheels, either way; more is cut to it."""
HARDEST_BRAKE, STRONGEST_PUSH = -9.0, 5.0
"""Metres a second squared; what asks for more gets that."""


@dataclass(frozen=True)
class Observation:
    """What the egos of S scenarios see at one step. Every array is a copy that belongs to the planner.

    Args:
        time_s: seconds since the scenarios' beginning.
        step_s: seconds until the next step.
        x, y, yaw, speed, acceleration: (S,) of the egos.
        length, width: (S,) metres, of the egos.
        gap: (S,) metres free along the route to whatever is ahead on it; inf where nothing is within 150 m.
        lead_speed: (S,) of that, along the route; NaN where there is none.
        route: (S, ROUTE_POINTS, 2) metres: points ahead on the line the ego is to follow. It says where, never when.
        others_x, others_y, others_yaw, others_speed, others_length, others_width: (S, V); NaN where nobody is.
        others_kind: (S, V) int8, a place in `carcloud.research.motion.KINDS`.
        present: (S, V) bool, whether somebody is there.
        running: (S,) bool, whether the ego is there and its scenario still goes on; the rest needs no answer.
    """

    time_s: float
    step_s: float
    x: Numbers
    y: Numbers
    yaw: Numbers
    speed: Numbers
    acceleration: Numbers
    length: Numbers
    width: Numbers
    gap: Numbers
    lead_speed: Numbers
    route: Numbers
    others_x: Numbers
    others_y: Numbers
    others_yaw: Numbers
    others_speed: Numbers
    others_length: Numbers
    others_width: Numbers
    others_kind: NDArray[np.int8]
    present: NDArray[np.bool_]
    running: NDArray[np.bool_]


@dataclass(frozen=True)
class Seen:
    """What one ego sees at one step: as `Observation`, of one scenario, with only those others that are there (N,)."""

    time_s: float
    step_s: float
    x: float
    y: float
    yaw: float
    speed: float
    acceleration: float
    length: float
    width: float
    gap: float
    lead_speed: float
    route: Numbers
    others_x: Numbers
    others_y: Numbers
    others_yaw: Numbers
    others_speed: Numbers
    others_length: Numbers
    others_width: Numbers
    others_kind: tuple[str, ...]


def seen_by(seen: Observation, at: int) -> Seen:
    """Return what the ego of one of the scenarios sees."""
    here = seen.present[at]

    def own(column: Numbers) -> float:
        return float(column[at])

    def theirs(column: Numbers) -> Numbers:
        found: Numbers = column[at, here]
        return found

    return Seen(
        *(seen.time_s, seen.step_s),
        *(own(seen.x), own(seen.y), own(seen.yaw), own(seen.speed), own(seen.acceleration)),
        *(own(seen.length), own(seen.width), own(seen.gap), own(seen.lead_speed)),
        seen.route[at],
        *(theirs(seen.others_x), theirs(seen.others_y), theirs(seen.others_yaw)),
        *(theirs(seen.others_speed), theirs(seen.others_length), theirs(seen.others_width)),
        tuple(KINDS[code] for code in seen.others_kind[at, here]),
    )


@dataclass(frozen=True)
class Action:
    """What the egos of S scenarios do until the next step.

    Args:
        acceleration: (S,) metres a second squared, forwards.
        steer: (S,) radians at the front wheels, to the left; None to be kept on the route.
        kept: (S,) bool, who is kept on the route though others steer; None for nobody.
        faults: what went wrong in which scenario; its numbers are then NaN.
    """

    acceleration: Numbers
    steer: Numbers | None = None
    kept: NDArray[np.bool_] | None = None
    faults: Mapping[int, str] = field(default_factory=dict)


class PlannerError(Exception):
    """A planner failed as a whole: nobody can say for which scenario."""


class Planner(Protocol):
    """Drives the egos of many scenarios."""

    @property
    def name(self) -> str:
        """Return what it is called by, as `planner_of` takes it."""

    @property
    def at_once(self) -> int:
        """Return how many scenarios it drives at once."""

    def begin(self, scenarios: int, settings: Settings) -> None:
        """Forget all that was, and get ready for that many scenarios."""

    def plan(self, seen: Observation) -> Action:
        """Answer for all scenarios; a NaN is the fault of its scenario alone."""

    def end(self) -> None:
        """Let go of what it holds; `begin` takes it again."""


def failed(error: BaseException) -> str:
    """Say that a planner failed, and with what."""
    return f"The planner failed: {type(error).__name__}: {error}"[:500]


def checked(action: Action, count: int) -> Action:
    """Return an action with its own arrays of the right shapes.

    Raises:
        PlannerError: it is for another number of scenarios, or no action.
    """
    if not isinstance(action, Action):
        raise PlannerError(f"The planner answered with {type(action).__name__}, which is no Action.")
    pushes = np.array(action.acceleration, np.float64)
    steers = None if action.steer is None else np.array(action.steer, np.float64)
    kept = None if action.kept is None else np.array(action.kept, np.bool_)
    if any(one is not None and one.shape != (count,) for one in (pushes, steers, kept)):
        raise PlannerError(f"The planner answered for {pushes.shape} scenarios; there are {count}.")
    return Action(pushes, steers, kept, dict(action.faults))
