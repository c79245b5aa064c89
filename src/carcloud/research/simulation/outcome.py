"""What came of one simulated scenario."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

from carcloud.research.motion import Motion


@dataclass(frozen=True)
class Outcome:
    """One scenario, driven by a planner.

    Args:
        scenario: the scenario's id.
        motion: who was where, up to the ego's first collision; None where it was not asked for.
        ego: the ego's track number; -1 where the scenario has no ego.
        steps: how many steps were driven, the first included.
        collided_us: when the ego's box first touched another, microseconds since the beginning; None where it did not.
        collided_with: the track it touched then.
        impact_mps: how fast the two moved against each other then.
        off_road_us: when the middle of the ego first left the lanes it had begun on; None where it did not, or where
            the scenario has no lanes.
        crashes: how many simulated others touched another.
        fault: what the planner did wrong, in a sentence; empty where it did nothing wrong.
    """

    scenario: str
    motion: Motion | None
    ego: int
    steps: int
    collided_us: int | None = None
    collided_with: int | None = None
    impact_mps: float | None = None
    off_road_us: int | None = None
    crashes: int = 0
    fault: str = ""

    @cached_property
    def digest(self) -> str:
        """Return a SHA-256 over all of it, bit by bit; equal where two runs agree to the last bit."""
        told = hashlib.sha256()
        facts = (self.scenario, self.ego, self.steps, self.collided_us, self.collided_with, self.off_road_us)
        told.update(repr((*facts, self.crashes, self.fault)).encode())
        if self.motion is not None:
            one = self.motion
            for column in (one.time_us, one.x, one.y, one.yaw, one.vx, one.vy, one.ax, one.ay, one.present):
                told.update(column.tobytes())
        return told.hexdigest()
