"""Distances between bodies, and between bodies and places, as conditions measure them.

Rules:
* Distances are never below 0. Of boxes that overlap along an axis the distance along it is 0.
* Along a road means along the roads from the one to the other, on the way of the one behind; NaN where there is no such
  way within FARTHEST_M.

Source: ASAM OpenSCENARIO XML 1.3, 6.4 (distances).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from carcloud.research.adapters.openscenario.bodies import Body, Place
from carcloud.research.adapters.openscenario.ground import Ground
from carcloud.research.adapters.openscenario.nodes import Node

FARTHEST_M = 5000.0

Point = tuple[float, float]


def between(
    ground: Ground, one: Body, other: Body | Place, system: str, kind: str, freespace: bool, node: Node
) -> float:
    """Return the distance from one body to another or to a place, metres.

    Args:
        system: entity, lane or road.
        kind: longitudinal, lateral or euclidianDistance.
    """
    if kind in ("euclidianDistance", "cartesianDistance"):
        return _apart(one, other, freespace)
    if kind not in ("longitudinal", "lateral"):
        node.refuse(f"has the unknown relativeDistanceType {kind[:40]!r}")
    if system == "entity":
        return _on_axis(one, other, kind == "longitudinal", freespace)
    if system not in ("lane", "road"):
        node.refuse(f"measures in the coordinate system {system[:40]!r}, which is not supported")
    if kind == "lateral":
        return _across(ground, one, other, freespace)
    signed = along(ground, one, other)
    return abs(signed) if not freespace else _gap(signed, reach(ground, one), reach(ground, other))


def along(ground: Ground, one: Body, other: Body | Place) -> float:
    """Return how far ahead of one the other is along the roads, metres; negative behind; NaN where there is no way."""
    if not one.road or not other.road:
        return math.nan
    way = one.way or 1
    if one.road == other.road:
        return (other.s - one.s) * way
    ahead = ground.distance(one.road, one.s, one.lane, way, other.road, other.s, one.route, FARTHEST_M)
    behind = ground.distance(one.road, one.s, one.lane, -way, other.road, other.s, one.route, FARTHEST_M)
    if math.isnan(behind) or (not math.isnan(ahead) and ahead <= behind):
        return ahead
    return -behind


def collide(one: Body, other: Body) -> bool:
    """Return whether two boxes overlap, seen from above."""
    a, b = one.corners(), other.corners()
    return not (_parted(a, b) or _parted(b, a))


def _parted(a: Sequence[Point], b: Sequence[Point]) -> bool:
    for at in (0, 1):
        (ax, ay), (bx, by) = a[at], a[at + 1]
        nx, ny = by - ay, ax - bx
        ours = [x * nx + y * ny for x, y in a]
        theirs = [x * nx + y * ny for x, y in b]
        if max(ours) < min(theirs) or max(theirs) < min(ours):
            return True
    return False


def _points(one: Body | Place, freespace: bool) -> list[Point]:
    return one.corners() if freespace and isinstance(one, Body) else [(one.x, one.y)]


def _apart(one: Body, other: Body | Place, freespace: bool) -> float:
    if not freespace:
        return math.hypot(other.x - one.x, other.y - one.y)
    if isinstance(other, Body):
        if collide(one, other):
            return 0.0
        a, b = one.corners(), other.corners()
        return min(min(_to_box(p, b) for p in a), min(_to_box(p, a) for p in b))
    return _to_box((other.x, other.y), one.corners())


def _to_box(point: Point, box: Sequence[Point]) -> float:
    x, y = point
    least, inside = math.inf, True
    for (ax, ay), (bx, by) in zip(box, (*box[1:], box[0]), strict=True):
        dx, dy = bx - ax, by - ay
        share = ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy or 1.0)
        share = min(1.0, max(0.0, share))
        least = min(least, math.hypot(x - ax - share * dx, y - ay - share * dy))
        inside = inside and dx * (y - ay) - dy * (x - ax) <= 0
    return 0.0 if inside else least


def _on_axis(one: Body, other: Body | Place, longitudinal: bool, freespace: bool) -> float:
    cos, sin = math.cos(one.heading), math.sin(one.heading)
    nx, ny = (cos, sin) if longitudinal else (-sin, cos)
    ours = [x * nx + y * ny for x, y in _points(one, freespace)]
    theirs = [x * nx + y * ny for x, y in _points(other, freespace)]
    if not freespace:
        return abs(theirs[0] - ours[0])
    return max(min(theirs) - max(ours), min(ours) - max(theirs), 0.0)


def reach(ground: Ground, one: Body | Place) -> tuple[float, float]:
    """Return how far a body reaches back and ahead of its reference point along its road, in its way of driving."""
    if not isinstance(one, Body):
        return 0.0, 0.0
    heading = ground.pose(one.road, one.s, 0.0)[3] + (0.0 if (one.way or 1) > 0 else math.pi)
    cos, sin = math.cos(heading), math.sin(heading)
    reach = [(x - one.x) * cos + (y - one.y) * sin for x, y in one.corners()]
    return min(reach), max(reach)


def _gap(signed: float, ours: tuple[float, float], theirs: tuple[float, float]) -> float:
    if math.isnan(signed):
        return signed
    return max(signed + theirs[0] - ours[1], ours[0] - signed - theirs[1], 0.0)


def _across(ground: Ground, one: Body, other: Body | Place, freespace: bool) -> float:
    if not one.road or one.road != other.road:
        return math.nan
    apart = abs(other.t - one.t)
    if not freespace:
        return apart
    return max(apart - _half_across(ground, one) - _half_across(ground, other), 0.0)


def _half_across(ground: Ground, one: Body | Place) -> float:
    if not isinstance(one, Body):
        return 0.0
    turned = one.heading - ground.pose(one.road, one.s, 0.0)[3]
    return (abs(one.entity.length * math.sin(turned)) + abs(one.entity.width * math.cos(turned))) / 2
