"""Comfort: how an ego moves, felt by who sits in it.

Rules:
* Accelerations and jerk are worked out from the speed along the yaw and the yaw itself: what a source says of
  accelerations may be filtered or missing.
* A step is comfortable where all six are within the bounds below.

Source: Caesar et al., "nuPlan" (2021), comfort: the six quantities and their bounds, found there from human driving.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.motion import Motion

Numbers = NDArray[np.float64]

ACCELERATION_MPS2 = (-4.05, 2.40)
LATERAL_MPS2 = 4.89
JERK_MPS3 = 8.37
LONGITUDINAL_JERK_MPS3 = 4.13
YAW_RATE_RADPS = 0.95
YAW_ACCELERATION_RADPS2 = 1.93


@dataclass(frozen=True)
class Comfort:
    """How an ego moves, each (T,): m/s, m/s^2, m/s^3, rad/s; NaN where it is absent."""

    speed: Numbers
    acceleration: Numbers
    lateral_acceleration: Numbers
    jerk: Numbers
    longitudinal_jerk: Numbers
    yaw_rate: Numbers
    comfortable: NDArray[np.bool_]


def comfort_of(motion: Motion, ego: int) -> Comfort:
    """Return how the road user in this row moves; it is present without a break."""
    at = np.flatnonzero(motion.present[ego])
    step = motion.step_s
    yaw = np.unwrap(motion.yaw[ego, at])
    speed = motion.vx[ego, at] * np.cos(yaw) + motion.vy[ego, at] * np.sin(yaw)
    acceleration, turn = _rate(speed, step), _rate(yaw, step)
    lateral, turning = speed * turn, _rate(turn, step)
    longitudinal_jerk = _rate(acceleration, step)
    jerk = np.abs(_rate(np.hypot(acceleration, lateral), step))
    comfortable = (
        (acceleration >= ACCELERATION_MPS2[0])
        & (acceleration <= ACCELERATION_MPS2[1])
        & (np.abs(lateral) <= LATERAL_MPS2)
        & (jerk <= JERK_MPS3)
        & (np.abs(longitudinal_jerk) <= LONGITUDINAL_JERK_MPS3)
        & (np.abs(turn) <= YAW_RATE_RADPS)
        & (np.abs(turning) <= YAW_ACCELERATION_RADPS2)
    )
    found = {
        "speed": speed,
        "acceleration": acceleration,
        "lateral_acceleration": lateral,
        "jerk": jerk,
        "longitudinal_jerk": longitudinal_jerk,
        "yaw_rate": turn,
    }
    fine = np.ones(motion.shape[1], np.bool_)
    fine[at] = comfortable
    whole = {name: _placed(one, at, motion.shape[1]) for name, one in found.items()}
    return Comfort(comfortable=fine, **whole)


def _placed(values: Numbers, at: NDArray[np.int64], steps: int) -> Numbers:
    whole = np.full(steps, np.nan)
    whole[at] = values
    return whole


def _rate(values: Numbers, step_s: float) -> Numbers:
    return np.gradient(values, step_s) if len(values) > 1 else np.zeros_like(values)
