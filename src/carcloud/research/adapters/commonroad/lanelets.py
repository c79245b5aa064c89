"""Lanelets as lanes: edges, sides, ends, kinds, limits.

Rules:
* Edges need not have as many points as each other: points are added to both, so that no corner is lost.
* A lane's limit is its own, or the lowest that a sign of it says, in metres a second.
* Names of lanelets that are not in the file are left out.

Source: CommonRoad XML format documentation, versions 2018b and 2020a (Technical University of Munich).
"""

from __future__ import annotations

import copy

import numpy as np
from lxml import etree
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.commonroad.shapes import points
from carcloud.research.roads import Lane, Points, RoadMap

KINDS = {
    **dict.fromkeys(("accessRamp", "exitRamp"), "ramp"),
    "shoulder": "shoulder",
    "bicycleLane": "bicycle",
    "sidewalk": "walkway",
    "crosswalk": "crossing",
    "parking": "parking",
    **dict.fromkeys(("border", "restricted"), "other"),
}
"""Kinds of lanes by types of lanelets; all else is driven on."""

LIMIT_SIGNS = ("274", "R2-1", "C43", "B14", "B31", "R-32", "3.24")
"""The signs of a speed limit in the countries that CommonRoad has."""

LIMIT_LANELETS = 100_000
MAP = ("lanelet", "trafficSign", "trafficLight", "intersection", "location")


def road_map(root: xml.Element) -> RoadMap | None:
    """Return the lanes of a scenario; None where it has none.

    Raises:
        InputError: a lanelet is there twice, or an edge of it is missing or too short.
    """
    lanelets = root.findall("lanelet")
    if not lanelets:
        return None
    if len(lanelets) > LIMIT_LANELETS:
        raise InputError(f"The map has over {LIMIT_LANELETS} lanelets.", "Cut out the part that is driven on.")
    names = [each.get("id", "") for each in lanelets]
    again = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else set()
    if again or "" in names:
        raise InputError(f"The lanelets {sorted(again)[:3]} are there twice.", "Give each lanelet its own id.")
    limits, inside = _limits(root), _inside_junctions(root)
    lanes = tuple(_lane(each, set(names), limits, inside) for each in lanelets)
    return RoadMap(lanes, "commonroad", _text(root))


def _lane(lanelet: xml.Element, known: set[str], limits: dict[str, float], inside: set[str]) -> Lane:
    left, right = _edge(lanelet, "leftBound"), _edge(lanelet, "rightBound")
    left, right = paired(left, right)
    sides = {(side, way): _beside(lanelet, side, way, known) for side in _SIDES for way in ("same", "opposite")}
    name = lanelet.get("id", "")
    return Lane(
        name=name,
        kind=next((KINDS[each.text or ""] for each in lanelet.findall("laneletType") if each.text in KINDS), "driving"),
        left_edge=left,
        right_edge=right,
        before=_named(lanelet, "predecessor", known),
        after=_named(lanelet, "successor", known),
        left=sides["adjacentLeft", "same"],
        right=sides["adjacentRight", "same"],
        opposite=sides["adjacentLeft", "opposite"] or sides["adjacentRight", "opposite"],
        limit_mps=_limit(lanelet, limits),
        junction=name in inside,
    )


_SIDES = ("adjacentLeft", "adjacentRight")


def _edge(lanelet: xml.Element, name: str) -> Points:
    edge = points(xml.child(lanelet, name))
    if len(edge) < 2:
        raise InputError(f"{xml.where(lanelet)} has a <{name}> of fewer than two points.", "Mend it at its source.")
    return edge


def paired(left: Points, right: Points) -> tuple[Points, Points]:
    """Return two edges with as many points as each other: those of both, at the same shares of their lengths."""
    if len(left) == len(right):
        return left, right
    shares = [_shares(edge) for edge in (left, right)]
    both = np.unique(np.concatenate(shares))
    both = both[np.concatenate(([True], np.diff(both) > 1e-9))]
    return _at(left, shares[0], both), _at(right, shares[1], both)


def _shares(edge: Points) -> NDArray[np.float64]:
    way = np.concatenate(([0.0], np.cumsum(np.hypot(*np.diff(edge, axis=0).T))))
    return way / way[-1] if way[-1] > 0 else np.linspace(0.0, 1.0, len(edge))


def _at(edge: Points, shares: NDArray[np.float64], wanted: NDArray[np.float64]) -> Points:
    return np.column_stack([np.interp(wanted, shares, edge[:, axis]) for axis in (0, 1)])


def _named(lanelet: xml.Element, tag: str, known: set[str]) -> tuple[str, ...]:
    return tuple(name for each in lanelet.findall(tag) if (name := each.get("ref", "")) in known)


def _beside(lanelet: xml.Element, side: str, way: str, known: set[str]) -> str:
    found = (each.get("ref", "") for each in lanelet.findall(side) if each.get("drivingDir") == way)
    return next((name for name in found if name in known), "")


def _limits(root: xml.Element) -> dict[str, float]:
    """Return the limits that signs say, by the signs' ids."""
    found: dict[str, float] = {}
    for sign in root.findall("trafficSign"):
        for part in sign.findall("trafficSignElement"):
            if (part.findtext("trafficSignID") or "").strip() in LIMIT_SIGNS:
                for told in part.findall("additionalValue"):
                    found[sign.get("id", "")] = xml.number_in(told)
    return found


def _limit(lanelet: xml.Element, limits: dict[str, float]) -> float | None:
    own = [xml.number_in(each) for each in lanelet.findall("speedLimit") if (each.text or "").strip() != "inf"]
    signs = [limits[name] for each in lanelet.findall("trafficSignRef") if (name := each.get("ref", "")) in limits]
    said = [limit for limit in (*own, *signs) if limit > 0]
    return min(said, default=None)


def _inside_junctions(root: xml.Element) -> set[str]:
    ways = ("successorsRight", "successorsStraight", "successorsLeft")
    return {each.get("ref", "") for way in ways for each in root.findall(f"intersection/incoming/{way}")}


def _text(root: xml.Element) -> bytes:
    """Return the scenario's text with its map only."""
    kept = copy.copy(root)
    for each in list(kept):
        if each.tag not in MAP:
            kept.remove(each)
    return etree.tostring(kept, encoding="utf-8")
