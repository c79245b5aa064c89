"""Scenes made by hand: straight lanes, and road users who go as they are told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.motion import SIZES, Motion, RoadUser, at_steps
from carcloud.research.roads import Lane, RoadMap
from carcloud.research.scenario import Scenario

STEP_S = 0.1
WIDTH_M = 3.5


@dataclass(frozen=True)
class Way:
    """Where somebody is: x, y at each step, NaN where absent; the heading is that of the movement, or `yaw`."""

    track: int
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    kind: str = "car"
    yaw: float | None = None


def straight(track: int, x: float, speed: float, steps: int, lane: float = 0, kind: str = "car") -> Way:
    """Return somebody in the middle of a lane (0 the rightmost), at a constant speed."""
    at = np.arange(steps) * STEP_S
    return Way(track, x + speed * at, np.full(steps, lane * WIDTH_M), kind, 0.0 if speed >= 0 else np.pi)


def changing(track: int, x: float, speed: float, steps: int, lanes: tuple[float, float], begin: int, last: int) -> Way:
    """Return somebody who goes from the middle of one lane to that of another between two steps."""
    at = np.arange(steps)
    share = np.clip((at - begin) / (last - begin), 0, 1)
    y = (lanes[0] + (lanes[1] - lanes[0]) * share) * WIDTH_M
    return Way(track, x + speed * at * STEP_S, y, "car", 0.0)


def scene(ways: Sequence[Way], lanes: int = 2, pieces: int = 1, length: float = 500.0) -> Scenario:
    """Return a scenario on so many lanes side by side, each cut into pieces; none: without a map."""
    users = tuple(RoadUser(one.track, str(one.track), one.kind, *SIZES[one.kind]) for one in ways)
    steps = len(ways[0].x)
    columns, present = at_steps(users, steps), np.zeros((len(users), steps), np.bool_)
    for row, one in enumerate(ways):
        there = ~np.isnan(one.x)
        vx, vy = np.gradient(one.x, STEP_S), np.gradient(one.y, STEP_S)
        yaw = np.arctan2(vy, vx) if one.yaw is None else np.full(steps, one.yaw)
        given = {"x": one.x, "y": one.y, "z": np.zeros(steps), "yaw": yaw, "vx": vx, "vy": vy}
        given |= {"ax": np.gradient(vx, STEP_S), "ay": np.gradient(vy, STEP_S)}
        for name, values in given.items():
            columns[name][row] = np.where(there, values, np.nan)
        present[row] = there
    time_us = np.arange(steps, dtype=np.int64) * round(STEP_S * 1e6)
    motion = Motion(users, time_us, present=present, **columns)
    return Scenario("made", motion, ego=ways[0].track, map=road(lanes, pieces, length) if lanes else None)


def road(lanes: int, pieces: int, length: float) -> RoadMap:
    """Return lanes along x from -100 m, the rightmost around y = 0."""
    ends = np.linspace(-100.0, length, pieces + 1)
    made = []
    for piece in range(pieces):
        x = np.linspace(ends[piece], ends[piece + 1], 20)
        for lane in range(lanes):
            right, left = ((lane + side) * WIDTH_M for side in (-0.5, 0.5))
            made.append(
                Lane(
                    f"{piece}.{lane}",
                    "driving",
                    np.column_stack([x, np.full(20, left)]),
                    np.column_stack([x, np.full(20, right)]),
                    (f"{piece - 1}.{lane}",) if piece else (),
                    (f"{piece + 1}.{lane}",) if piece < pieces - 1 else (),
                    f"{piece}.{lane + 1}" if lane < lanes - 1 else "",
                    f"{piece}.{lane - 1}" if lane else "",
                    limit_mps=13.9,
                )
            )
    return RoadMap(tuple(made))
