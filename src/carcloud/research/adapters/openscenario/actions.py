"""Actions: what a scenario has its entities do.

Rules:
* An action that moves nobody (weather, lights, looks, traffic lights, one's own commands) is not played, and a note
  says so. One that would move somebody in a way that is not played here is refused, before anything is played.
* An action that asks for what cannot be, such as a lane that is not there, refuses the scenario when it comes to it.

Source: ASAM OpenSCENARIO XML 1.3, PrivateAction, GlobalAction, 7.4 (actions).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from carcloud.research.adapters.openscenario.bodies import Body
from carcloud.research.adapters.openscenario.courses import Course
from carcloud.research.adapters.openscenario.motions import MOTIONS
from carcloud.research.adapters.openscenario.nodes import Node
from carcloud.research.adapters.openscenario.positions import place_of

if TYPE_CHECKING:
    from carcloud.research.adapters.openscenario.stage import Stage

_GROUPS = ("LongitudinalAction", "LateralAction", "RoutingAction", "ControllerAction", "AppearanceAction")
_UNSEEN = (
    "VisibilityAction",
    "LightStateAction",
    "AnimationAction",
    "OverrideControllerValueAction",
    "InfrastructureAction",
    "SetMonitorAction",
    "UserDefinedAction",
)
"""What moves nobody."""


def leaves(action: Node) -> Iterator[Node]:
    """Yield what a PrivateAction, GlobalAction or UserDefinedAction asks for.

    Raises:
        InputError: it is not supported.
    """
    if action.tag == "UserDefinedAction":
        yield action
        return
    for one in action.children():
        for leaf in one.children() if one.tag in _GROUPS else (one,):
            if leaf.tag not in MOTIONS and leaf.tag not in _ACTS and leaf.tag not in _UNSEEN:
                leaf.unsupported()
            yield leaf


def begin(leaf: Node, bodies: Sequence[Body], stage: Stage, *, before_all: bool = False) -> list[Course]:
    """Begin what is asked for, for each of the bodies that are there; return the courses that go on.

    Args:
        before_all: whether the scenario has not begun: who is not there yet is to have a speed, too.

    Raises:
        InputError: it cannot be done.
    """
    if leaf.tag in MOTIONS:
        placed_by_it = leaf.tag == "FollowTrajectoryAction"
        ready = [one for one in bodies if one.present or before_all or (placed_by_it and not one.ended)]
        courses = [MOTIONS[leaf.tag](leaf, body, stage) for body in ready]
        for course in courses:
            stage.take(course)
        return courses
    if leaf.tag in _UNSEEN:
        stage.note(f"not played: {leaf.tag}")
    else:
        _ACTS[leaf.tag](leaf, bodies, stage)
    return []


def _teleport(node: Node, bodies: Sequence[Body], stage: Stage) -> None:
    for body in bodies:
        stage.put(body, place_of(node.child("Position"), stage))


def _assign_route(node: Node, bodies: Sequence[Body], stage: Stage) -> None:
    for body in bodies:
        body.route = stage.route_of(node.only())


def _acquire(node: Node, bodies: Sequence[Body], stage: Stage) -> None:
    place = place_of(node.child("Position"), stage)
    for body in bodies:
        if not place.road or not body.road:
            node.refuse("asks for a place that is on no road")
        body.route = stage.ground.way(body.road, body.lane, place.road, node)


def _controller(node: Node, bodies: Sequence[Body], stage: Stage) -> None:
    for body in bodies:
        if node.tag == "AssignControllerAction":
            stage.driven.add(body.entity.name)
        if body.entity.name in stage.driven:
            stage.note(f"controller not run: {body.entity.name} keeps its speed and lane")


def _entity(node: Node, bodies: Sequence[Body], stage: Stage) -> None:
    body = stage.body(node.text("entityRef"), node)
    what = node.only()
    if what.tag == "AddEntityAction":
        stage.put(body, place_of(what.child("Position"), stage))
    elif what.tag == "DeleteEntityAction":
        stage.free(body)
        body.present = False
    else:
        what.unsupported()


def _parameter(node: Node, bodies: Sequence[Body], stage: Stage) -> None:
    values = stage.parameters if node.tag == "ParameterAction" else stage.variables
    name = node.text("parameterRef" if node.tag == "ParameterAction" else "variableRef").lstrip("$")
    if name not in values:
        node.refuse(f"sets {name[:60]!r}, which is not declared")
    what = node.only()
    if what.tag in ("SetAction", "ParameterSetAction", "VariableSetAction"):
        values[name] = what.text("value")
        return
    rule = what.child("Rule").only()
    value = float(values[name])
    if rule.tag == "AddValue":
        values[name] = repr(value + rule.number("value"))
    elif rule.tag == "MultiplyByValue":
        values[name] = repr(value * rule.number("value"))
    else:
        rule.unsupported()


def _environment(node: Node, bodies: Sequence[Body], stage: Stage) -> None:
    stage.note("not played: weather and light")
    what = node.find("Environment")
    clock = what.find("TimeOfDay") if what is not None else None
    if clock is None:
        return
    try:
        moment = datetime.fromisoformat(clock.text("dateTime"))
    except ValueError:
        clock.refuse("has a dateTime that is none")
    stage.day = (moment, stage.time, clock.flag("animation", False))


_ACTS: dict[str, Callable[[Node, Sequence[Body], Stage], None]] = {
    "TeleportAction": _teleport,
    "AssignRouteAction": _assign_route,
    "AcquirePositionAction": _acquire,
    "AssignControllerAction": _controller,
    "ActivateControllerAction": _controller,
    "EntityAction": _entity,
    "ParameterAction": _parameter,
    "VariableAction": _parameter,
    "EnvironmentAction": _environment,
}
