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


@dataclass(frozen=True)
class Action:
    """What the egos of S scenarios do until the next step.

    Args:
        acceleration: (S,) metres a second squared, forwards.
        steer: (S,) radians at the front wheels, to the left; None to be kept on the route.
        faults: what went wrong in which scenario; its numbers are then NaN.
    """

    acceleration: Numbers
    steer: Numbers | None = None
    faults: Mapping[int, str] = field(default_factory=dict)


class Planner(Protocol):
    """Drives the egos of many scenarios."""

    @property
    def name(self) -> str:
        """Return what it is called by, as `planner_of` takes it."""

    def begin(self, scenarios: int, seed: int) -> None:
        """Forget all that was, and get ready for that many scenarios."""

    def plan(self, seen: Observation) -> Action:
        """Answer for all scenarios; a NaN is the fault of its scenario alone."""


__all__ = ["KINDS", "Action", "Observation", "Planner"]
