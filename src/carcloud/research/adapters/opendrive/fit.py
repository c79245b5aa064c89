"""A lane with any edges, seen from a smooth line through its middle: the way back from edges to OpenDRIVE.

Rules:
* The line goes through points of the lane's middle, KNOTS_M apart, and is at both ends square to the lane's end, so
  that the lane ends where it ended.
* Edges are cubics of their distance to the left of the line, in as many records as it takes to keep to FIT_M.
* Where that fails, a line with other knots is tried; a lane that folds within itself is refused.

Source: ASAM OpenDRIVE 1.8.1, clauses 9.7 (parametric cubics), 11.4 and 11.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from carcloud.errors import InputError
from carcloud.research.adapters.opendrive.curves import Curve, Part, ReferenceLine, line, param_poly3
from carcloud.research.roads import Lane

Numbers = NDArray[np.float64]

FIT_M = 0.002
"""How far a record may leave its edge."""
OFF_M = 0.008
"""How far an edge may lie from the one that is written, at its own points."""
KNOTS_M = (16.0, 8.0, 4.0, 2.0, 1.0)
STRAIGHT_M = 0.0005
SHORTEST_M = 0.02
ROUNDS = 60
TABLE_M = 0.05
LIMIT_TABLE = 200_000
BLOCK = 256
NEAR_M = 30.0
"""An edge is looked for that far along the line to both sides of where it is asked for."""

_NODES = np.array([0.0, 1 / 3, 2 / 3, 1.0])
_TRIED = np.array([0.1, 0.5, 0.9])
_GAUSS, _WEIGHTS = np.polynomial.legendre.leggauss(40)
_SOLVED = np.linalg.inv(np.vander(_NODES, increasing=True))


@dataclass(frozen=True)
class Piece:
    """One geometry: where it begins, and its coefficients; None for a straight line."""

    part: Part
    u: Numbers | None = None
    v: Numbers | None = None


@dataclass(frozen=True)
class Fit:
    """A lane as OpenDRIVE has it.

    Args:
        pieces: the reference line.
        starts: (K,) where records begin, metres.
        left: (K, 4) coefficients of the left edge's distance to the left.
        width: (K, 4) coefficients of the lane's width.
    """

    pieces: tuple[Piece, ...]
    starts: Numbers
    left: Numbers
    width: Numbers

    @property
    def length(self) -> float:
        """Return the length of the reference line, metres."""
        return self.pieces[-1].part.s + self.pieces[-1].part.length


def fitted(lane: Lane) -> Fit:
    """Return a lane as OpenDRIVE has it, within a centimetre.

    Raises:
        InputError: it is too short, or so bent that it folds within itself.
    """
    centre = _apart(lane.centre)
    if len(centre) < 2:
        raise InputError(f"The lane {lane.name[:40]!r} has no length.", "Leave it out of the map.")
    for knots in KNOTS_M:
        pieces = _straight(lane, centre) or _bent(lane, centre, knots)
        found = _records(lane, pieces)
        if found is not None:
            return found
    raise InputError(f"The lane {lane.name[:40]!r} is too bent to be written as OpenDRIVE.", "Draw it smoother.")


def _apart(points: Numbers) -> Numbers:
    kept = np.concatenate(([True], np.hypot(*np.diff(points, axis=0).T) > 1e-6))
    return points[kept]


def _straight(lane: Lane, centre: Numbers) -> tuple[Piece, ...] | None:
    """Return one line where the middle is straight and the lane's ends are square to it."""
    way = centre[-1] - centre[0]
    length = float(np.hypot(*way))
    if length < 1e-3:
        return None
    ahead = way / length
    for points in (centre, lane.left_edge, lane.right_edge):
        away = points - centre[0]
        if points is centre and np.abs(ahead[0] * away[:, 1] - ahead[1] * away[:, 0]).max() > STRAIGHT_M:
            return None
        along = away @ ahead
        if abs(along[0]) > STRAIGHT_M or abs(along[-1] - length) > STRAIGHT_M or np.diff(along).min() < 0:
            return None
    x, y = (float(one) for one in centre[0])
    return (Piece(Part(0.0, x, y, math.atan2(ahead[1], ahead[0]), length, line)),)


