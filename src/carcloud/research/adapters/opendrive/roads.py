"""Roads of OpenDRIVE as lanes.

Rules:
* A lane of a lane section is one lane, named road.section.lane with sections counted from 0; the road that we wrote
  ourselves says how its lanes were named before.
* Traffic keeps to the right unless a road says otherwise; a lane's points are in its direction of travel.
* A lane that is nowhere WIDTH_M wide has no place to drive on and is left out.
* The lane beside another is the next one of its section that has a width, whatever its kind.
* A lane's speed limit is the one that holds in its middle.
* Roads are flat: elevation, banking, signals and objects stay in the verbatim text.

Source: ASAM OpenDRIVE 1.8.1, clauses 8 to 12; files of 1.4 and later are read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.opendrive.cubics import cubics
from carcloud.research.adapters.opendrive.curves import reference_line
from carcloud.research.adapters.opendrive.links import Key, Road, linked
from carcloud.research.adapters.opendrive.sections import Section, borders, sections
from carcloud.research.adapters.opendrive.words import KINDS, UNITS, told
from carcloud.research.roads import LANE_KINDS, Lane, Points, RoadMap

WIDTH_M = 0.01
LIMIT_LANES = 100_000


@dataclass(frozen=True)
class Drawn:
    """A lane with what its links are made from."""

    lane: Lane
    along: bool
    """Whether it is driven in the direction of its road's reference line."""


def read_roads(text: bytes) -> RoadMap:
    """Return the lanes of an OpenDRIVE document, which is kept word for word.

    Raises:
        InputError: it is no OpenDRIVE, or a road in it cannot be drawn; it says in which line.
    """
    root = xml.parse_text(text, "The OpenDRIVE map")
    if root.tag != "OpenDRIVE":
        raise InputError(f"The map is no OpenDRIVE: its root is <{root.tag}>.", "Name an .xodr file.")
    roads, drawn = _drawn(root)
    names = {key: each.lane.name for key, each in drawn.items()}
    if len(set(names.values())) != len(names):
        raise InputError("Two lanes of the map have one name.", "Give each road its own id.")
    before, after = linked(root, roads, {key: (each.lane, each.along) for key, each in drawn.items()})
    lanes = tuple(
        replace(
            each.lane,
            before=_both(each.lane.before, [names[one] for one in before[key]]),
            after=_both(each.lane.after, [names[one] for one in after[key]]),
        )
        for key, each in drawn.items()
    )
    return RoadMap(_without_strangers(lanes), "opendrive", text)


def _both(told: tuple[str, ...], found: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*told, *found)))


def _without_strangers(lanes: tuple[Lane, ...]) -> tuple[Lane, ...]:
    """Return the lanes without names of lanes that are not among them."""
    known = {lane.name for lane in lanes} | {""}
    return tuple(
        replace(
            lane,
            before=tuple(name for name in lane.before if name in known),
            after=tuple(name for name in lane.after if name in known),
            left=lane.left if lane.left in known else "",
            right=lane.right if lane.right in known else "",
            opposite=lane.opposite if lane.opposite in known else "",
        )
        for lane in lanes
    )


def _drawn(root: xml.Element) -> tuple[dict[str, Road], dict[Key, Drawn]]:
    roads: dict[str, Road] = {}
    drawn: dict[Key, Drawn] = {}
    for element in root.findall("road"):
        name = element.get("id", "")
        if name in roads:
            raise InputError(f"{xml.where(element)} has the id {name[:40]!r} of another.", "Give each road its own.")
        line = reference_line(xml.child(element, "planView"))
        lanes = xml.child(element, "lanes")
        offset = cubics(lanes.findall("laneOffset"), "s")
        found = sections(lanes, line.end)
        roads[name] = Road(name, element, tuple(found))
        for at, section in enumerate(found):
            edges = borders(section, line, offset)
            drawn |= {(name, at, number): lane for number, lane in _of_section(roads[name], at, section, edges)}
        if len(drawn) > LIMIT_LANES:
            raise InputError(f"The map has over {LIMIT_LANES} lanes.", "Cut out the part that is driven on.")
    return roads, drawn


