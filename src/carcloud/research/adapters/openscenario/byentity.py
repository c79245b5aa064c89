"""Conditions on entities: distances, times to reach, speeds, collisions.

Source: ASAM OpenSCENARIO XML 1.3, EntityCondition; 6.4 (distances).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario.bodies import Body, Place
from carcloud.research.adapters.openscenario.distances import along, between, collide
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.parameters import holds
from carcloud.research.adapters.openscenario.positions import place_of

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.stage import Stage

Ask = Callable[[Body], bool]
Target = Callable[[], Body | Place]


def _measure(node: Node) -> tuple[str, str, bool]:
    """Return coordinate system, type of distance and freespace; 1.0 said the first two by `alongRoute`."""
    route = node.get("alongRoute")
    kind, system = node.get("relativeDistanceType"), node.get("coordinateSystem")
    if kind is None:
        kind = "longitudinal" if route is not None and node.flag("alongRoute") else "euclidianDistance"
    if system is None:
        system = "road" if route is not None and node.flag("alongRoute") else "entity"
    return system, kind, node.flag("freespace")


def _distance(stage: Stage, node: Node, target: Target) -> Callable[[Body], float]:
    system, kind, freespace = _measure(node)

    def ask(body: Body) -> float:
        other = target()
        if other is body or (isinstance(other, Body) and not other.present):
            return math.nan
        return between(stage.ground, body, other, system, kind, freespace, node)

    return ask


def _entity(node: Node, stage: Stage) -> Target:
    other = stage.body(node.text("entityRef"), node)
    return lambda: other


def _place(node: Node, stage: Stage) -> Target:
    position = node.child("Position")
    if position.only().tag.startswith("Relative"):
        return lambda: place_of(position, stage)
    kept: list[Place] = []

    def place() -> Place:
        if not kept:
            kept.append(place_of(position, stage))
        return kept[0]

    return place


def _relative_distance(node: Node, stage: Stage) -> Ask:
    ask, rule, value = _distance(stage, node, _entity(node, stage)), node.text("rule"), node.number("value")
    return lambda body: holds(ask(body), rule, value, node)


def _distance_to_place(node: Node, stage: Stage) -> Ask:
    ask, rule, value = _distance(stage, node, _place(node, stage)), node.text("rule"), node.number("value")
    return lambda body: holds(ask(body), rule, value, node)


def _headway(node: Node, stage: Stage) -> Ask:
    ask, rule, value = _distance(stage, node, _entity(node, stage)), node.text("rule"), node.number("value")

    def true(body: Body) -> bool:
        speed = abs(body.speed)
        return holds(ask(body) / speed if speed > 1e-6 else math.inf, rule, value, node)

    return true


def _collision_time(node: Node, stage: Stage) -> Ask:
    what = node.child("TimeToCollisionConditionTarget").only()
    target = _entity(what, stage) if what.tag == "EntityRef" else _place_of_position(what, stage)
    ask, rule, value = _distance(stage, node, target), node.text("rule"), node.number("value")
    system, kind, _ = _measure(node)

    def true(body: Body) -> bool:
        other = target()
        apart = ask(body)
        closing = _closing(stage, body, other, system, kind)
        time = apart / closing if closing > 1e-6 else (math.nan if math.isnan(apart) else math.inf)
        return holds(time, rule, value, node)

    return true


def _place_of_position(what: Node, stage: Stage) -> Target:
    if what.tag != "Position":
        what.unsupported()
    return lambda: place_of(what, stage)


def _closing(stage: Stage, body: Body, other: Body | Place, system: str, kind: str) -> float:
    """Return how fast the distance shrinks, metres a second."""
    vx, vy = body.speed * math.cos(body.heading), body.speed * math.sin(body.heading)
    if isinstance(other, Body):
        vx -= other.speed * math.cos(other.heading)
        vy -= other.speed * math.sin(other.heading)
    if kind == "longitudinal" and system != "entity":
        ahead = along(stage.ground, body, other)
        theirs = _along_lane(stage, other) if isinstance(other, Body) else 0.0
        same = 1.0 if not isinstance(other, Body) or (other.way or 1) == (body.way or 1) else -1.0
        return math.copysign(1.0, ahead) * (_along_lane(stage, body) - same * theirs)
    if kind in ("longitudinal", "lateral"):
        cos, sin = math.cos(body.heading), math.sin(body.heading)
        nx, ny = (cos, sin) if kind == "longitudinal" else (-sin, cos)
    else:
        far = math.hypot(other.x - body.x, other.y - body.y) or 1.0
        nx, ny = (other.x - body.x) / far, (other.y - body.y) / far
        return vx * nx + vy * ny
    side = (other.x - body.x) * nx + (other.y - body.y) * ny
    return math.copysign(1.0, side) * (vx * nx + vy * ny)


def _along_lane(stage: Stage, body: Body) -> float:
    """Return a body's speed along its lane, in its way of driving, metres a second."""
    if not body.road:
        return body.speed
    turned = body.heading - stage.ground.pose(body.road, body.s, 0.0)[3] - (0.0 if (body.way or 1) > 0 else math.pi)
    return body.speed * math.cos(turned)


