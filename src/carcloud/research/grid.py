"""The grid over a map's lanes: which pieces of lanes lie near a place, and the compiled search in it.

Rules:
* A lane is the chain of four-cornered pieces between its successive points. A cell names every piece that comes within
  REACH_M of it, so a search reads one cell only.
* A piece without area still counts by its borders.
* However large or bent a map is, the grid keeps to LIMIT_CELLS and LIMIT_ENTRIES: its cells grow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.measures import compiled
from carcloud.research.motion import KINDS
from carcloud.research.roads import LANE_KINDS, RoadMap

REACH_M = 3.0
"""How far from the nearest lane a road user is still counted as being on it."""
CELL_M = 5.0
LIMIT_CELLS = 1_000_000
LIMIT_ENTRIES = 8_000_000
EDGE_M = 1e-6
"""Nearer to a piece than that is in it, so that no rounding opens a gap between two pieces."""

YAW_RAD = 0.3
OFFSET_M = 1.0
FOREIGN = 1e6
"""A lane for others than this road user is taken only where no other lies there."""

Numbers = NDArray[np.float64]
Places = NDArray[np.int32]

_OWN = {
    "pedestrian": ("walkway", "crossing"),
    "bicycle": ("bicycle", "driving", "ramp", "shoulder"),
}
_WHEELS = ("driving", "ramp", "shoulder")


def preferences() -> Numbers:
    """Return (kinds of road users, kinds of lanes): 0 where such lanes are theirs, else FOREIGN."""
    own = [_OWN.get(kind, _WHEELS) for kind in KINDS]
    return np.array([[0.0 if lane in lanes else FOREIGN for lane in LANE_KINDS] for lanes in own])


@dataclass(frozen=True)
class Grid:
    """Q pieces of lanes and the cells they lie in.

    Args:
        corners: (Q, 8) metres: left x, y, right x, y at its beginning; left x, y, right x, y at its end.
        middle: (Q, 6): x, y of the centre line's beginning, its direction's x, y, its length, and s there, metres.
        lane: (Q,) which lane of the map.
        kind: (Q,) the lane's kind as its place in LANE_KINDS.
        starts: (cells + 1,) where a cell's pieces begin in `entries`.
        entries: the pieces of all cells, in rising order within one.
        frame: x and y of the corner, the side of a cell, metres.
        size: columns and rows.
    """

    corners: Numbers
    middle: Numbers
    lane: Places
    kind: Places
    starts: NDArray[np.int64]
    entries: Places
    frame: tuple[float, float, float]
    size: tuple[int, int]

    @classmethod
    def of(cls, roads: RoadMap) -> Grid:
        """Lay the grid over a map's lanes; a map without lanes has a grid without cells."""
        corners, middle, lane, kind = _pieces(roads)
        if not len(lane):
            none = np.zeros(1, np.int64), np.empty(0, np.int32)
            return cls(corners, middle, lane, kind, *none, (0.0, 0.0, 1.0), (0, 0))
        xs, ys = corners[:, 0::2], corners[:, 1::2]
        left, low = float(xs.min()) - REACH_M, float(ys.min()) - REACH_M
        wide, high = float(xs.max()) + REACH_M - left, float(ys.max()) + REACH_M - low
        side = max(CELL_M, math.sqrt(wide * high / LIMIT_CELLS), wide / LIMIT_CELLS, high / LIMIT_CELLS)
        while _entries_at_most(corners, side) > LIMIT_ENTRIES and side < max(wide, high):
            side *= 2
        columns, rows = int(wide / side) + 1, int(high / side) + 1
        starts, entries = _cells(corners, left, low, side, columns, rows)
        return cls(corners, middle, lane, kind, starts, entries, (left, low, side), (columns, rows))