def _bent(lane: Lane, centre: Numbers, knots_m: float) -> tuple[Piece, ...]:
    way = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(centre, axis=0).T))))
    knots = np.linspace(0.0, way[-1], max(2, round(way[-1] / knots_m) + 1))
    points = np.column_stack([np.interp(knots, way, centre[:, axis]) for axis in (0, 1)])
    begin = _square(lane, 0, points[1] - points[0])
    end = _square(lane, -1, points[-1] - points[-2])
    spline = CubicSpline(knots, points, bc_type=((1, begin), (1, end)))
    pieces: list[Piece] = []
    s = 0.0
    for at in range(len(knots) - 1):
        piece = _piece(s, spline.c[::-1, at], float(knots[at + 1] - knots[at]))
        pieces.append(piece)
        s += piece.part.length
    return tuple(pieces)


def _square(lane: Lane, at: int, ahead: Numbers) -> Numbers:
    """Return the unit vector square to a lane's end; straight ahead where the end is too slanting or has no width."""
    across = lane.left_edge[at] - lane.right_edge[at]
    ahead = ahead / np.hypot(*ahead)
    width = float(np.hypot(*across))
    if width < 0.01:
        return ahead
    square: Numbers = np.array([across[1], -across[0]]) / width
    return square if square @ ahead > 0.5 else ahead


def _piece(s: float, coefficients: Numbers, span: float) -> Piece:
    """Return one cubic of the spline as a parametric cubic of its own frame, its parameter from 0 to 1."""
    scaled = coefficients * (span ** np.arange(4))[:, None]
    x, y = (float(one) for one in scaled[0])
    heading = math.atan2(scaled[1, 1], scaled[1, 0])
    ahead, aside = math.cos(heading), math.sin(heading)
    u = scaled[:, 0] * ahead + scaled[:, 1] * aside
    v = scaled[:, 1] * ahead - scaled[:, 0] * aside
    u[0] = v[0] = v[1] = 0.0
    p = (_GAUSS + 1) / 2
    slopes = np.stack((np.zeros_like(p), np.ones_like(p), 2 * p, 3 * p**2), axis=-1)
    length = float(np.hypot(slopes @ u, slopes @ v) @ _WEIGHTS) / 2
    curve: Curve = param_poly3(u, v, length, normalised=True)
    return Piece(Part(s, x, y, heading, length, curve), u, v)


@dataclass(frozen=True)
class _Table:
    """A reference line as a dense table: its places and headings at any length, within a hair."""

    s: Numbers
    columns: tuple[Numbers, Numbers, Numbers]

    @classmethod
    def of(cls, pieces: tuple[Piece, ...]) -> _Table:
        reference = ReferenceLine(tuple(piece.part for piece in pieces))
        count = 2 if pieces[0].u is None else int(np.clip(reference.end / TABLE_M, 2, LIMIT_TABLE))
        s = np.linspace(0.0, reference.end, count)
        x, y, heading = reference.at(s)
        return cls(s, (x, y, np.unwrap(heading)))

    def seen(self, points: Numbers, s: Numbers) -> tuple[Numbers, Numbers]:
        """Return how far points lie ahead and to the left of the line's places at s."""
        x, y, heading = (np.interp(s, self.s, column) for column in self.columns)
        away_x, away_y = points[..., 0] - x, points[..., 1] - y
        ahead, aside = np.cos(heading), np.sin(heading)
        return away_x * ahead + away_y * aside, away_y * ahead - away_x * aside


