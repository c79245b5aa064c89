"""Positions: where a scenario says that something is.

Rules:
* A position on a road that is not there, or beyond its end, is an InputError.
* Without an orientation a position on a lane points the way that the lane is driven, one on a road along it.

Source: ASAM OpenSCENARIO XML 1.3, Position, Orientation, 6.3 (coordinate systems).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario.bodies import Body, Place
from carcloud.research.adapters.openscenario.nodes import Node

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.stage import Stage


def place_of(position: Node, stage: Stage) -> Place:
    """Return where a Position is, now.

    Raises:
        InputError: it is nowhere, or of a kind that is not supported.
    """
    what = position.only()
    reader = _READERS.get(what.tag)
    return reader(what, stage) if reader is not None else what.unsupported()


def _world(node: Node, stage: Stage) -> Place:
    x, y, z = node.number("x"), node.number("y"), node.number("z", 0.0)
    return stage.on_ground(x, y, z, node.number("h", 0.0))


def _lane(node: Node, stage: Stage) -> Place:
    return on_lane(
        node, stage, node.text("roadId"), node.number("s"), node.integer("laneId"), node.number("offset", 0.0)
    )


def on_lane(node: Node, stage: Stage, road: str, s: float, lane: int, offset: float) -> Place:
    """Return the place on a lane; the node says how it is turned, and is named where there is no such lane."""
    _check_road(node, stage, road, s)
    if lane not in stage.ground.lanes_at(road, s):
        known = ", ".join(map(str, sorted(stage.ground.lanes_at(road, s))))
        node.refuse(f"is on lane {lane} of road {road!r}, which is not there at {s:g} m", f"There are: {known}.")
    t = stage.ground.centre(road, s, lane) + offset
    x, y, z, along = stage.ground.pose(road, s, t)
    driven = along + (0.0 if stage.ground.direction(road, lane) > 0 else math.pi)
    return Place(x, y, z, _heading(node, driven), road, s, t, lane)


def _road(node: Node, stage: Stage) -> Place:
    return _on_road(node, stage, node.text("roadId"), node.number("s"), node.number("t"))


def _on_road(node: Node, stage: Stage, road: str, s: float, t: float) -> Place:
    _check_road(node, stage, road, s)
    x, y, z, along = stage.ground.pose(road, s, t)
    return Place(x, y, z, _heading(node, along), road, s, t, stage.ground.lane_at(road, s, t))


def _relative_world(node: Node, stage: Stage) -> Place:
    other = _other(node, stage)
    x, y = other.x + node.number("dx"), other.y + node.number("dy")
    return stage.on_ground(x, y, other.z + node.number("dz", 0.0), _heading(node, other.heading))


def _relative_object(node: Node, stage: Stage) -> Place:
    other, ahead, aside = _other(node, stage), node.number("dx"), node.number("dy")
    cos, sin = math.cos(other.heading), math.sin(other.heading)
    x, y = other.x + ahead * cos - aside * sin, other.y + ahead * sin + aside * cos
    return stage.on_ground(x, y, other.z + node.number("dz", 0.0), _heading(node, other.heading))


def _relative_road(node: Node, stage: Stage) -> Place:
    other = _on_a_road(node, stage)
    road, s, _, _ = stage.ground.travel(other.road, other.s, other.lane, node.number("ds"), other.route)
    return _on_road(node, stage, road, s, other.t + node.number("dt"))


def _relative_lane(node: Node, stage: Stage) -> Place:
    other = _on_a_road(node, stage)
    along = node.number_or_none("ds")
    if along is None:
        along = node.number("dsLane") * (other.way or 1)
    lane = stage.ground.beside_lane(other.lane_now, node.integer("dLane"))
    if lane not in stage.ground.lanes_at(other.road, other.s):
        node.refuse(f"is on lane {lane}, which is not beside {other.entity.name}")
    road, s, lane, _ = stage.ground.travel(other.road, other.s, lane, along, other.route)
    place = on_lane(node, stage, road, s, lane, node.number("offset", 0.0))
    if node.find("Orientation") is None and other.way:
        place.heading = stage.ground.pose(road, s, place.t)[3] + (0.0 if other.way > 0 else math.pi)
    return place


def _on_route(node: Node, stage: Stage) -> Place:
    where = node.child("InRoutePosition").only()
    route = stage.route_of(node.child("RouteRef").only())
    if where.tag == "FromCurrentEntity":
        body = stage.body(where.text("entityRef"), where)
        return Place(body.x, body.y, body.z, _heading(node, body.heading), body.road, body.s, body.t, body.lane)
    along = where.number("pathS")
    road, s = stage.on_route(route, along, where)
    if where.tag == "FromLaneCoordinates":
        return on_lane(node, stage, road, s, where.integer("laneId"), where.number("laneOffset", 0.0))
    if where.tag == "FromRoadCoordinates":
        return _on_road(node, stage, road, s, where.number("t"))
    return where.unsupported()


_READERS: dict[str, Callable[[Node, Stage], Place]] = {
    "WorldPosition": _world,
    "LanePosition": _lane,
    "RoadPosition": _road,
    "RelativeWorldPosition": _relative_world,
    "RelativeObjectPosition": _relative_object,
    "RelativeRoadPosition": _relative_road,
    "RelativeLanePosition": _relative_lane,
    "RoutePosition": _on_route,
}


def _heading(node: Node, along: float) -> float:
    turned = node.find("Orientation")
    if turned is None:
        return along
    said = turned.number("h", 0.0)
    kind = turned.text("type", "absolute")
    if kind not in ("absolute", "relative"):
        turned.refuse(f"has the unknown type {kind[:40]!r}")
    return said + along if kind == "relative" else said


def _other(node: Node, stage: Stage) -> Body:
    other = stage.body(node.text("entityRef"), node)
    return other if other.present else node.refuse(f"refers to {other.entity.name}, which is nowhere yet")


def _on_a_road(node: Node, stage: Stage) -> Body:
    other = _other(node, stage)
    return other if other.road else node.refuse(f"refers to {other.entity.name}, which is on no road")


def _check_road(node: Node, stage: Stage, road: str, s: float) -> None:
    if not stage.ground.has(road):
        node.refuse(f"is on road {road[:40]!r}, which the road file has not")
    if not -1e-6 <= s <= stage.ground.length(road) + 1e-6:
        node.refuse(f"is at {s:g} m of road {road[:40]!r}, which is {stage.ground.length(road):g} m long")
