"""Slopes of numbers that were measured at even steps, and which way a road user turns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled
from carcloud.research.mining.catalogue import TURN_RAD, TURN_RATE, TURN_S
from carcloud.research.motion import Motion, Numbers

FEWEST = 3
"""Steps to which a line is fitted."""


@compiled
def slope(values: Numbers, group: NDArray[np.int32], step_s: float, half: int) -> Numbers:
    """Return (V, T): at each step the slope of the straight line fitted to what is around it, by least squares.

    Args:
        values: (V, T), what is measured.
        group: (V, T), only steps of the same group without a break between count; below 0 there is nothing.
        half: steps on either side.
    """
    users, steps = values.shape
    found = np.full((users, steps), np.nan)
    for user in range(users):
        for step in range(steps):
            mine = group[user, step]
            if mine < 0:
                continue
            first = last = step
            while first > 0 and step - first < half and group[user, first - 1] == mine:
                first -= 1
            while last < steps - 1 and last - step < half and group[user, last + 1] == mine:
                last += 1
            count = last - first + 1
            if count < FEWEST:
                continue
            middle = (first + last) / 2
            above = below = 0.0
            for at in range(first, last + 1):
                above += (at - middle) * (values[user, at] - values[user, step])
                below += (at - middle) * (at - middle)
            found[user, step] = above / (below * step_s)
    return found


def half_of(seconds: float, step_s: float) -> int:
    """Return how many steps make so many seconds, at least one."""
    return max(1, round(seconds / step_s))


def unwrapped(motion: Motion) -> Numbers:
    """Return (V, T) headings without jumps of a whole turn while a road user is there, radians."""
    known = np.where(motion.present, motion.yaw, 0.0)
    steps = np.diff(known, axis=1, prepend=known[:, :1])
    whole = np.rint(steps / (2 * np.pi)) * 2 * np.pi
    unwrapped: Numbers = motion.yaw - np.cumsum(whole, axis=1)
    return unwrapped


def turning(heading: Numbers, rate: Numbers, step_s: float) -> NDArray[np.int8]:
    """Return (V, T) places in SIDES: none, left or right; -1 where it is not known."""
    steps = heading.shape[1]
    half = half_of(TURN_S, step_s)
    held = _held(heading)
    at = np.arange(steps)
    change = held[:, np.minimum(at + half, steps - 1)] - held[:, np.maximum(at - half, 0)]
    side = np.where(change > 0, 1, 2)
    turns = (np.abs(change) >= TURN_RAD) & (rate * np.sign(change) >= TURN_RATE)
    return np.where(np.isnan(rate), -1, np.where(turns, side, 0)).astype(np.int8)


def _held(values: Numbers) -> Numbers:
    """Return values with what is missing before, between and after filled by the nearest known one."""
    users, steps = values.shape
    at = np.where(np.isnan(values), -1, np.arange(steps))
    last = np.maximum.accumulate(at, axis=1)
    first = np.where(np.isnan(values), steps, np.arange(steps))[:, ::-1]
    following = np.minimum.accumulate(first, axis=1)[:, ::-1]
    chosen = np.where(last >= 0, last, np.minimum(following, steps - 1))
    return values[np.arange(users)[:, None], chosen]
