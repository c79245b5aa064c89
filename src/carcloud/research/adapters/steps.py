"""Steps: the even times of a scenario, and sightings put on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError

EVEN = 0.02
"""How far a time may lie beside an even one, in steps, to count as even."""
BRIDGE = 2.5
"""The longest way, in steps, over which a track of uneven times is drawn straight."""
LIMIT_SPAN_US = 100 * 365 * 86_400 * 1_000_000
USUAL_STEP_US = 100_000.0

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Steps:
    """Even times.

    Args:
        begin_us: the first, as the source counts.
        step_us: between two.
        count: how many.
        places: (N,) the step of each sighting; None where they lie beside even times.
        observed: the times there are, since the first, where they are even.
    """

    begin_us: int
    step_us: float
    count: int
    places: NDArray[np.int64] | None
    observed: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def time_us(self) -> NDArray[np.int64]:
        """Return (T,) int64 microseconds since the first; those that were rounded once are not rounded again."""
        times = np.asarray(np.rint(np.arange(self.count) * self.step_us), np.int64)
        places = np.rint(self.observed / self.step_us).astype(np.int64)
        if bool((np.abs(self.observed - times[places]) <= 1).all()):
            times[places] = self.observed
        return times


def even_steps(who: NDArray[np.int64], time_us: NDArray[np.int64], also_us: NDArray[np.int64]) -> Steps:
    """Return the steps of sightings that are sorted by road user, then time; `also_us` are times without any."""
    times = np.unique(np.concatenate([time_us, also_us]))
    begin, span = int(times[0]), int(times[-1]) - int(times[0])
    if span > LIMIT_SPAN_US or span < 0:
        raise InputError("The times span more than a hundred years.", "Check the unit of time.")
    apart = np.diff(np.unique(also_us)) if len(also_us) > 1 else np.diff(time_us)[np.diff(who) == 0]
    if not len(apart) or not span:
        step = float(span) if span else USUAL_STEP_US
        apart = np.array([step])
    step = max(float(np.median(apart)), 1.0)
    rising = np.r_[0, np.cumsum(np.rint(np.diff(times) / step))]
    if (rising @ rising) > 0:
        step = float((rising @ (times - begin)) / (rising @ rising))
    places = np.rint((time_us - begin) / step)
    count = round(span / step) + 1
    off = np.abs(time_us - begin - places * step)
    if bool((off <= max(EVEN * step, 1.0)).all()) and _alone(who, places):
        return Steps(begin, _whole(step, count), count, places.astype(np.int64), times - begin)
    step = max(float(np.median(apart)), 1.0)
    return Steps(begin, _whole(step, 0), int(span // step) + 1, None)


def _alone(who: NDArray[np.int64], places: Numbers) -> bool:
    return not bool(((np.diff(who) == 0) & (np.diff(places) == 0)).any())


def _whole(step: float, count: int) -> float:
    """Return a step in whole microseconds where that moves no time by more than one."""
    near = float(round(step))
    return near if abs(near - step) * count <= 1.0 else step


def on_steps(
    steps: Steps, users: int, who: NDArray[np.int64], time_us: NDArray[np.int64], told: Mapping[str, Numbers]
) -> dict[str, Numbers]:
    """Return (V, T) columns of sightings that are sorted by road user, then time; NaN where there is none."""
    placed = {name: np.full((users, steps.count), np.nan) for name in told}
    if steps.places is not None:
        for name, numbers in told.items():
            placed[name][who, steps.places] = numbers
        return placed
    edges = np.searchsorted(who, np.arange(users + 1))
    even = np.asarray(steps.begin_us + np.arange(steps.count) * steps.step_us, np.float64)
    for user in range(users):
        part = slice(edges[user], edges[user + 1])
        _draw(
            placed, user, even, time_us[part].astype(np.float64), {name: one[part] for name, one in told.items()}, steps
        )
    return placed


def _draw(
    placed: dict[str, Numbers], user: int, even: Numbers, times: Numbers, told: dict[str, Numbers], steps: Steps
) -> None:
    if len(times) == 1:
        near = int(np.clip(round((times[0] - steps.begin_us) / steps.step_us), 0, steps.count - 1))
        for name, numbers in told.items():
            placed[name][user, near] = numbers[0]
        return
    after = np.clip(np.searchsorted(times, even), 1, len(times) - 1)
    apart = times[after] - times[after - 1]
    share = (even - times[after - 1]) / apart
    inside = (share >= 0) & (share <= 1) & (apart <= BRIDGE * steps.step_us)
    inside |= (even == times[after]) | (even == times[after - 1])
    for name, numbers in told.items():
        one, other = numbers[after - 1], numbers[after]
        way = np.remainder(other - one + np.pi, 2 * np.pi) - np.pi if name == "yaw" else other - one
        with np.errstate(invalid="ignore"):
            drawn = np.where(share == 0, one, np.where(share == 1, other, one + way * share))
        placed[name][user] = np.where(inside, drawn, np.nan)