@dataclass(frozen=True)
class _Edge:
    """An edge and the lengths along the line where its points are passed."""

    points: Numbers
    s: Numbers

    def distances(self, table: _Table, s: Numbers) -> Numbers:
        """Return how far to the left the edge is met, going square from the line at s; the nearest crossing counts."""
        flat = s.ravel()
        found, rising = np.empty_like(flat), np.maximum.accumulate(self.s)
        for at in range(0, len(flat), BLOCK):
            block = flat[at : at + BLOCK]
            low, high = np.searchsorted(rising, (block.min() - NEAR_M, block.max() + NEAR_M))
            low, high = max(0, int(low) - 1), int(high) + 1
            found[at : at + BLOCK] = _met(table, self.points[low:high], block)
        return found.reshape(s.shape)


def _records(lane: Lane, pieces: tuple[Piece, ...]) -> Fit | None:
    """Return the records of both edges; None where the line does not suit the lane."""
    table = _Table.of(pieces)
    end = float(table.s[-1])
    edges, marks = [], [np.array([0.0, end])]
    for points in (_apart(lane.left_edge), _apart(lane.right_edge)):
        s, off = _along(table, points)
        if off > OFF_M or (np.diff(s) < -SHORTEST_M).any():
            return None
        edges.append(_Edge(points, s))
        marks.append(s)
    starts = np.unique(np.concatenate(marks))
    starts = starts[np.concatenate(([True], np.diff(starts) > SHORTEST_M))]
    starts = starts[starts < end - SHORTEST_M]
    while True:
        ends = np.append(starts[1:], end)
        rows, misses = zip(*(_cubics(table, edge, starts, ends) for edge in edges), strict=True)
        bad = (np.maximum(*misses) > FIT_M) & (ends - starts > 2 * SHORTEST_M)
        if not bad.any():
            break
        starts = np.sort(np.concatenate((starts, ((starts + ends) / 2)[bad])))
    if np.maximum(*misses).max() > OFF_M:
        return None
    return Fit(pieces, starts, rows[0], rows[0] - rows[1])


def _along(table: _Table, points: Numbers) -> tuple[Numbers, float]:
    """Return for each point of an edge where the line passes it, and the greatest distance from being square to it."""
    coarse = np.linspace(0.0, table.s[-1], max(2, min(20_000, int(table.s[-1]) + 2)))
    places = np.column_stack([np.interp(coarse, table.s, column) for column in table.columns[:2]])
    s = coarse[cKDTree(places).query(points)[1]]
    for at in range(ROUNDS):
        ahead, _ = table.seen(points, s)
        moved = np.clip(s + ahead * (1.0 if at < ROUNDS // 2 else 0.6), 0.0, table.s[-1])
        if np.abs(moved - s).max() < 1e-9:
            break
        s = moved
    return s, float(np.abs(table.seen(points, s)[0]).max())


def _cubics(table: _Table, edge: _Edge, starts: Numbers, ends: Numbers) -> tuple[Numbers, Numbers]:
    """Return (K, 4) coefficients of an edge's distances from the line, and by how much each record misses the edge."""
    spans = (ends - starts)[:, None]
    told = edge.distances(table, starts[:, None] + spans * _NODES)
    shares = told @ _SOLVED.T
    tried = edge.distances(table, starts[:, None] + spans * _TRIED)
    missed = np.abs(shares @ np.vander(_TRIED, 4, increasing=True).T - tried).max(axis=1)
    return shares / spans ** np.arange(4), missed


def _met(table: _Table, points: Numbers, s: Numbers) -> Numbers:
    ahead, aside = table.seen(points[None], s[:, None])
    low, high = ahead[:, :-1], ahead[:, 1:]
    crossed = (low <= 0) & (high >= 0) & (high > low)
    share = np.where(crossed, -low / np.where(crossed, high - low, 1.0), 0.0)
    at = np.where(crossed, aside[:, :-1] + share * (aside[:, 1:] - aside[:, :-1]), np.inf)
    best = np.take_along_axis(at, np.abs(at).argmin(axis=1)[:, None], axis=1)[:, 0]
    nearest = np.take_along_axis(aside, np.abs(ahead).argmin(axis=1)[:, None], axis=1)[:, 0]
    return np.where(np.isfinite(best), best, nearest)
