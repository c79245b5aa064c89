"""A scenario: a stretch of time in which road users move, with the roads under them and what is known about it.

Rules:
* Its id is made from what happens in it, so the same scenario read twice, from any file, is known again.
* It says of itself only what its source says. Whose it is, why it may be used and under which licence is said by the
  recording it came in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from carcloud.research.motion import Motion
from carcloud.research.roads import RoadMap


@dataclass(frozen=True)
class Series:
    """What one signal of a car said during a scenario.

    Args:
        name: a VSS path where it has one, else the source's own name.
        unit: of the values, as the catalogue writes units; empty for none.
        time_us: (N,) int64 since the scenario's beginning.
        values: (N,) float64.
    """

    name: str
    unit: str
    time_us: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Scenario:
    """One scenario, whole and in memory.

    Args:
        name: what its source calls it.
        motion: who was where.
        ego: the track number of the car that recorded it or is to be planned for; None where nobody stands out.
        map: the roads; None where the source has none.
        begin: when it began, UTC; None where nobody knows.
        origin: latitude and longitude in degrees of the frame's origin; None where nobody knows.
        series: signals of the ego car.
        tags: what its source says about it, such as `intersection`, in the source's own words.
        parameters: what a made-up scenario was made with, or what its source asks of the ego; else empty.
        goal: (N, 2) metres, a closed polygon that the ego is to reach; None where there is none.
        simulated: whether it was made up, not driven.
    """

    name: str
    motion: Motion
    ego: int | None = None
    map: RoadMap | None = None
    begin: datetime | None = None
    origin: tuple[float, float] | None = None
    series: tuple[Series, ...] = ()
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, float] = field(default_factory=dict)
    goal: NDArray[np.float64] | None = None
    simulated: bool = False

    @cached_property
    def id(self) -> str:
        """Return 20 hex digits of a SHA-256 over all that happens in it, to the millimetre and the thousandth radian.

        Names, tags and provenance are left out: the same happening under two names is one scenario.
        """
        motion = self.motion
        told = hashlib.sha256()
        told.update(motion.time_us.astype("<i8").tobytes())
        for user in motion.users:
            told.update(f"{user.kind}:{user.length:.3f}:{user.width:.3f};".encode())
        for numbers in (motion.x, motion.y, motion.yaw):
            told.update(_thousandths(np.where(motion.present, numbers, -1e9)))
        if self.map is not None:
            for lane in self.map.lanes:
                told.update(lane.name.encode() + _thousandths(lane.centre))
        for series in self.series:
            told.update(series.name.encode() + series.time_us.astype("<i8").tobytes() + series.values.tobytes())
        told.update(str(self.begin or "").encode())
        return told.hexdigest()[:20]


def _thousandths(numbers: NDArray[np.float64]) -> bytes:
    return np.rint(np.nan_to_num(numbers, nan=-1e9) * 1000).astype("<i8").tobytes()
