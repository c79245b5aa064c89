"""The track of one car: from fixes of its satellite receiver to a smooth motion.

Rules:
* East and north are smoothed apart, each by a model whose acceleration walks at random (1.5 m/s² in a second), forwards
  and back (Rauch-Tung-Striebel), from fixes taken for good to 1.5 m, and from speed and course, where both are given,
  taken for good to 0.3 m/s.
* A fix that lies further from where the model expects it than five of its deviations is an outlier: it is not used, and
  marked. After ten in a row the model is wrong, not the fixes: it begins anew there.
* Where no fix was used for longer than a second the car is not present: the motion there would be the model's.
* Yaw is the direction of the smoothed velocity above 1 m/s, and kept below.

Source: Rauch, Tung and Striebel, "Maximum likelihood estimates of linear dynamic systems", AIAA Journal 3 (1965).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

JERK = 1.5
"""Of the acceleration as a random walk: its deviation after one second, m/s²."""
FIX_M = 1.5
SPEED_MPS = 0.3
GATE = 5.0
ANEW = 10
BRIDGE_S = 1.0
YAW_FROM_MPS = 1.0

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Fixes:
    """What the receiver said, in the local frame.

    Args:
        time_s: (N,) rising.
        x, y: (N,) metres.
        vx, vy: (N,) metres a second; NaN where not given.
    """

    time_s: Numbers
    x: Numbers
    y: Numbers
    vx: Numbers
    vy: Numbers


@dataclass(frozen=True)
class Track:
    """The smoothed motion at even times, each (T,); and what was not used of the fixes, (N,) bool."""

    x: Numbers
    y: Numbers
    vx: Numbers
    vy: Numbers
    ax: Numbers
    ay: Numbers
    yaw: Numbers
    present: NDArray[np.bool_]
    outliers: NDArray[np.bool_]


def smooth(fixes: Fixes, even_s: Numbers) -> Track:
    """Return the motion at `even_s`, (T,) seconds, rising."""
    times = np.union1d(fixes.time_s, even_s)
    at = np.searchsorted(times, fixes.time_s)
    told = np.full((len(times), 4), np.nan)
    told[at] = np.column_stack([fixes.x, fixes.y, fixes.vx, fixes.vy])
    states, unused = _forwards_and_back(times, told)
    steps = np.searchsorted(times, even_s)
    x, vx, ax = states[steps, 0].T
    y, vy, ay = states[steps, 1].T
    outliers = unused[at]
    present = _near(fixes.time_s[~outliers], even_s)
    return Track(x, y, vx, vy, ax, ay, _yaw(vx, vy), present, outliers)


def _forwards_and_back(times: Numbers, told: Numbers) -> tuple[Numbers, NDArray[np.bool_]]:
    """Return (K, 2, 3) place, speed and acceleration of each axis, and (K,) which fixes were not used."""
    count = len(times)
    ahead, after = np.zeros((count, 2, 3)), np.zeros((count, 2, 3))
    spread_ahead, spread_after = np.zeros((count, 3, 3)), np.zeros((count, 3, 3))
    moves = np.zeros((count, 3, 3))
    unused = np.zeros(count, np.bool_)
    state, spread, misses = _begin(told[0])
    for step in range(count):
        move, noise = _move(times[step] - times[step - 1] if step else 0.0)
        state, spread = state @ move.T, move @ spread @ move.T + noise
        ahead[step], spread_ahead[step], moves[step] = state, spread, move
        if np.isfinite(told[step, :2]).all():
            misses = misses + 1 if _is_far(told[step], state, spread) else 0
            if misses >= ANEW:
                state, spread, misses = _begin(told[step])
            unused[step] = misses > 0
        if not unused[step]:
            state, spread = _heeded(told[step], state, spread)
        after[step], spread_after[step] = state, spread
    smoothed = after.copy()
    for step in range(count - 2, -1, -1):
        gain = np.linalg.solve(spread_ahead[step + 1], moves[step + 1] @ spread_after[step]).T
        smoothed[step] += (smoothed[step + 1] - ahead[step + 1]) @ gain.T
    return smoothed, unused


def _begin(told: Numbers) -> tuple[Numbers, Numbers, int]:
    known = np.nan_to_num(told)
    state = np.array([[known[0], known[2], 0.0], [known[1], known[3], 0.0]])
    return state, np.diag([FIX_M**2, 10.0**2, 3.0**2]), 0


def _move(span: float) -> tuple[Numbers, Numbers]:
    move = np.array([[1, span, span**2 / 2], [0, 1, span], [0, 0, 1]])
    noise = np.array(
        [
            [span**5 / 20, span**4 / 8, span**3 / 6],
            [span**4 / 8, span**3 / 3, span**2 / 2],
            [span**3 / 6, span**2 / 2, span],
        ]
    )
    return move, noise * JERK**2 + np.eye(3) * 1e-12


def _is_far(told: Numbers, state: Numbers, spread: Numbers) -> bool:
    off = told[:2] - state[:, 0]
    return bool(off @ off > GATE**2 * (spread[0, 0] + FIX_M**2))


def _heeded(told: Numbers, state: Numbers, spread: Numbers) -> tuple[Numbers, Numbers]:
    for part, deviation in ((0, FIX_M), (1, SPEED_MPS)):
        seen = told[part * 2 : part * 2 + 2]
        if np.isfinite(seen).all():
            gain = spread[:, part] / (spread[part, part] + deviation**2)
            state = state + np.outer(seen - state[:, part], gain)
            spread = spread - np.outer(gain, spread[part])
    return state, spread


def _near(times: Numbers, even_s: Numbers) -> NDArray[np.bool_]:
    """Tell which even times lie between two fixes at most BRIDGE_S apart."""
    after = np.clip(np.searchsorted(times, even_s), 1, max(len(times) - 1, 1))
    inside = (even_s >= times[after - 1] - 1e-9) & (even_s <= times[after] + 1e-9)
    return np.asarray(inside & (times[after] - times[after - 1] <= BRIDGE_S))


def _yaw(vx: Numbers, vy: Numbers) -> Numbers:
    known = np.flatnonzero(np.hypot(vx, vy) > YAW_FROM_MPS)
    if not len(known):
        return np.zeros_like(vx)
    last = np.maximum(np.searchsorted(known, np.arange(len(vx)), side="right") - 1, 0)
    return np.arctan2(vy, vx)[known[last]]
