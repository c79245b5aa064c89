"""Measures of how near two road users are to a collision, each a closed form of a few numbers.

Rules:
* SI units. A distance is between the nearest points of two boxes along the lane (`gap`), metres.
* What never happens is infinite; what cannot be told, since a number is missing, is NaN.
* Compiled, without fast arithmetic: the same numbers give the same bits in mining, metrics and simulation.

Source: Westhofen et al., "Criticality Metrics for Automated Driving", Arch. Comput. Methods Eng. 30 (2023), for names
and definitions; the source of each is named where another one settles it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

_REACHED = 1e-10
"""Metres that count as none in `wttc`."""
_ROUNDS = 500


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function compiled by numba, kept on disk, with arithmetic as written; it keeps its type."""
    return cast("Callable[P, R]", njit(cache=True, fastmath=False, error_model="numpy")(function))


@compiled
def gap(s: float, length: float, lead_s: float, lead_length: float) -> float:
    """Return the clearance from the front of one to the rear of the other, whose centres are at s and lead_s."""
    return (lead_s - s) - (length + lead_length) / 2


@compiled
def thw(distance: float, speed: float) -> float:
    """Return the time headway, seconds: how long the one behind takes for a distance at its speed.

    Infinite where it stands or goes backwards; with the clearance as distance it is the time gap of ISO 15622, 3.1.6.
    """
    if math.isnan(distance) or math.isnan(speed):
        return math.nan
    if speed <= 0:
        return math.inf
    return max(distance, 0.0) / speed


@compiled
def ttc(distance: float, speed: float, lead_speed: float) -> float:
    """Return the time to collision at constant speeds, seconds; infinite where the gap does not close.

    Source: Hayward, "Near-miss determination through use of a scale of danger" (1972).
    """
    closing = speed - lead_speed
    if math.isnan(distance) or math.isnan(closing):
        return math.nan
    if distance <= 0:
        return 0.0
    return distance / closing if closing > 0 else math.inf


@compiled
def ttc_accelerated(distance: float, closing: float, closing_faster: float) -> float:
    """Return the time to collision at constant accelerations, seconds.

    Args:
        closing: the speed of the one behind less that of the lead, m/s.
        closing_faster: the same of the accelerations, m/s^2.
    """
    if math.isnan(distance) or math.isnan(closing) or math.isnan(closing_faster):
        return math.nan
    if distance <= 0:
        return 0.0
    under = closing * closing + 2 * closing_faster * distance
    if under < 0:
        return math.inf
    # the smaller root that is not negative, written so that nothing cancels and a zero acceleration needs no care
    below = closing + math.sqrt(under)
    return 2 * distance / below if below > 0 else math.inf


@compiled
def drac(distance: float, speed: float, lead_speed: float) -> float:
    """Return the deceleration that just avoids a collision where the lead keeps its speed, m/s^2, never negative.

    Source: Almqvist, Hydén and Risser (1991), with the braking distance v^2 / 2a.
    """
    closing = speed - lead_speed
    if math.isnan(distance) or math.isnan(closing):
        return math.nan
    if closing <= 0:
        return 0.0
    return closing * closing / (2 * distance) if distance > 0 else math.inf


@compiled
def required_acceleration(distance: float, speed: float, lead_speed: float, lead_acceleration: float) -> float:
    """Return the acceleration along the lane that just avoids a collision where the lead keeps its own, m/s^2, <= 0.

    Source: Westhofen et al., required longitudinal acceleration.
    """
    needed = lead_acceleration - drac(distance, speed, lead_speed)
    if math.isnan(needed):
        return math.nan
    return min(0.0, needed)


@compiled
def pet(left_s: float, entered_s: float) -> float:
    """Return the post-encroachment time: from when the first left a place to when the second entered it, seconds."""
    return entered_s - left_s


@compiled
def wttc(x: float, y: float, vx: float, vy: float, radii: float, accelerations: float) -> float:
    """Return the worst time to collision: both do the worst that they can, in any direction, seconds.

    Args:
        x, y: of the other, seen from the one, metres; vx, vy: the same of their velocities, m/s.
        radii: of circles around both, added, metres.
        accelerations: the most that each can do, added, m/s^2.

    Source: Wachenfeld, Junietz, Wenzel and Winner, "The worst-time-to-collision metric" (2016).
    """
    if math.isnan(x + y + vx + vy + radii + accelerations):
        return math.nan
    speed, time = math.hypot(vx, vy), 0.0
    for _ in range(_ROUNDS):
        left = math.hypot(x + vx * time, y + vy * time) - radii - accelerations * time * time / 2
        if left <= _REACHED:
            return time
        # nothing comes nearer sooner than by `fastest`, growing by `accelerations`: so far time can go without a touch
        fastest = speed + accelerations * time
        below = fastest + math.sqrt(fastest * fastest + 2 * accelerations * left)
        if below <= 0:
            return math.inf
        time += 2 * left / below
        if time > 1e6:
            return math.inf
    return time