def _of_section(road: Road, at: int, section: Section, edges: dict[int, Points]) -> list[tuple[int, Drawn]]:
    """Draw the lanes of one section, from the leftmost to the rightmost seen along the road, each with its sides."""
    wide = [number for number in sorted(section.lanes, reverse=True) if _widest(edges, number) >= WIDTH_M]
    along = {number: _along(road, section.lanes[number], number) for number in wide}
    names = {number: _name(road, at, section, number) for number in wide}
    found = []
    for place, number in enumerate(wide):
        beside = [wide[one] if 0 <= one < len(wide) else 0 for one in (place - 1, place + 1)]
        left, right = beside if along[number] else reversed(beside)
        same = [names[one] if one and along[one] == along[number] else "" for one in (left, right)]
        other = [names[one] for one in (left, right) if one and along[one] != along[number]]
        element = section.lanes[number]
        lane = replace(
            _lane(road, section, number, edges, along[number], names[number]),
            left=(told(element, "left") or same)[0],
            right=(told(element, "right") or same[1:])[0],
            opposite=(told(element, "opposite") or other or [""])[0],
        )
        found.append((number, Drawn(lane, along[number])))
    return found


def _lane(road: Road, section: Section, number: int, edges: dict[int, Points], along: bool, name: str) -> Lane:
    element = section.lanes[number]
    outer, inner = edges[number], edges[_inner(edges, number)]
    left, right = (outer, inner) if number > 0 else (inner, outer)
    kind = (told(element, "kind") or [KINDS.get(element.get("type", ""), "other")])[0]
    return Lane(
        name=name,
        kind=kind if kind in LANE_KINDS else "other",
        left_edge=left if along else right[::-1].copy(),
        right_edge=right if along else left[::-1].copy(),
        before=tuple(told(element, "before")),
        after=tuple(told(element, "after")),
        limit_mps=_limit(road, section, element),
        junction="yes" in said if (said := told(element, "junction")) else road.junction,
    )


def _inner(edges: dict[int, Points], number: int) -> int:
    """Return the border on the inside of a lane: that of the next lane inwards, or the line between the sides."""
    side = 1 if number > 0 else -1
    return max((one for one in edges if 0 <= one * side < abs(number)), key=abs)


def _widest(edges: dict[int, Points], number: int) -> float:
    across = edges[number] - edges[_inner(edges, number)]
    return float(np.hypot(across[:, 0], across[:, 1]).max())


def _along(road: Road, lane: xml.Element, number: int) -> bool:
    forwards = (number < 0) != road.left_hand
    return forwards != (lane.get("direction") == "reversed")


def _name(road: Road, at: int, section: Section, number: int) -> str:
    return (told(section.lanes[number], "lane") or [f"{road.name}.{at}.{number}"])[0]


def _limit(road: Road, section: Section, lane: xml.Element) -> float | None:
    middle = (section.begin + section.end) / 2
    own = [(section.begin + xml.number(each, "sOffset", 0.0), each) for each in lane.findall("speed")]
    of_road = [
        (xml.number(kind, "s", 0.0), speed) for kind in road.element.findall("type") for speed in kind.findall("speed")
    ]
    for records in (own, of_road):
        holding = [(s, speed) for s, speed in records if s <= middle]
        if holding:
            return _metres_a_second(max(holding, key=lambda each: each[0])[1])
    return None


def _metres_a_second(speed: xml.Element) -> float | None:
    if speed.get("max") in (None, "no limit", "undefined"):
        return None
    unit = speed.get("unit", "m/s")
    if unit not in UNITS:
        raise InputError(f"{xml.where(speed)} has the unit {unit[:20]!r}.", f"Use one of {', '.join(UNITS)}.")
    limit = xml.number(speed, "max") * UNITS[unit]
    return limit if limit > 0 else None
