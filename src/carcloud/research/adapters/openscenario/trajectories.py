"""Trajectories: lines that a body is moved along, with or without times.

Rules:
* All shapes become lines of points: of clothoids and NURBS one every SPACING_M or less.
* A heading is the one that the points say, or else that of the line.

Source: ASAM OpenSCENARIO XML 1.3, Shape, Polyline, Clothoid, ClothoidSpline, Nurbs, 6.9 (trajectories); L. Piegl and
W. Tiller, The NURBS Book, algorithm A4.1 (points of rational B-splines).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from carcloud.errors import InputError
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.positions import place_of

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.stage import Stage

SPACING_M = 0.5
LIMIT_POINTS = 200_000
LIMIT_ORDER = 10


@dataclass(frozen=True)
class Point:
    """A point of a trajectory: metres; radians, NaN where it says none; seconds, NaN where it says none."""

    x: float
    y: float
    z: float
    heading: float
    time: float


@dataclass(frozen=True)
class Pose:
    """Where a body is on a trajectory, and how fast the trajectory moves it, metres a second; NaN without times."""

    x: float
    y: float
    z: float
    heading: float
    speed: float


class Trajectory:
    """A line of points.

    Args:
        points: two or more; times rise where there are any.
    """

    def __init__(self, points: Sequence[Point], name: str) -> None:
        if not 2 <= len(points) <= LIMIT_POINTS:
            raise InputError(f"The trajectory {name[:60]!r} has {len(points)} points.", f"Give 2 to {LIMIT_POINTS}.")
        self._points = points
        self.times = [one.time for one in points]
        if self.timed and any(b < a for a, b in pairwise(self.times)):
            raise InputError(f"The times of trajectory {name[:60]!r} do not rise.", "Put its points in order.")
        self._along = [0.0]
        for a, b in pairwise(points):
            self._along.append(self._along[-1] + math.hypot(b.x - a.x, b.y - a.y))

    @property
    def timed(self) -> bool:
        """Return whether all its points have times."""
        return not any(math.isnan(time) for time in self.times)

    @property
    def length(self) -> float:
        """Return its length, metres."""
        return self._along[-1]

    def at_time(self, time: float) -> Pose:
        """Return the pose at a time of its own clock, seconds."""
        return self._between(self.times, time)

    def at_distance(self, distance: float) -> Pose:
        """Return the pose that far from its beginning, metres."""
        return self._between(self._along, distance)

    def nearest(self, x: float, y: float) -> float:
        """Return how far along it the point of it is that lies nearest to another, metres."""
        best, found = math.inf, 0.0
        for at, (a, b) in enumerate(pairwise(self._points)):
            dx, dy = b.x - a.x, b.y - a.y
            share = ((x - a.x) * dx + (y - a.y) * dy) / (dx * dx + dy * dy or 1.0)
            share = min(1.0, max(0.0, share))
            apart = math.hypot(x - a.x - share * dx, y - a.y - share * dy)
            if apart < best:
                best, found = apart, self._along[at] + share * math.hypot(dx, dy)
        return found

    def _between(self, scale: Sequence[float], value: float) -> Pose:
        at = min(max(bisect_right(scale, value) - 1, 0), len(scale) - 2)
        a, b = self._points[at], self._points[at + 1]
        span = scale[at + 1] - scale[at]
        share = min(1.0, max(0.0, (value - scale[at]) / span)) if span > 0 else 1.0
        heading = self._heading(at, a, b, share)
        speed = (self._along[at + 1] - self._along[at]) / (b.time - a.time) if b.time > a.time else math.nan
        return Pose(a.x + share * (b.x - a.x), a.y + share * (b.y - a.y), a.z + share * (b.z - a.z), heading, speed)

    def _heading(self, at: int, a: Point, b: Point, share: float) -> float:
        if not math.isnan(a.heading) and not math.isnan(b.heading):
            return a.heading + share * math.remainder(b.heading - a.heading, 2 * math.pi)
        if math.hypot(b.x - a.x, b.y - a.y) > 1e-6:
            return math.atan2(b.y - a.y, b.x - a.x)
        others = [(c, d) for c, d in pairwise(self._points[max(0, at - 50) : at + 50]) if (c.x, c.y) != (d.x, d.y)]
        return math.atan2(others[-1][1].y - others[-1][0].y, others[-1][1].x - others[-1][0].x) if others else 0.0


def read_trajectory(node: Node, stage: Stage) -> Trajectory:
    """Return a Trajectory element's line.

    Raises:
        InputError: it is wrong, or of a shape that is not supported.
    """
    shape = node.child("Shape").only()
    if shape.tag == "Polyline":
        points = [_vertex(one, stage) for one in shape.children("Vertex")]
        if node.flag("closed", False) and points:
            points.append(points[0])
    elif shape.tag == "Clothoid":
        points = _clothoid(shape, stage)
    elif shape.tag == "ClothoidSpline":
        points = _spline(shape, stage)
    elif shape.tag == "Nurbs":
        points = _nurbs(shape, stage)
    else:
        shape.unsupported()
    return Trajectory(points, node.text("name", ""))


def _vertex(node: Node, stage: Stage) -> Point:
    position = node.child("Position")
    place, what = place_of(position, stage), position.only()
    told = what.get("h") is not None or what.find("Orientation") is not None
    time = node.number_or_none("time")
    return Point(place.x, place.y, place.z, place.heading if told else math.nan, math.nan if time is None else time)


def _clothoid(node: Node, stage: Stage) -> list[Point]:
    place = place_of(node.child("Position"), stage)
    change = node.number_or_none("curvaturePrime")
    change = node.number("curvatureDot", 0.0) if change is None else change
    begin, end = node.number_or_none("startTime"), node.number_or_none("stopTime")
    start = Point(place.x, place.y, place.z, place.heading, math.nan if begin is None else begin)
    return _curve(start, node.number("curvature"), change, node.number("length"), math.nan if end is None else end)


def _spline(node: Node, stage: Stage) -> list[Point]:
    points: list[Point] = []
    end = node.number_or_none("timeEnd")
    segments = list(node.children("ClothoidSplineSegment"))
    times = [one.number_or_none("timeStart") for one in segments] + [end]
    for at, one in enumerate(segments):
        begin, until = (math.nan if time is None else time for time in times[at : at + 2])
        start = points[-1] if points else None
        position = one.find("PositionStart")
        if position is not None:
            place = place_of(position, stage)
            start = Point(place.x, place.y, place.z, place.heading, begin)
        if start is None:
            one.refuse("has no PositionStart")
        length, bend = one.number("length"), one.number("curvatureStart")
        change = (one.number("curvatureEnd") - bend) / length if length > 0 else 0.0
        start = Point(start.x, start.y, start.z, start.heading + one.number("hOffset", 0.0), begin)
        points = points[:-1] + _curve(start, bend, change, length, until)
    return points


def _curve(start: Point, bend: float, change: float, length: float, end: float) -> list[Point]:
    """Return the points of a clothoid, by Simpson's rule between them."""
    count = max(2, math.ceil(length / SPACING_M))
    if not 0 < length < math.inf or count > LIMIT_POINTS:
        raise InputError(f"A clothoid is {length:g} m long.", f"Give a length up to {LIMIT_POINTS * SPACING_M:g} m.")
    step = length / count
    points, x, y = [start], start.x, start.y
    for at in range(1, count + 1):
        turned = [
            start.heading + bend * s + change * s * s / 2 for s in (step * (at - 1), step * (at - 0.5), step * at)
        ]
        x += step * (math.cos(turned[0]) + 4 * math.cos(turned[1]) + math.cos(turned[2])) / 6
        y += step * (math.sin(turned[0]) + 4 * math.sin(turned[1]) + math.sin(turned[2])) / 6
        points.append(Point(x, y, start.z, turned[2], start.time + (end - start.time) * at / count))
    return points


