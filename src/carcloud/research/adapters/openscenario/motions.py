"""Actions that move a body for a while, each read into a course.

Source: ASAM OpenSCENARIO XML 1.3: SpeedAction, SpeedProfileAction, LongitudinalDistanceAction, SynchronizeAction,
LaneChangeAction, LaneOffsetAction, FollowTrajectoryAction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario.bodies import Body
from carcloud.research.adapters.openscenario.courses import Course
from carcloud.research.adapters.openscenario.distances import along, reach
from carcloud.research.adapters.openscenario.lengthwise import (
    USUAL_MPS2,
    GapCourse,
    MeetCourse,
    ProfileCourse,
    SpeedCourse,
)
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.positions import place_of
from carcloud.research.adapters.openscenario.shapes import checked
from carcloud.research.adapters.openscenario.sideways import TrajectoryCourse, lane_change, lane_offset
from carcloud.research.adapters.openscenario.trajectories import read_trajectory

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.stage import Stage


def _speed(node: Node, body: Body, stage: Stage) -> Course:
    target = node.child("SpeedActionTarget").only()
    wanted, follows = _target_speed(target, stage)
    return SpeedCourse(body, node.child("SpeedActionDynamics"), wanted, follows)


def _target_speed(target: Node, stage: Stage) -> tuple[Callable[[], float], bool]:
    value = target.number("value")
    if target.tag == "AbsoluteTargetSpeed":
        return (lambda: value), False
    if target.tag != "RelativeTargetSpeed":
        target.unsupported()
    other = stage.body(target.text("entityRef"), target)
    kind, follows = target.text("speedTargetValueType"), target.flag("continuous", False)
    if kind not in ("delta", "factor"):
        target.refuse(f"has the unknown speedTargetValueType {kind[:40]!r}")
    now: Callable[[], float] = (lambda: other.speed + value) if kind == "delta" else (lambda: other.speed * value)
    if follows:
        return now, True
    fixed = now()
    return (lambda: fixed), False


def _profile(node: Node, body: Body, stage: Stage) -> Course:
    entries = [(one.number("time"), one.number("speed")) for one in node.children("SpeedProfileEntry")]
    if not entries or any(time < 0 for time, _ in entries):
        node.refuse("has no entries, or one before its beginning")
    name = node.get("entityRef")
    base: Callable[[], float] = lambda: 0.0  # noqa: E731
    if name is not None:
        other = stage.body(name, node)
        base = lambda: other.speed  # noqa: E731
    return ProfileCourse(body, entries, base)


def _gap(node: Node, body: Body, stage: Stage) -> Course:
    other = stage.body(node.text("entityRef"), node)
    said = node.text("displacement", "any")
    freespace, length, time = node.flag("freespace"), node.number_or_none("distance"), node.number_or_none("timeGap")
    if (length is None) == (time is None):
        node.refuse("is to have either a distance or a timeGap")
    now = along(stage.ground, other, body)
    if math.isnan(now):
        node.refuse(f"measures from {body.entity.name} to {other.entity.name}, between which there is no road")
    leads = now >= 0 if said == "any" else said == "leadingReferencedEntity"

    def ahead() -> float:
        back = other if leads else body
        room = length if length is not None else (time or 0.0) * abs(back.speed)
        if freespace:
            ours, theirs = reach(stage.ground, body), reach(stage.ground, other)
            room += theirs[1] - ours[0] if leads else ours[1] - theirs[0]
        return (room if leads else -room) - along(stage.ground, other, body)

    return GapCourse(body, other, ahead, _limits(node.find("DynamicConstraints"), body), node.flag("continuous"))


def _limits(node: Node | None, body: Body) -> tuple[float, float, float] | None:
    if node is None:
        return None
    top = body.entity.top_mps if body.entity.top_mps is not None else math.inf
    up, down = node.number("maxAcceleration", USUAL_MPS2), node.number("maxDeceleration", USUAL_MPS2)
    if up <= 0 or down <= 0:
        node.refuse("allows no acceleration")
    return up, down, node.number("maxSpeed", top)


def _meet(node: Node, body: Body, stage: Stage) -> Course:
    other = stage.body(node.text("masterEntityRef"), node)
    theirs = place_of(node.child("TargetPositionMaster"), stage)
    ours = place_of(node.child("TargetPosition"), stage)
    tolerance = node.number("targetTolerance", 0.0), node.number("targetToleranceMaster", 0.0)
    final = node.find("FinalSpeed")
    left, others_left = (lambda: stage.left(body, ours)), (lambda: stage.left(other, theirs))
    return MeetCourse(body, other, left, others_left, _final(final, other) if final else None, tolerance)


def _final(node: Node, other: Body) -> Callable[[], float]:
    what = node.only()
    if next(what.children(), None) is not None:
        next(what.children()).unsupported()
    value = what.number("value")
    if what.tag == "AbsoluteSpeed":
        return lambda: value
    if what.tag != "RelativeSpeedToMaster":
        what.unsupported()
    if what.text("speedTargetValueType") == "factor":
        return lambda: other.speed * value
    return lambda: other.speed + value


def _lane_change(node: Node, body: Body, stage: Stage) -> Course:
    target = node.child("LaneChangeTarget").only()
    if not body.road or body.way == 0:
        node.refuse(f"is asked of {body.entity.name}, which drives on no lane")
    if target.tag == "AbsoluteTargetLane":
        lane = target.integer("value")
    else:
        other = stage.body(target.text("entityRef"), target)
        if other.road != body.road:
            lane = stage.ground.lane_like(other.road, other.lane_now, body.road, body.s, target)
        else:
            lane = other.lane_now
        lane = stage.ground.beside_lane(lane, target.integer("value") * (other.way or 1))
    if lane not in stage.ground.lanes_at(body.road, body.s):
        target.refuse(f"asks {body.entity.name} into lane {lane} of road {body.road}, which is not there")
    offset = node.number("targetLaneOffset", 0.0)
    return lane_change(body, node.child("LaneChangeActionDynamics"), lane, offset)


def _lane_offset(node: Node, body: Body, stage: Stage) -> Course:
    dynamics, target = node.child("LaneOffsetActionDynamics"), node.child("LaneOffsetTarget").only()
    if not body.road or body.way == 0:
        node.refuse(f"is asked of {body.entity.name}, which drives on no lane")
    offset = target.number("value")
    if target.tag == "RelativeTargetLaneOffset":
        other = stage.body(target.text("entityRef"), target)
        if other.road != body.road:
            target.refuse(f"is measured from {other.entity.name}, which is on another road")
        offset += other.t - stage.ground.centre(body.road, body.s, body.lane)
    elif target.tag != "AbsoluteTargetLaneOffset":
        target.unsupported()
    limit = dynamics.number_or_none("maxLateralAcc")
    if limit is not None and limit <= 0:
        dynamics.refuse("allows no acceleration")
    shape = checked(dynamics.text("dynamicsShape"), dynamics)
    return lane_offset(body, shape, limit, offset, node.flag("continuous", False))


def _trajectory(node: Node, body: Body, stage: Stage) -> Course:
    line_node = node.find("TrajectoryRef") or node
    what = stage.catalogs.resolved(line_node.child(next((c.tag for c in line_node.children(*_LINES)), "Trajectory")))
    line = read_trajectory(what, stage)
    timing = node.find("TimeReference", "Timing")
    following = node.find("TrajectoryFollowingMode")
    if following is not None and following.text("followingMode", "position") == "follow":
        stage.note("trajectory followed exactly: followingMode follow")
    start = node.number("initialDistanceOffset", 0.0)
    if timing is None:
        return TrajectoryCourse(body, line, None, start)
    if not line.timed:
        timing.refuse("needs a time at every point of the trajectory")
    scale, offset = timing.number("scale", 1.0), timing.number("offset", 0.0)
    if scale <= 0:
        timing.refuse("has a scale that is not above 0")
    zero = 0.0 if timing.text("domainAbsoluteRelative") == "absolute" else stage.time
    return TrajectoryCourse(body, line, ((stage.time - zero - offset) / scale, 1 / scale), start)


_LINES = ("Trajectory", "CatalogReference")

MOTIONS: dict[str, Callable[[Node, Body, Stage], Course]] = {
    "SpeedAction": _speed,
    "SpeedProfileAction": _profile,
    "LongitudinalDistanceAction": _gap,
    "SynchronizeAction": _meet,
    "LaneChangeAction": _lane_change,
    "LaneOffsetAction": _lane_offset,
    "FollowTrajectoryAction": _trajectory,
}
"""What moves a body for a while, by the name of its element."""
