"""Roads as machine code drives on them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from carcloud.research.roads import Lane, RoadMap
from carcloud.research.simulation.compiled import compiled
from carcloud.research.simulation.where import on_any
from carcloud.research.simulation.world import AFTER, AFTER_END, BEGIN, CAP, END, HALF, Counts, Floats, Roads

DRIVABLE = ("driving", "ramp")
SIDEWAYS = 3.0
"""Metres a second squared: a simulated car takes bends no faster than that pushes it aside."""
FASTEST_MPS = 100.0
ROUTE_M = 1000.0
SHORTEST_M = 0.01


def flattened(maps: Sequence[RoadMap]) -> tuple[Roads, Floats]:
    """Return the lanes of maps one after another, and the points (N, 4) of their middles."""
    lanes = [lane for one in maps for lane in one.lanes]
    begins = np.concatenate([[0], np.cumsum([len(one.lanes) for one in maps])]).astype(np.int64)
    known = [{lane.name: int(begin) + at for at, lane in enumerate(one.lanes)} for begin, one in _pairs(begins, maps)]
    names = [known[at] for at, one in enumerate(maps) for _ in one.lanes]
    lines = [line_of(lane) for lane in lanes]
    points = np.concatenate([[0], np.cumsum([len(line) for line in lines])]).astype(np.int64)
    links: list[int] = []
    rows = np.full((max(len(lanes), 1), 9), -1, np.int64)
    wide = np.ones((max(len(lanes), 1), 2))
    for at, (lane, numbers) in enumerate(zip(lanes, names, strict=True)):
        ways = [[numbers[name] for name in each if name in numbers] for each in (lane.after, lane.before)]
        first, second = len(links), len(links) + len(ways[0])
        links += ways[0] + ways[1]
        beside = numbers.get(lane.left, -1), numbers.get(lane.right, -1)
        rows[at] = (*points[at : at + 2], *beside, first, second, second, len(links), lane.kind in DRIVABLE)
        wide[at, HALF] = np.hypot(*(lane.left_edge - lane.right_edge).T).mean() / 2
        wide[at, CAP] = _cap(lane, lines[at])
    return Roads(rows, wide, np.array(links or [-1], np.int64), begins), np.concatenate([*lines, np.zeros((0, 4))])


def _pairs(begins: Counts, maps: Sequence[RoadMap]) -> list[tuple[int, RoadMap]]:
    return list(zip(begins[:-1].tolist(), maps, strict=True))


def line_of(lane: Lane) -> Floats:
    """Return a lane's middle (N, 4): x, y, yaw, s."""
    points = lane.centre
    far = np.hypot(*np.diff(points, axis=0).T)
    points = points[np.concatenate([[True], far > SHORTEST_M])]
    if len(points) < 2:
        points = np.array([points[0], points[0] + [SHORTEST_M * 2, 0.0]])
    parts = np.diff(points, axis=0)
    headings = np.unwrap(np.arctan2(parts[:, 1], parts[:, 0]))
    yaw = np.concatenate([headings[:1], (headings[:-1] + headings[1:]) / 2, headings[-1:]])
    s = np.concatenate([[0.0], np.cumsum(np.hypot(parts[:, 0], parts[:, 1]))])
    return np.column_stack([points, np.remainder(yaw + np.pi, 2 * np.pi) - np.pi, s])


def _cap(lane: Lane, line: Floats) -> float:
    turn = np.abs(np.remainder(np.diff(line[:, 2]) + np.pi, 2 * np.pi) - np.pi)
    bend = float(np.percentile(turn / np.diff(line[:, 3]), 90))
    return min(lane.limit_mps or FASTEST_MPS, FASTEST_MPS, float(np.sqrt(SIDEWAYS / max(bend, 1e-6))))


@compiled
def lane_at(
    line: Floats, lanes: Counts, wide: Floats, first: int, last: int, x: float, y: float, yaw: float
) -> tuple[int, float, float, int]:
    """Return the lane of [first, last) at a place, s, d and the row before it; -1 for none."""
    return on_any(line, lanes, wide, first, last, x, y, yaw)


def route(roads: Roads, points: Floats, map_at: int, line: Floats) -> Floats:
    """Return the line from a place on along the lanes it lies on; the place alone where it lies on none.

    At a fork the way goes on by the lane that its source names first.
    """
    x, y, yaw = line[0, :3].tolist()
    first, last = roads.begins[map_at : map_at + 2].tolist()
    lane, s, d, _ = lane_at(points, roads.lanes, roads.wide, first, last, x, y, yaw)
    parts, seen, begin = [line], 0.0, s
    while lane >= 0 and seen < ROUTE_M:
        row = roads.lanes[lane]
        here = points[row[BEGIN] : row[END]]
        part = here[here[:, 3] > begin].copy()
        part[:, 0] -= d * np.sin(part[:, 2])
        part[:, 1] += d * np.cos(part[:, 2])
        parts.append(part)
        seen, begin = seen + here[-1, 3] - max(begin, 0.0), 0.0
        lane = int(roads.links[row[AFTER]]) if row[AFTER_END] > row[AFTER] else -1
    way = np.concatenate(parts)
    far = np.concatenate([[1.0], np.hypot(np.diff(way[:, 0]), np.diff(way[:, 1]))])
    way = way[far > SHORTEST_M]
    way[0, 3] = 0.0
    way[1:, 3] = np.cumsum(np.hypot(np.diff(way[:, 0]), np.diff(way[:, 1])))
    return way


NO_ROADS, NO_POINTS = flattened([])