def _speed(node: Node, stage: Stage) -> Ask:
    rule, value, direction = node.text("rule"), node.number("value"), node.text("direction", "longitudinal")
    if direction == "longitudinal":
        return lambda body: holds(body.speed, rule, value, node)
    if direction == "lateral":
        return lambda body: holds(0.0, rule, value, node)
    node.refuse(f"asks for the direction {direction[:40]!r}, which is not supported")


def _relative_speed(node: Node, stage: Stage) -> Ask:
    rule, value, other = node.text("rule"), node.number("value"), stage.body(node.text("entityRef"), node)
    if node.get("direction") not in (None, "longitudinal"):
        node.refuse("asks for a direction other than longitudinal, which is not supported")
    return lambda body: holds(body.speed - other.speed, rule, value, node)


def _acceleration(node: Node, stage: Stage) -> Ask:
    rule, value = node.text("rule", "greaterThan"), node.number("value")
    if node.get("direction") not in (None, "longitudinal"):
        node.refuse("asks for a direction other than longitudinal, which is not supported")
    return lambda body: holds(body.acceleration, rule, value, node)


def _stand_still(node: Node, stage: Stage) -> Ask:
    duration = node.number("duration")
    return lambda body: body.still_s > 0 and body.still_s >= duration - 1e-9


def _travelled(node: Node, stage: Stage) -> Ask:
    value = node.number("value")
    return lambda body: body.travelled >= value


def _reach(node: Node, stage: Stage) -> Ask:
    target, tolerance = _place(node, stage), node.number("tolerance")

    def true(body: Body) -> bool:
        place = target()
        return math.hypot(place.x - body.x, place.y - body.y) <= tolerance

    return true


def _collision(node: Node, stage: Stage) -> Ask:
    what = node.only()
    if what.tag == "EntityRef":
        others = stage.named(what.text("entityRef"), what)
    elif what.tag == "ByType":
        kinds = {"pedestrian": ("pedestrian",), "miscellaneous": ("static",)}
        wanted = what.text("type")
        cars = ("car", "truck", "bus", "motorcycle", "bicycle", "other")
        others = [one for one in stage.bodies.values() if one.entity.kind in kinds.get(wanted, cars)]
    else:
        what.unsupported()
    return lambda body: any(
        other is not body and other.present and _near(body, other) and collide(body, other) for other in others
    )


def _near(one: Body, other: Body) -> bool:
    reach = one.entity.length + one.entity.width + other.entity.length + other.entity.width
    return abs(one.x - other.x) <= reach and abs(one.y - other.y) <= reach


def _off_road(node: Node, stage: Stage) -> Ask:
    duration = node.number("duration")
    since: dict[str, float] = {}

    def true(body: Body) -> bool:
        name = body.entity.name
        off = not body.road or stage.ground.outside(body.road, body.s, body.t)
        since[name] = since.get(name, 0.0) + stage.step_s if off else 0.0
        return off and since[name] - stage.step_s >= duration - 1e-9

    return true


def _road_end(node: Node, stage: Stage) -> Ask:
    duration = node.number("duration")
    return lambda body: body.ended and body.ended_s >= duration - 1e-9


BY_ENTITY: dict[str, Callable[[Node, Stage], Ask]] = {
    "RelativeDistanceCondition": _relative_distance,
    "DistanceCondition": _distance_to_place,
    "TimeHeadwayCondition": _headway,
    "TimeToCollisionCondition": _collision_time,
    "SpeedCondition": _speed,
    "RelativeSpeedCondition": _relative_speed,
    "AccelerationCondition": _acceleration,
    "StandStillCondition": _stand_still,
    "TraveledDistanceCondition": _travelled,
    "ReachPositionCondition": _reach,
    "CollisionCondition": _collision,
    "OffroadCondition": _off_road,
    "EndOfRoadCondition": _road_end,
}
