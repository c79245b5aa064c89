"""Lanes of any map as the text of OpenDRIVE 1.5.

Rules:
* Where the map came as OpenDRIVE, its own text is given back.
* Else each lane is a road of one lane, within a centimetre of its edges, and `carcloud.` user data keeps what OpenDRIVE
  has no word for between roads: the lane's name, its sides, and its ends.
* Lanes that lead into one another alone are linked as roads; a fork or merge is a junction where its arms can be
  connecting roads, which lead from one road to one road, neither of them an arm itself.

Source: ASAM OpenDRIVE 1.5, clauses 8 (roads), 9 (lanes), 10 (junctions).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from lxml import etree

from carcloud.research.adapters.opendrive.fit import Fit, Piece, fitted
from carcloud.research.adapters.opendrive.words import OURS, TYPES
from carcloud.research.adapters.xml import Element
from carcloud.research.roads import Lane, RoadMap


@dataclass
class Net:
    """How lanes become roads.

    Args:
        roads: the id of each lane's road, by the lane's name.
        junctions: the id of the junction that a lane is an arm of.
        at_end, at_start: the id of the junction that a lane leads into, or comes from.
    """

    roads: dict[str, str]
    junctions: dict[str, str] = field(default_factory=dict)
    at_end: dict[str, str] = field(default_factory=dict)
    at_start: dict[str, str] = field(default_factory=dict)


def write_roads(roads: RoadMap) -> bytes:
    """Return the text of an OpenDRIVE document, UTF-8.

    Raises:
        InputError: a lane cannot be written within a centimetre.
    """
    if roads.format == "opendrive" and roads.verbatim is not None:
        return roads.verbatim
    root = etree.Element("OpenDRIVE")
    _add(root, "header", revMajor="1", revMinor="5", name="", version="1.00", **_extent(roads))
    net = _net(roads)
    for lane in roads.lanes:
        _road(root, lane, fitted(lane), net, roads)
    for name in dict.fromkeys(net.junctions.values()):
        _junction(root, name, net, roads)
    return etree.tostring(root, encoding="utf-8", xml_declaration=True, pretty_print=True)


def _add(parent: Element, tag: str, **attributes: str | float) -> Element:
    told = {name: each if isinstance(each, str) else repr(float(each)) for name, each in attributes.items()}
    return etree.SubElement(parent, tag, told)


def _extent(roads: RoadMap) -> dict[str, float]:
    if not roads.lanes:
        return {}
    points = np.vstack([edge for lane in roads.lanes for edge in (lane.left_edge, lane.right_edge)])
    (west, south), (east, north) = points.min(axis=0), points.max(axis=0)
    return {"north": float(north), "south": float(south), "east": float(east), "west": float(west)}


def _net(roads: RoadMap) -> Net:
    net = Net({lane.name: str(at) for at, lane in enumerate(roads.lanes, 1)})
    known = roads.by_name
    arms = {lane.name for lane in roads.lanes if _is_arm(lane, known)}
    for number, cluster in enumerate(_clusters(arms, known), len(roads.lanes) + 1):
        ends = {name for arm in cluster for name in (*known[arm].before, *known[arm].after)}
        if ends & arms or any(len(known[arm].before) != 1 or len(known[arm].after) != 1 for arm in cluster):
            continue
        for arm in cluster:
            net.junctions[arm] = str(number)
            net.at_end[known[arm].before[0]] = net.at_start[known[arm].after[0]] = str(number)
    return net


def _is_arm(lane: Lane, known: dict[str, Lane]) -> bool:
    forks = any(len(known[name].after) > 1 for name in lane.before if name in known)
    return forks or any(len(known[name].before) > 1 for name in lane.after if name in known)


def _clusters(arms: set[str], known: dict[str, Lane]) -> Iterator[list[str]]:
    """Yield the arms that share a lane they come from or lead into."""
    left = dict.fromkeys(name for name in known if name in arms)
    while left:
        cluster, waiting = [], [next(iter(left))]
        left.pop(waiting[0])
        while waiting:
            arm = known[waiting.pop()]
            cluster.append(arm.name)
            beside = [name for one in arm.before for name in known[one].after]
            beside += [name for one in arm.after for name in known[one].before]
            for name in beside:
                if name in left:
                    left.pop(name)
                    waiting.append(name)
        yield cluster


def _road(root: Element, lane: Lane, fit: Fit, net: Net, roads: RoadMap) -> None:
    inside = net.junctions.get(lane.name, "-1")
    road = _add(root, "road", name="", length=fit.length, id=net.roads[lane.name], junction=inside)
    links = {
        "predecessor": _link(lane, lane.before, net.at_start, "end", net, roads),
        "successor": _link(lane, lane.after, net.at_end, "start", net, roads),
    }
    if any(links.values()):
        told = _add(road, "link")
        for which, link in links.items():
            if link:
                _add(told, which, **link)
    plan = _add(road, "planView")
    for piece in fit.pieces:
        _geometry(plan, piece)
    lanes = _add(road, "lanes")
    for s, row in zip(fit.starts, fit.left, strict=True):
        _add(lanes, "laneOffset", s=float(s), **_coefficients(row))
    section = _add(lanes, "laneSection", s=0.0)
    _add(_add(section, "center"), "lane", id="0", type="none", level="false")
    element = _add(_add(section, "right"), "lane", id="-1", type=TYPES[lane.kind], level="false")
    joined = [which for which, link in links.items() if link and link["elementType"] == "road"]
    if joined:
        told = _add(element, "link")
        for which in joined:
            _add(told, which, id="-1")
    for s, row in zip(fit.starts, fit.width, strict=True):
        _add(element, "width", sOffset=float(s), **_coefficients(row))
    if lane.limit_mps is not None:
        _add(element, "speed", sOffset=0.0, max=lane.limit_mps, unit="m/s")
    for code, value in _ours(lane):
        _add(element, "userData", code=OURS + code, value=value)


def _link(
    lane: Lane, names: tuple[str, ...], junctions: dict[str, str], contact: str, net: Net, roads: RoadMap
) -> dict[str, str]:
    """Return what a road's link at one end says; nothing where it ends there or leads several ways."""
    if lane.name in junctions:
        return {"elementType": "junction", "elementId": junctions[lane.name]}
    if len(names) != 1 or names[0] not in net.roads:
        return {}
    other = roads.by_name[names[0]]
    alone = (other.after if contact == "end" else other.before) == (lane.name,)
    if not alone and lane.name not in net.junctions:
        return {}
    return {"elementType": "road", "elementId": net.roads[names[0]], "contactPoint": contact}


