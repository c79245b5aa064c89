"""Location: on which lane a road user is, how far along it and how far beside its middle.

Rules:
* Where lanes overlap, as in a junction, the lane is taken whose direction and middle are nearest: the least sum of
  (turn / 0.3 rad)² and (offset / 1 m)². Lanes for others count only where none for this road user lies there:
  pedestrians belong on walkways and crossings, all else on roads. Pedestrians and what stands still have no direction.
* Outside of all lanes it is the nearest lane within REACH_M; farther off there is none.
* Lanes are flat: a road above another is told from it by its direction only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.grid import REACH_M, Grid, preferences, search
from carcloud.research.motion import KINDS, Motion
from carcloud.research.roads import RoadMap

__all__ = ["REACH_M", "Grid", "Located", "locate", "places"]

_PREFERENCES = preferences()
_WITHOUT_DIRECTION = ("pedestrian", "static")


@dataclass(frozen=True)
class Located:
    """Where on the lanes each road user is at each step; NaN and -1 where it is absent or on no lane.

    Args:
        lane: (V, T) int32, its place in the map's lanes, or -1.
        s: (V, T) metres along the lane's centre line, from 0 to its length.
        d: (V, T) metres to the left of the centre line.
        inside: (V, T) bool, whether it is between the lane's edges, not only near to them.
    """

    lane: NDArray[np.int32]
    s: NDArray[np.float64]
    d: NDArray[np.float64]
    inside: NDArray[np.bool_]


def locate(roads: RoadMap, motion: Motion, grid: Grid | None = None) -> Located:
    """Return on which lanes the centres of road users are. Who asks often keeps the map's grid and gives it along."""
    codes = np.array([KINDS.index(user.kind) for user in motion.users], np.int32)
    blind = np.array([user.kind in _WITHOUT_DIRECTION for user in motion.users], bool)
    shown = motion.present
    kinds = np.broadcast_to(codes[:, None], shown.shape)[shown]
    yaw = np.where(blind[:, None], np.nan, motion.yaw)[shown]
    found = places(grid or Grid.of(roads), motion.x[shown], motion.y[shown], yaw, kinds)
    lane, s, d = np.full(shown.shape, -1, np.int32), np.full(shown.shape, np.nan), np.full(shown.shape, np.nan)
    inside = np.zeros(shown.shape, bool)
    for whole, part in zip((lane, s, d, inside), (found.lane, found.s, found.d, found.inside), strict=True):
        whole[shown] = part
    return Located(lane, s, d, inside)


def places(
    grid: Grid,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    yaw: NDArray[np.float64],
    kinds: NDArray[np.int32],
) -> Located:
    """Return on which lanes N places are.

    Args:
        x, y, yaw: (N,) metres and radians; a yaw of NaN has no say.
        kinds: (N,) kinds of road users as their places in KINDS.
    """
    found = search(
        grid.corners,
        grid.middle,
        grid.lane,
        grid.kind,
        grid.starts,
        grid.entries,
        grid.frame,
        grid.size,
        _PREFERENCES,
        np.ascontiguousarray(x, np.float64),
        np.ascontiguousarray(y, np.float64),
        np.ascontiguousarray(yaw, np.float64),
        np.ascontiguousarray(kinds, np.int32),
    )
    return Located(*found)
