"""Which lane leads into which: links within a road, from road to road, and through junctions.

Rules:
* A link joins one end of a lane to one end of another. It is taken for traffic only where one is left there and the
  other entered: lanes that meet head on are not linked.
* What one of two lanes says of their link holds for both.
* A link to a lane that is not there is left out.

Source: ASAM OpenDRIVE 1.8.1, clauses 10.3 (road linkage), 11.5 (lane linkage), 12.4 (junction connections).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from carcloud.research.adapters import xml
from carcloud.research.adapters.opendrive.sections import Section
from carcloud.research.roads import Lane

Key = tuple[str, int, int]
"""Road, section, lane."""
End = tuple[Key, str]
"""A lane, and `start` or `end` of it as its road counts."""
ENDS = {"predecessor": "start", "successor": "end"}


@dataclass(frozen=True)
class Road:
    """A road with its sections."""

    name: str
    element: xml.Element
    sections: tuple[Section, ...]

    @property
    def junction(self) -> bool:
        """Tell whether it lies in a junction."""
        return self.element.get("junction", "-1") not in ("-1", "")

    @property
    def left_hand(self) -> bool:
        """Tell whether traffic keeps to the left."""
        return self.element.get("rule") == "LHT"

    def at(self, end: str) -> int:
        """Return the section at an end."""
        return 0 if end == "start" else len(self.sections) - 1


def linked(
    root: xml.Element, roads: Mapping[str, Road], lanes: Mapping[Key, tuple[Lane, bool]]
) -> tuple[dict[Key, list[Key]], dict[Key, list[Key]]]:
    """Return for each lane which lead into it, and which it leads into."""
    before: dict[Key, list[Key]] = defaultdict(list)
    after: dict[Key, list[Key]] = defaultdict(list)
    joined = [*_within(roads), *_between(roads), *_through(root, roads, lanes)]
    for (one, one_end), (other, other_end) in joined:
        if one not in lanes or other not in lanes:
            continue
        leaves = lanes[one][1] == (one_end == "end")
        entered = lanes[other][1] == (other_end == "start")
        if leaves != entered:
            continue
        first, second = (one, other) if leaves else (other, one)
        if second not in after[first]:
            after[first].append(second)
            before[second].append(first)
    return before, after


def _targets(lane: xml.Element, which: str) -> Iterator[int]:
    for link in lane.findall(f"link/{which}"):
        yield int(xml.number(link, "id"))


def _within(roads: Mapping[str, Road]) -> Iterator[tuple[End, End]]:
    for road in roads.values():
        for at, section in enumerate(road.sections):
            for number, lane in section.lanes.items():
                for which, step in (("predecessor", -1), ("successor", 1)):
                    if 0 <= at + step < len(road.sections):
                        for target in _targets(lane, which):
                            other = "end" if step < 0 else "start"
                            yield ((road.name, at, number), ENDS[which]), ((road.name, at + step, target), other)


def _between(roads: Mapping[str, Road]) -> Iterator[tuple[End, End]]:
    for road in roads.values():
        for which, end in ENDS.items():
            link = road.element.find(f"link/{which}")
            other = roads.get(link.get("elementId", "")) if link is not None else None
            if link is None or other is None or link.get("elementType") != "road" or not road.sections:
                continue
            contact = "end" if link.get("contactPoint") == "end" else "start"
            here = road.at(end)
            for number, lane in road.sections[here].lanes.items():
                for target in _targets(lane, which):
                    yield ((road.name, here, number), end), ((other.name, other.at(contact), target), contact)


def _through(
    root: xml.Element, roads: Mapping[str, Road], lanes: Mapping[Key, tuple[Lane, bool]]
) -> Iterator[tuple[End, End]]:
    for junction in root.findall("junction"):
        for connection in junction.findall("connection"):
            incoming = roads.get(connection.get("incomingRoad", ""))
            connecting = roads.get(connection.get("connectingRoad") or connection.get("linkedRoad") or "")
            if incoming is None or connecting is None:
                continue
            contact = "end" if connection.get("contactPoint") == "end" else "start"
            for link in connection.findall("laneLink"):
                begin, to = int(xml.number(link, "from")), int(xml.number(link, "to"))
                there = (connecting.name, connecting.at(contact), to), contact
                ends = [
                    ((incoming.name, incoming.at(end), begin), end) for end in _meets(incoming, junction.get("id", ""))
                ]
                if ends:
                    yield min(ends, key=lambda end: _apart(end, there, lanes)), there


def _meets(road: Road, junction: str) -> list[str]:
    """Return the ends of a road that lie at a junction; both where it says of none."""
    found = []
    for which, end in ENDS.items():
        link = road.element.find(f"link/{which}")
        if link is not None and link.get("elementType") == "junction" and link.get("elementId") == junction:
            found.append(end)
    return found or ["start", "end"]


def _apart(one: End, other: End, lanes: Mapping[Key, tuple[Lane, bool]]) -> float:
    """Return how far apart two ends of lanes lie, metres; infinite where one of them is not there."""
    if one[0] not in lanes or other[0] not in lanes:
        return float("inf")
    places = []
    for key, end in (one, other):
        lane, along = lanes[key]
        places.append(lane.centre[0 if along == (end == "start") else -1])
    return float(np.hypot(*(places[0] - places[1])))
