"""Scenarios in which a car ahead brakes, more or less hard and more or less near; and planners that answer it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from carcloud.research.motion import Motion, RoadUser
from carcloud.research.roads import Lane, RoadMap
from carcloud.research.scenario import Scenario

STEP_S = 0.1

PLANNERS = '''"""Planners that hold their speed until they have to brake for the car ahead."""

import numpy as np

from carcloud.research.simulation.planner import Action


class Careful:
    """Brakes at the last moment at which braking as hard as the car ahead may still does."""

    late, spare, aside = 0, 1.0, 0.0

    def begin(self, scenarios, seed):
        self.wanted = []

    def plan(self, seen):
        gap, speed = self.ahead(seen)
        own = seen.speed[:, None]
        needed = (own**2 - speed**2) / 14 + own * 0.1 + self.spare
        brake = ((gap < needed) & (own > 0)).any(axis=1)
        self.wanted = [*self.wanted, brake][-1 - self.late :]
        return Action(np.where(self.wanted[0], -7.0, 0.0))

    def ahead(self, seen):
        """Whoever is ahead, or comes near from aside: metres free, and speed; (S, 1 + V)."""
        far = np.where(np.isnan(seen.lead_speed), np.inf, seen.gap)
        dx, dy = seen.others_x - seen.x[:, None], seen.others_y - seen.y[:, None]
        c, s = np.cos(seen.yaw)[:, None], np.sin(seen.yaw)[:, None]
        along, aside = dx * c + dy * s, np.abs(dy * c - dx * s)
        coming = -np.sign(dy * c - dx * s) * seen.others_speed * np.sin(seen.others_yaw - seen.yaw[:, None])
        closing = np.maximum(seen.speed[:, None] - seen.others_speed, 0.01)
        with np.errstate(divide="ignore", invalid="ignore"):
            comes_s = (aside - seen.others_width - 0.1) / np.maximum(coming, 0)
            past_s = (along + seen.others_length) / closing
        near = seen.present & (aside < self.aside) & (along > 0) & (comes_s < past_s)
        gaps = np.where(near, along - (seen.others_length + seen.length[:, None]) / 2, np.inf)
        speeds = np.where(near, seen.others_speed, 0.0)
        return (
            np.concatenate((far[:, None], gaps), axis=1),
            np.concatenate((np.nan_to_num(seen.lead_speed)[:, None], speeds), axis=1),
        )


class Later(Careful):
    """Brakes 0.2 seconds later."""

    late = 2


class Sooner(Careful):
    """Keeps two metres more, and looks aside."""

    spare, aside = 3.0, 3.2


def crashes_near(seen):
    """Fails where the lead is nearer than 12 metres when it begins."""
    if seen.time_s == 0 and seen.gap < 12:
        raise ValueError("too near")
    return 0.0


def answers_nothing(seen):
    return float("nan")
'''


def planners(folder: Path) -> str:
    """Write the planners' file; return its path."""
    path = folder / "planners.py"
    path.write_text(PLANNERS)
    return str(path)


def braking(gap: float, speed: float, brakes: float, after_s: float = 1.0, length_s: float = 8.0) -> Scenario:
    """Return an ego behind a car at the same speed, which brakes to a stand after a while."""
    t = np.arange(round(length_s / STEP_S) + 1) * STEP_S
    slowing = np.clip(t - after_s, 0, speed / brakes)
    v = np.stack((np.full_like(t, speed), speed - brakes * slowing))
    way = np.stack((speed * t, speed * t - brakes * slowing**2 / 2))
    way[1] -= brakes * slowing * np.clip(t - after_s - slowing, 0, None)
    x = way + np.array([[0.0], [gap + 4.6]])
    a = np.stack((0 * t, np.where((t >= after_s) & (t < after_s + speed / brakes), -brakes, 0.0)))
    users = tuple(RoadUser(n, name, "car", 4.6, 1.85, 1.5) for n, name in enumerate(("ego", "lead")))
    zero, there = np.zeros_like(x), np.ones_like(x, dtype=bool)
    motion = Motion(users, (t * 1e6).round().astype(np.int64), x, zero, zero, zero, v, zero, a, zero, there)
    along = np.linspace(-50.0, 600.0, 66)
    edges = (np.column_stack((along, np.full_like(along, side))) for side in (1.75, -1.75))
    return Scenario(f"{gap} {speed} {brakes}", motion, 0, RoadMap((Lane("1", "driving", *edges),)))


def many() -> Iterator[Scenario]:
    """Yield scenarios all of which the careful planner brings to a good end."""
    for gap in np.linspace(9.0, 30.0, 8):
        for speed in (12.0, 16.0, 20.0):
            for brakes in (3.0, 5.0, 6.5):
                yield braking(float(gap), speed, brakes)
