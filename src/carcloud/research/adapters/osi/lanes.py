"""Lanes of OSI ground truth as roads.

Rules:
* A lane lies between its left and its right boundaries, both brought into the direction of travel.
* A lane that lacks one of them is left out: half a lane is none. So is what is no lane to drive, ride or walk on.
* A neighbour that is driven the other way is `opposite`.
* Where no lane at all is marked as driven along its centre line, nobody marked them, and all are taken to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from carcloud.research.adapters.osi.messages import enum_name
from carcloud.research.roads import LANE_KINDS, Lane, Points, RoadMap

LIMIT_LANES = 50_000
LIMIT_PAIRS = 4_000_000
"""Points of an edge times points of the centre line; edges of more are matched by their lengths alone."""
SOURCE = "net.carcloud.lane"
"""The type of the reference in which our own files keep a lane's name, kind, speed limit and neighbours."""

_SUBTYPES = {
    "SUBTYPE_BIKING": "bicycle",
    "SUBTYPE_SIDEWALK": "walkway",
    "SUBTYPE_PARKING": "parking",
    "SUBTYPE_STOP": "shoulder",
    "SUBTYPE_BORDER": "shoulder",
    "SUBTYPE_SHOULDER": "shoulder",
    **dict.fromkeys(
        ("SUBTYPE_EXIT", "SUBTYPE_ENTRY", "SUBTYPE_ONRAMP", "SUBTYPE_OFFRAMP", "SUBTYPE_CONNECTINGRAMP"), "ramp"
    ),
}


def read_lanes(truth: Any) -> RoadMap | None:
    """Return the lanes of a GroundTruth message; None where it has none."""
    boundaries = {one.id.value: _points(one.boundary_line) for one in truth.lane_boundary}
    marked = any(lane.classification.centerline_is_driving_direction for lane in truth.lane)
    told = [_told(lane, boundaries, marked) for lane in truth.lane[:LIMIT_LANES]]
    drawn = {one.id: one for one in told if one is not None}
    names = {one.name for one in drawn.values()}
    lanes = tuple(_lane(one, drawn, names) for one in drawn.values())
    return RoadMap(lanes, "osi") if lanes else None


@dataclass(frozen=True)
class _Told:
    """A lane as OSI tells it, its edges brought into the direction of travel."""

    id: int
    name: str
    kind: str
    message: Any
    forward: bool
    left: Points
    right: Points


def _points(line: Any) -> Points:
    points = np.array([(one.position.x, one.position.y) for one in line], np.float64).reshape(-1, 2)
    return points[np.isfinite(points).all(axis=1)]


def _told(lane: Any, boundaries: dict[int, Points], marked: bool) -> _Told | None:
    class_ = lane.classification
    forward = bool(class_.centerline_is_driving_direction) or not marked
    centre = np.array([(one.x, one.y) for one in class_.centerline], np.float64).reshape(-1, 2)
    own = _own(lane)
    if own:
        centre = centre[:0]
    left = _joined([boundaries.get(one.value) for one in class_.left_lane_boundary_id], centre)
    right = _joined([boundaries.get(one.value) for one in class_.right_lane_boundary_id], centre)
    if left is None or right is None:
        return None
    left, right = _alike(left, right, centre)
    if not forward:
        left, right = right[::-1], left[::-1]
    name = own[0] if own else str(lane.id.value)
    return _Told(lane.id.value, name, _kind(class_), lane, forward, left, right)


def _joined(parts: list[Points | None], centre: Points) -> Points | None:
    """Return one line out of several, in the direction of the centre line."""
    lines = [_along(one, centre) for one in parts if one is not None and len(one) >= 2]
    if len(lines) < 2:
        return lines[0] if lines else None
    line = np.concatenate(sorted(lines, key=lambda one: _nearest(one[0], centre)))
    kept = np.r_[True, np.hypot(*np.diff(line, axis=0).T) > 1e-9]
    return line[kept] if kept.sum() >= 2 else None


def _along(line: Points, centre: Points) -> Points:
    if len(centre) < 2:
        return line
    return line if _nearest(line[0], centre) <= _nearest(line[-1], centre) else line[::-1]


def _nearest(point: Points, centre: Points) -> int:
    return int(np.argmin(((centre - point) ** 2).sum(axis=1))) if len(centre) else 0