def _pieces(roads: RoadMap) -> tuple[Numbers, Numbers, Places, Places]:
    corners: list[Numbers] = [np.empty((0, 8))]
    middle: list[Numbers] = [np.empty((0, 6))]
    lanes: list[tuple[int, int]] = []
    for at, lane in enumerate(roads.lanes):
        edges = np.hstack((lane.left_edge, lane.right_edge))
        corners.append(np.hstack((edges[:-1], edges[1:])))
        steps = np.diff(lane.centre, axis=0)
        lengths = np.hypot(steps[:, 0], steps[:, 1])
        along = np.concatenate(([0.0], np.cumsum(lengths)[:-1]))
        middle.append(np.column_stack((lane.centre[:-1], _directions(steps, lengths), lengths, along)))
        lanes += [(at, LANE_KINDS.index(lane.kind))] * len(steps)
    codes = np.array(lanes, np.int32).reshape(-1, 2)
    return (
        np.ascontiguousarray(np.vstack(corners), np.float64),
        np.ascontiguousarray(np.vstack(middle), np.float64),
        np.ascontiguousarray(codes[:, 0]),
        np.ascontiguousarray(codes[:, 1]),
    )


def _directions(steps: Numbers, lengths: Numbers) -> Numbers:
    """Return unit vectors; a step of no length has the direction of the last that has one, or else of the next."""
    moving = lengths > 1e-9
    if not moving.any():
        return np.tile([1.0, 0.0], (len(steps), 1))
    last = np.maximum.accumulate(np.where(moving, np.arange(len(steps)), -1))
    last[last < 0] = int(np.argmax(moving))
    directions: Numbers = steps[last] / lengths[last, None]
    return directions


@compiled
def _cuts(corners: Numbers, q: int, side: float) -> int:
    """Return into how many parts along its length a piece is cut, so that a slanting one fills few cells."""
    left = math.hypot(corners[q, 4] - corners[q, 0], corners[q, 5] - corners[q, 1])
    right = math.hypot(corners[q, 6] - corners[q, 2], corners[q, 7] - corners[q, 3])
    return int(max(left, right) / (2 * side)) + 1


