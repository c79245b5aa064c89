"""How a car follows another, and when it changes lanes.

Source: Treiber, Hennecke, Helbing, "Congested traffic states in empirical observations and microscopic simulations",
Phys. Rev. E 62 (2000): the intelligent driver model (IDM), with exponent 4. Kesting, Treiber, Helbing, "General
lane-changing model MOBIL for car-following models", Transp. Res. Rec. 1999 (2007). Values: Treiber and Kesting,
"Traffic Flow Dynamics" (2013), tables 11.2 and 14.1.
"""

from __future__ import annotations

import math

from carcloud.research.simulation.compiled import inlined

HEADWAY_S, STANDSTILL_M, PUSH, COMFORT = 1.5, 2.0, 1.4, 2.0
"""Of the IDM: time gap, distance at standstill, greatest acceleration and comfortable deceleration."""
HARDEST = 9.0
"""Metres a second squared: no simulated car brakes harder."""
POLITENESS, THRESHOLD, SAFE_BRAKE = 0.3, 0.2, 4.0
"""Of MOBIL: how much others' loss counts, the least gain, and what a new follower may have to brake, m/s^2."""
CHANGE_S = 3.0
"""How long a change of lanes takes."""
PONDER_STEPS = 5
"""A driver thinks about changing lanes at every so manieth step; not all at the same one."""


@inlined
def idm(speed: float, wished: float, gap: float, lead_speed: float) -> float:
    """Return the acceleration of the IDM, no less than -HARDEST; gap inf for a free road.

    Who is faster than wished brakes by no more than COMFORT for that alone.
    """
    ratio = speed / wished
    squared = ratio * ratio
    free = max(PUSH * (1.0 - squared * squared), -COMFORT)
    if gap == math.inf:
        return free
    if gap < 0.1:
        return -HARDEST
    keep = STANDSTILL_M + max(0.0, speed * HEADWAY_S + speed * (speed - lead_speed) / (2.0 * math.sqrt(PUSH * COMFORT)))
    share = keep / gap
    return max(free - PUSH * share * share, -HARDEST)


@inlined
def driven(speed: float, acceleration: float, step_s: float) -> tuple[float, float]:
    """Return how far a car gets in a step at a constant acceleration, and how fast it is then; it stops at 0."""
    after = speed + acceleration * step_s
    if after >= 0.0:
        return (speed + after) / 2.0 * step_s, after
    return (speed * speed / (-2.0 * acceleration) if acceleration < 0.0 else 0.0), 0.0


@inlined
def worth(own: float, own_then: float, new: float, new_then: float, old: float, old_then: float) -> float:
    """Return the gain of a change of lanes over its threshold, m/s^2; -inf where it is not safe.

    own, new, old: the accelerations of the driver, of who would follow it there and of who follows it here.
    """
    if new_then < -SAFE_BRAKE or own_then < -SAFE_BRAKE:
        return -math.inf
    return own_then - own + POLITENESS * (new_then - new + old_then - old) - THRESHOLD


@inlined
def aside(share: float) -> float:
    """Return how much of the way to the next lane's middle is left, 1 to 0, after a share 0 to 1 of the time.

    Source: Takahashi et al., "Local path planning and motion control for AGV in positioning" (1989): least jerk.
    """
    if share >= 1.0:
        return 0.0
    return 1.0 - share * share * share * (10.0 + share * (-15.0 + 6.0 * share))
