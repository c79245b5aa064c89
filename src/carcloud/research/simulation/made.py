"""Scenarios made from a few numbers, on a straight road of three lanes: a cut-in, a cut-out, a braking lead.

Rules:
* The ego is on the middle lane, at x = 0, and is recorded as going on at its speed: a planner decides otherwise.
* Distances between cars are free ones, bumper to bumper. A parameter's unit is in its name.

Source: UN R157, Annex 4, Appendix 3, 2: the three critical scenarios, and the quantities that describe them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.research.motion import SIZES, Motion, RoadUser
from carcloud.research.roads import Lane, RoadMap
from carcloud.research.scenario import Scenario

Numbers = NDArray[np.float64]
Course = tuple[Numbers, Numbers, Numbers, Numbers]
"""x, y, vx, vy, each (T,)."""

LANE_M = 3.5
ROAD_M = (-200.0, 4000.0)
STEP_S = 0.1
KMH = 3.6
LENGTH_M, WIDTH_M, HEIGHT_M = SIZES["car"]


class Made(Protocol):
    """What parameters of a scenario have."""

    NAME: ClassVar[str]

    def scenario(self) -> Scenario:
        """Return the scenario."""


@dataclass(frozen=True)
class CutIn:
    """A car on the left lane moves over before the ego."""

    NAME: ClassVar[str] = "cut-in"
    ego_speed_kmh: float = 60.0
    other_speed_kmh: float = 40.0
    gap_m: float = 20.0
    lateral_speed_mps: float = 1.0
    duration_s: float = 15.0

    def scenario(self) -> Scenario:
        """Return the scenario."""
        t = _times(self.duration_s)
        x, y, vx, vy = cut_in(self.other_speed_kmh / KMH, self.gap_m, self.lateral_speed_mps, t)
        return _scenario(self, t, self.ego_speed_kmh / KMH, [(x, y, vx, vy)])


@dataclass(frozen=True)
class CutOut:
    """The car before the ego moves over to the left, and shows one that stands."""

    NAME: ClassVar[str] = "cut-out"
    ego_speed_kmh: float = 60.0
    lead_speed_kmh: float = 60.0
    gap_m: float = 25.0
    standing_gap_m: float = 60.0
    lateral_speed_mps: float = 1.5
    duration_s: float = 15.0

    def scenario(self) -> Scenario:
        """Return the scenario. standing_gap_m: from the lead, when it begins to move over, to the car that stands."""
        t = _times(self.duration_s)
        speed = self.lead_speed_kmh / KMH
        y = np.minimum(self.lateral_speed_mps * t, LANE_M)
        vy = np.where(y < LANE_M, self.lateral_speed_mps, 0.0)
        x = self.gap_m + LENGTH_M + speed * t
        still = np.full_like(t, self.gap_m + self.standing_gap_m + 2 * LENGTH_M)
        none = np.zeros_like(t)
        return _scenario(self, t, self.ego_speed_kmh / KMH, [(x, y, none + speed, vy), (still, none, none, none)])


@dataclass(frozen=True)
class Braking:
    """The car before the ego brakes to a standstill."""

    NAME: ClassVar[str] = "braking"
    ego_speed_kmh: float = 60.0
    lead_speed_kmh: float = 60.0
    gap_m: float = 30.0
    deceleration_mps2: float = 6.0
    delay_s: float = 1.0
    duration_s: float = 15.0

    def scenario(self) -> Scenario:
        """Return the scenario."""
        if self.deceleration_mps2 <= 0:
            raise InputError("deceleration_mps2 must be more than 0.", "It says how hard the lead brakes.")
        t = _times(self.duration_s)
        speed, slow = self.lead_speed_kmh / KMH, self.deceleration_mps2
        braked = np.clip(t - self.delay_s, 0.0, speed / slow)
        x = self.gap_m + LENGTH_M + speed * np.minimum(t, self.delay_s) + speed * braked - slow * braked * braked / 2
        x = np.where(t < self.delay_s, self.gap_m + LENGTH_M + speed * t, x)
        none = np.zeros_like(t)
        return _scenario(self, t, self.ego_speed_kmh / KMH, [(x, none, speed - slow * braked, none)])


MADE: dict[str, type[CutIn] | type[CutOut] | type[Braking]] = {one.NAME: one for one in (CutIn, CutOut, Braking)}


def made(name: str, parameters: Mapping[str, float]) -> Scenario:
    """Return the scenario of a kind with these parameters; those that are not given are as the kind says.

    Raises:
        InputError: there is no such kind or parameter, or a number is out of range.
    """
    if name not in MADE:
        raise InputError(f"There is no scenario {name!r}.", f"Use one of {', '.join(MADE)}.")
    known = [one.name for one in fields(MADE[name])]
    for word, number in parameters.items():
        if word not in known:
            raise InputError(f"{name} has no parameter {word}.", f"Use {', '.join(known)}.")
        if not math.isfinite(number) or number < 0:
            raise InputError(f"{word} cannot be {number}.", "Give a number that is not below 0.")
    if not 0.2 <= parameters.get("duration_s", 1.0) <= 3600:
        raise InputError("duration_s is out of range.", "Use 0.2 to 3600 seconds.")
    return MADE[name](**parameters).scenario()


def cut_in(speed: float, gap_m: float, lateral_mps: float, t: Numbers) -> Course:
    """Return x, y, vx, vy of a car that comes over from the left lane's middle to that of the ego's, and stays."""
    y = np.maximum(LANE_M - lateral_mps * t, 0.0)
    return gap_m + LENGTH_M + speed * t, y, np.full_like(t, speed), np.where(y > 0.0, -lateral_mps, 0.0)


def _times(duration_s: float) -> Numbers:
    return np.arange(math.floor(duration_s / STEP_S + 1e-6) + 1, dtype=np.float64) * STEP_S


def _scenario(
    kind: CutIn | CutOut | Braking,
    t: Numbers,
    ego_speed: float,
    others: list[Course],
) -> Scenario:
    none = np.zeros_like(t)
    rows = [(ego_speed * t, none, none + ego_speed, none), *others]
    x, y, vx, vy = (np.stack([row[at] for row in rows]) for at in range(4))
    ax = np.diff(vx, axis=1, append=vx[:, -1:]) / STEP_S
    flat = np.zeros_like(x)
    yaw = np.where((vx == 0) & (vy == 0), 0.0, np.arctan2(vy, vx))
    names = ("ego", "lead" if kind.NAME != "cut-in" else "other", "standing")
    users = tuple(RoadUser(at, names[at], "car", LENGTH_M, WIDTH_M, HEIGHT_M) for at in range(len(rows)))
    time_us = np.rint(t * 1e6).astype(np.int64)
    there = np.ones(x.shape, np.bool_)
    motion = Motion(users, time_us, x, y, flat + HEIGHT_M / 2, yaw, vx, vy, ax, flat, there)
    parameters = {name: float(number) for name, number in asdict(kind).items()}
    return Scenario(kind.NAME, motion, ego=0, map=straight_road(), parameters=parameters, simulated=True)


@cache
def straight_road(lanes: int = 3, speed_mps: float | None = None) -> RoadMap:
    """Return a straight road along x, whose lanes are named from the right; the middle one's middle is y = 0."""
    x = np.array(ROAD_M)
    first = -(lanes // 2) * LANE_M
    made = []
    for at in range(lanes):
        edges = [np.column_stack([x, np.full(2, first + at * LANE_M + side)]) for side in (LANE_M / 2, -LANE_M / 2)]
        left, right = (str(at + 1) if at + 1 < lanes else ""), (str(at - 1) if at > 0 else "")
        made.append(Lane(str(at), "driving", edges[0], edges[1], left=left, right=right, limit_mps=speed_mps))
    return RoadMap(tuple(made))