def _geometry(plan: Element, piece: Piece) -> None:
    part = piece.part
    geometry = _add(plan, "geometry", s=part.s, x=part.x, y=part.y, hdg=part.heading, length=part.length)
    if piece.u is None or piece.v is None:
        _add(geometry, "line")
        return
    u, v = _coefficients(piece.u, "U"), _coefficients(piece.v, "V")
    _add(geometry, "paramPoly3", **u, **v, pRange="normalized")


def _coefficients(row: np.ndarray, axis: str = "") -> dict[str, float]:
    return {name + axis: float(one) for name, one in zip("abcd", row, strict=True)}


def _ours(lane: Lane) -> Iterator[tuple[str, str]]:
    yield "lane", lane.name
    yield "kind", lane.kind
    yield "junction", "yes" if lane.junction else "no"
    for side, name in (("left", lane.left), ("right", lane.right), ("opposite", lane.opposite)):
        if name:
            yield side, name
    yield from (("before", name) for name in lane.before)
    yield from (("after", name) for name in lane.after)


def _junction(root: Element, name: str, net: Net, roads: RoadMap) -> None:
    junction = _add(root, "junction", name="", id=name)
    for at, arm in enumerate(arm for arm in net.junctions if net.junctions[arm] == name):
        come = net.roads[roads.by_name[arm].before[0]]
        connection = _add(
            junction,
            "connection",
            id=str(at),
            incomingRoad=come,
            connectingRoad=net.roads[arm],
            contactPoint="start",
        )
        _add(connection, "laneLink", **{"from": "-1", "to": "-1"})
