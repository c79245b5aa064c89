"""Frames: where one frame lies in another at a time, from transforms that messages tell.

Rules:
* A transform holds from its time on; between two, place and turn are drawn straight. Before the first, and for at most
  0.5 s behind the last of a moving one, the nearest counts; a fixed one always does.
* A frame that no chain of transforms leads from is its own root.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

HOLD_US = 500_000
LIMIT_DEPTH = 32
LIMIT_TRANSFORMS = 5_000_000
Place = tuple[float, float, float]
Turn = tuple[float, float, float, float]


@dataclass
class _Way:
    """What was told of one frame: its parent, and (time, place, turn) in any order."""

    parent: str
    fixed: bool
    told: list[tuple[int, Place, Turn]] = field(default_factory=list)
    times: NDArray[np.int64] | None = None
    numbers: Numbers | None = None

    def settled(self) -> tuple[NDArray[np.int64], Numbers]:
        """Return times and (N, 7) place and turn, in order."""
        if self.times is None or self.numbers is None or len(self.times) != len(self.told):
            self.told.sort(key=lambda one: one[0])
            self.times = np.array([one[0] for one in self.told], np.int64)
            self.numbers = np.array([(*one[1], *one[2]) for one in self.told], np.float64)
        return self.times, self.numbers


class Frames:
    """All frames of a file."""

    def __init__(self) -> None:
        self._ways: dict[str, _Way] = {}
        self._count = 0

    def tell(self, parent: str, child: str, time_us: int, place: Place, turn: Turn, *, fixed: bool = False) -> None:
        """Take in where a frame lies in its parent. The first parent that is told of a frame stays."""
        if not parent or not child or parent == child or not np.isfinite([*place, *turn]).all():
            return
        way = self._ways.setdefault(child, _Way(parent, fixed))
        if way.parent == parent and self._count < LIMIT_TRANSFORMS:
            way.told.append((time_us, place, turn))
            self._count += 1

    def root(self, frame: str) -> str:
        """Return the frame at the end of the chain."""
        for _ in range(LIMIT_DEPTH):
            if frame not in self._ways:
                break
            frame = self._ways[frame].parent
        return frame

    def to_root(self, frame: str, time_us: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
        """Return (N, 3, 3) turns and (N, 3) places of a frame in its root; NaN where nothing holds."""
        turns = np.broadcast_to(np.eye(3), (len(time_us), 3, 3)).copy()
        places = np.zeros((len(time_us), 3))
        for _ in range(LIMIT_DEPTH):
            if frame not in self._ways:
                break
            way = self._ways[frame]
            turn, place = _at(way, time_us)
            places = np.einsum("nij,nj->ni", turn, places) + place
            turns = turn @ turns
            frame = way.parent
        return turns, places


def _at(way: _Way, time_us: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    times, numbers = way.settled()
    after = np.clip(np.searchsorted(times, time_us), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    apart = np.maximum(times[after] - times[before], 1)
    share = np.clip((time_us - times[before]) / apart, 0, 1)[:, None]
    one, other = numbers[before], numbers[after]
    flipped = np.where((one[:, 3:] * other[:, 3:]).sum(axis=1, keepdims=True) < 0, -other[:, 3:], other[:, 3:])
    drawn = np.hstack([one[:, :3] + (other[:, :3] - one[:, :3]) * share, one[:, 3:] + (flipped - one[:, 3:]) * share])
    if not way.fixed and len(times) > 1:
        off = (time_us < times[0] - HOLD_US) | (time_us > times[-1] + HOLD_US)
        drawn[off] = np.nan
    return matrices(drawn[:, 3:]), drawn[:, :3]


def matrices(turns: Numbers) -> Numbers:
    """Return (N, 3, 3) of quaternions (N, 4): x, y, z, w."""
    norm = np.sqrt((turns**2).sum(axis=1, keepdims=True))
    x, y, z, w = (turns / np.where(norm > 0, norm, np.nan)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