@compiled
def _box(corners: Numbers, q: int, part: int, parts: int) -> tuple[float, float, float, float]:
    """Return the box around one part of a piece, REACH_M wider on every side."""
    low_x, low_y, high_x, high_y = math.inf, math.inf, -math.inf, -math.inf
    for corner in range(4):
        share = (part + corner // 2) / parts
        at = 2 * (corner % 2)
        x = corners[q, at] + share * (corners[q, at + 4] - corners[q, at])
        y = corners[q, at + 1] + share * (corners[q, at + 5] - corners[q, at + 1])
        low_x, low_y = min(low_x, x), min(low_y, y)
        high_x, high_y = max(high_x, x), max(high_y, y)
    margin = REACH_M + 0.001
    return low_x - margin, low_y - margin, high_x + margin, high_y + margin


@compiled
def _entries_at_most(corners: Numbers, side: float) -> float:
    count = 0.0
    for q in range(corners.shape[0]):
        parts = _cuts(corners, q, side)
        for part in range(parts):
            x0, y0, x1, y1 = _box(corners, q, part, parts)
            count += ((x1 - x0) // side + 2) * ((y1 - y0) // side + 2)
            if count > LIMIT_ENTRIES:
                return count
    return count


@compiled
def _cells(
    corners: Numbers, left: float, low: float, side: float, columns: int, rows: int
) -> tuple[NDArray[np.int64], Places]:
    """Return where each cell's pieces begin, and the pieces: counted in a first pass, filled in a second."""
    starts = np.zeros(columns * rows + 1, np.int64)
    entries = np.empty(0, np.int32)
    for filling in range(2):
        seen = np.full(columns * rows, -1, np.int32)
        if filling:
            starts[1:] = np.cumsum(starts[1:])
            entries = np.empty(starts[-1], np.int32)
            following = starts[:-1].copy()
        else:
            following = starts[1:]
        for q in range(corners.shape[0]):
            parts = _cuts(corners, q, side)
            for part in range(parts):
                x0, y0, x1, y1 = _box(corners, q, part, parts)
                for row in range(max(0, int((y0 - low) // side)), min(rows - 1, int((y1 - low) // side)) + 1):
                    for column in range(
                        max(0, int((x0 - left) // side)), min(columns - 1, int((x1 - left) // side)) + 1
                    ):
                        cell = row * columns + column
                        if seen[cell] == q:
                            continue
                        seen[cell] = q
                        if filling:
                            entries[following[cell]] = q
                        following[cell] += 1
    return starts, entries


@compiled
def _off(corners: Numbers, q: int, x: float, y: float) -> float:
    """Return how far outside of a piece a place is, metres; 0 within."""
    ax, ay, bx, by = corners[q, 0], corners[q, 1], corners[q, 2], corners[q, 3]
    cx, cy, dx, dy = corners[q, 6], corners[q, 7], corners[q, 4], corners[q, 5]
    if _within(ax, ay, bx, by, cx, cy, x, y) or _within(ax, ay, cx, cy, dx, dy, x, y):
        return 0.0
    if _from_line(ax, ay, cx, cy, x, y) <= EDGE_M:
        return 0.0
    return min(
        min(_from_line(ax, ay, bx, by, x, y), _from_line(bx, by, cx, cy, x, y)),
        min(_from_line(cx, cy, dx, dy, x, y), _from_line(dx, dy, ax, ay, x, y)),
    )


@compiled
def _within(ax: float, ay: float, bx: float, by: float, cx: float, cy: float, x: float, y: float) -> bool:
    first = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
    second = (cx - bx) * (y - by) - (cy - by) * (x - bx)
    third = (ax - cx) * (y - cy) - (ay - cy) * (x - cx)
    return (first > 0 and second > 0 and third > 0) or (first < 0 and second < 0 and third < 0)


@compiled
def _from_line(ax: float, ay: float, bx: float, by: float, x: float, y: float) -> float:
    along_x, along_y = bx - ax, by - ay
    square = along_x * along_x + along_y * along_y
    share = 0.0
    if square > 0:
        share = min(1.0, max(0.0, ((x - ax) * along_x + (y - ay) * along_y) / square))
    return math.hypot(x - ax - share * along_x, y - ay - share * along_y)


@compiled
def search(
    corners: Numbers,
    middle: Numbers,
    lane: Places,
    kind: Places,
    starts: NDArray[np.int64],
    entries: Places,
    frame: tuple[float, float, float],
    size: tuple[int, int],
    preference: Numbers,
    xs: Numbers,
    ys: Numbers,
    yaws: Numbers,
    users: Places,
) -> tuple[Places, Numbers, Numbers, NDArray[np.bool_]]:
    """Find the best piece for each of N places; see `location.locate` for what is best.

    Args:
        preference: (kinds of road users, kinds of lanes).
        xs, ys, yaws: (N,) metres and radians; a yaw of NaN has no say.
        users: (N,) kinds of road users.

    Returns:
        (N,) lane or -1, s, d, and whether the place lies between the lane's edges.
    """
    left, low, side = frame
    columns, rows = size
    count = xs.shape[0]
    lanes = np.full(count, -1, np.int32)
    s, d = np.full(count, np.nan), np.full(count, np.nan)
    inside = np.zeros(count, np.bool_)
    for at in range(count):
        x, y = xs[at], ys[at]
        column, row = (x - left) // side, (y - low) // side
        if not (0 <= column < columns and 0 <= row < rows):
            continue
        cell = int(row) * columns + int(column)
        best_off, best_cost = math.inf, math.inf
        for entry in range(starts[cell], starts[cell + 1]):
            q = entries[entry]
            off = _off(corners, q, x, y)
            if off > REACH_M:
                continue
            if off <= EDGE_M:
                off = 0.0
            if off > best_off:
                continue
            away_x, away_y = x - middle[q, 0], y - middle[q, 1]
            offset = middle[q, 2] * away_y - middle[q, 3] * away_x
            cost = (offset / OFFSET_M) ** 2 + preference[users[at], kind[q]]
            if not math.isnan(yaws[at]):
                turned = math.atan2(middle[q, 3], middle[q, 2]) - yaws[at]
                cost += (math.atan2(math.sin(turned), math.cos(turned)) / YAW_RAD) ** 2
            if off < best_off or cost < best_cost:
                best_off, best_cost = off, cost
                lanes[at] = lane[q]
                along = middle[q, 2] * away_x + middle[q, 3] * away_y
                s[at] = middle[q, 5] + min(middle[q, 4], max(0.0, along))
                d[at] = offset
                inside[at] = off == 0.0
    return lanes, s, d, inside
