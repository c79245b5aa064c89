"""Scenarios of the tests: cars on a straight road."""

import numpy as np

from carcloud.research.motion import Motion, RoadUser
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.made import straight_road


def cars(
    starts: list[tuple[float, float, float]], steps: int = 50, roads: RoadMap | None = None, ego: int | None = 0
) -> Scenario:
    """Cars that go on as they began: x, y, metres a second."""
    t = np.arange(steps) * 0.1
    x = np.stack([x + speed * t for x, _, speed in starts])
    y = np.stack([np.full(steps, y) for _, y, _ in starts])
    vx = np.stack([np.full(steps, speed) for _, _, speed in starts])
    flat = np.zeros_like(x)
    users = tuple(RoadUser(at, str(at), "car", 4.6, 1.85, 1.5) for at in range(len(starts)))
    there = np.ones(x.shape, np.bool_)
    time_us = np.arange(steps, dtype=np.int64) * 100_000
    return Scenario("cars", Motion(users, time_us, x, y, flat, flat, vx, flat, flat, flat, there), ego, roads)


def crowd(count: int, seed: int) -> Scenario:
    """Cars on three lanes, at places and speeds of a seed; the first is the ego."""
    rng = np.random.default_rng(seed)
    places = np.sort(rng.uniform(0, 25.0 * count / 3, count)) + np.arange(count) * 4.0
    starts = [(float(x), float((at % 3 - 1) * 3.5), float(rng.uniform(15, 30))) for at, x in enumerate(places)]
    return cars(starts, 60, straight_road())