def _alike(left: Points, right: Points, centre: Points) -> tuple[Points, Points]:
    """Return both edges with the same number of points, each beside the same place of the centre line."""
    if len(left) == len(right):
        return left, right
    if len(centre) >= 2 and len(centre) * max(len(left), len(right)) <= LIMIT_PAIRS:
        beside = _beside(left, centre), _beside(right, centre)
    else:
        beside = _shares(left), _shares(right)
    places = np.unique(np.concatenate(beside).round(6))
    drawn = [
        np.column_stack([np.interp(places, at, line[:, axis]) for axis in (0, 1)])
        for line, at in zip((left, right), beside, strict=True)
    ]
    return drawn[0], drawn[1]


def _beside(line: Points, centre: Points) -> Points:
    """Return how far along the centre line, in metres, each point of a line lies; never falling."""
    start, way = centre[:-1], np.diff(centre, axis=0)
    long = np.maximum(np.hypot(*way.T), 1e-9)
    share = np.clip(((line[:, None] - start) * way).sum(axis=2) / long**2, 0, 1)
    off = ((start + share[:, :, None] * way - line[:, None]) ** 2).sum(axis=2)
    nearest = off.argmin(axis=1)
    before = np.r_[0.0, np.cumsum(long)]
    along = before[nearest] + share[np.arange(len(line)), nearest] * long[nearest]
    return np.asarray(np.maximum.accumulate(along))


def _shares(line: Points) -> Points:
    way = np.r_[0.0, np.cumsum(np.hypot(*np.diff(line, axis=0).T))]
    return np.asarray(way / max(way[-1], 1e-9))


def _kind(class_: Any) -> str:
    subtype = enum_name("osi3.Lane.Classification.Subtype", class_.subtype)
    if subtype in _SUBTYPES:
        return _SUBTYPES[subtype]
    type_ = enum_name("osi3.Lane.Classification.Type", class_.type)
    return "driving" if type_ in ("TYPE_DRIVING", "TYPE_INTERSECTION") else "other"


def _lane(one: _Told, drawn: dict[int, _Told], names: set[str]) -> Lane:
    class_ = one.message.classification
    ahead = [(pair.antecessor_lane_id.value, pair.successor_lane_id.value) for pair in class_.lane_pairing]
    set_ = [(pair.HasField("antecessor_lane_id"), pair.HasField("successor_lane_id")) for pair in class_.lane_pairing]
    before = _names([before for (before, _), (is_set, _) in zip(ahead, set_, strict=True) if is_set], drawn)
    after = _names([after for (_, after), (_, is_set) in zip(ahead, set_, strict=True) if is_set], drawn)
    left = [drawn[each.value] for each in class_.left_adjacent_lane_id if each.value in drawn]
    right = [drawn[each.value] for each in class_.right_adjacent_lane_id if each.value in drawn]
    if not one.forward:
        before, after, left, right = after, before, right, left
    own = _own(one.message)
    beside = (
        [name if name in names else "" for name in own[3:]]
        if own
        else [
            next((each.name for each in left if _same_way(one, each)), ""),
            next((each.name for each in right if _same_way(one, each)), ""),
            next((each.name for each in (*left, *right) if not _same_way(one, each)), ""),
        ]
    )
    return Lane(
        name=one.name,
        kind=own[1] if own else one.kind,
        left_edge=one.left,
        right_edge=one.right,
        before=before,
        after=after,
        left=beside[0],
        right=beside[1],
        opposite=beside[2],
        limit_mps=_number(own[2]) if own else None,
        junction=enum_name("osi3.Lane.Classification.Type", class_.type) == "TYPE_INTERSECTION",
    )


def _own(lane: Any) -> list[str]:
    """Return what one of our own files says of a lane: name, kind, speed limit, left, right, opposite; else nothing."""
    for source in lane.source_reference:
        if source.type == SOURCE and len(source.identifier) == 6 and source.identifier[1] in LANE_KINDS:
            return list(source.identifier)
    return []


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _names(ids: list[int], drawn: dict[int, _Told]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(drawn[each].name for each in ids if each in drawn))


def _same_way(one: _Told, other: _Told) -> bool:
    mine, theirs = one.left[-1] - one.left[0], other.left[-1] - other.left[0]
    return bool(mine @ theirs >= 0)