def _nurbs(node: Node, stage: Stage) -> list[Point]:
    order = node.integer("order")
    controls = list(node.children("ControlPoint"))
    knots = [one.number("value") for one in node.children("Knot")]
    if not 2 <= order <= LIMIT_ORDER or len(controls) < order or len(knots) != len(controls) + order:
        node.refuse(f"has {len(controls)} control points and {len(knots)} knots for order {order}")
    if any(b < a for a, b in pairwise(knots)):
        node.refuse("has knots that do not rise")
    weights = [one.number("weight", 1.0) for one in controls]
    places = [_vertex(one, stage) for one in controls]
    rough = sum(math.hypot(b.x - a.x, b.y - a.y) for a, b in pairwise(places))
    count = min(LIMIT_POINTS - 1, max(10, math.ceil(rough / SPACING_M)))
    low, high = knots[order - 1], knots[len(controls)]
    return [_on_nurbs(low + (high - low) * at / count, order, knots, places, weights) for at in range(count + 1)]


def _on_nurbs(u: float, order: int, knots: list[float], places: list[Point], weights: list[float]) -> Point:
    degree = order - 1
    span = min(max(bisect_right(knots, u) - 1, degree), len(places) - 1)
    near = range(span - degree, span + 1)
    column = [[w * p.x, w * p.y, w * p.z, w * p.time, w] for p, w in ((places[i], weights[i]) for i in near)]
    for level in range(1, order):
        for j in range(degree, level - 1, -1):
            low, high = knots[j + span - degree], knots[j + 1 + span - level]
            share = (u - low) / (high - low) if high > low else 0.0
            column[j] = [(1 - share) * a + share * b for a, b in zip(column[j - 1], column[j], strict=True)]
    x, y, z, time, weight = column[degree]
    return Point(x / weight, y / weight, z / weight, math.nan, time / weight)
