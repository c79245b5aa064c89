"""Obstacles as road users and where they were seen.

Rules:
* A state says where the centre of the shape is, or the point that its shape is given around.
* What stands still is there at every step.
* An obstacle of which only occupied areas are foretold is there at its first state only.

Source: CommonRoad XML format documentation, versions 2018b and 2020a (Technical University of Munich).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from carcloud.errors import InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.adapter import LIMIT_PLACES, LIMIT_STEPS
from carcloud.research.adapters.commonroad.shapes import hull, outlines, point, value
from carcloud.research.adapters.sightings import Seen

KINDS = {
    **dict.fromkeys(("car", "parkedVehicle", "taxi"), "car"),
    **dict.fromkeys(("truck", "priorityVehicle"), "truck"),
    "bus": "bus",
    "motorcycle": "motorcycle",
    "bicycle": "bicycle",
    "pedestrian": "pedestrian",
    **dict.fromkeys(("constructionZone", "roadBoundary", "building", "pillar", "median_strip"), "static"),
}
"""Kinds of road users by types of obstacles; all else is `other`."""

OBSTACLES = ("obstacle", "dynamicObstacle", "staticObstacle")
LAST_STEP = 1_000_000_000
NUMBERS = ("x", "y", "yaw", "speed")


@dataclass(frozen=True)
class State:
    """Where a road user was at one step; NaN for what is not said."""

    step: int
    x: float
    y: float
    yaw: float
    speed: float
    acceleration: float


@dataclass
class Traffic:
    """Road users and their states."""

    users: list[Seen] = field(default_factory=list)
    states: list[list[State]] = field(default_factory=list)

    def add(self, user: Seen, states: list[State]) -> None:
        """Add one with its states."""
        self.users.append(user)
        self.states.append(states)


def traffic(root: xml.Element) -> Traffic:
    """Read all obstacles of a scenario.

    Raises:
        InputError: one is there twice, or a state of it is broken.
    """
    found, standing = Traffic(), []
    names: set[str] = set()
    for element in (each for each in root if each.tag in OBSTACLES):
        name, still = element.get("id", ""), _stands(element)
        if name in names:
            raise InputError(f"{xml.where(element)} has the id {name[:40]!r} of another.", "Give each its own.")
        names.add(name)
        user, offset = _user(element, name, still)
        found.add(user, [_moved(state, offset) for state in _states(element, still)])
        if still:
            standing.append(len(found.users) - 1)
    steps = [state.step for states in found.states for state in states]
    if steps and (max(steps) - min(steps)) >= LIMIT_STEPS:
        raise InputError(f"The scenario has over {LIMIT_STEPS} steps.", "Cut it into several.")
    if steps and len(standing) * (max(steps) - min(steps) + 1) > LIMIT_PLACES:
        raise InputError(f"The scenario has over {LIMIT_PLACES} places.", "Cut it into several.")
    for at in standing:
        found.states[at] = [replace(found.states[at][0], step=step) for step in range(min(steps), max(steps) + 1)]
    return found


def _stands(element: xml.Element) -> bool:
    return element.tag == "staticObstacle" or (element.findtext("role") or "").strip() == "static"


def _user(element: xml.Element, name: str, still: bool) -> tuple[Seen, tuple[float, float]]:
    """Return a road user, and where the middle of its shape lies from the point of its states."""
    kind = KINDS.get((element.findtext("type") or "").strip(), "static" if still else "other")
    shape = element.find("shape")
    parts = [] if shape is None else outlines(shape)
    if not parts:
        return Seen(name, kind), (0.0, 0.0)
    corners = hull(parts)
    low, high = corners.min(axis=0), corners.max(axis=0)
    middle, size = (low + high) / 2, high - low
    return Seen(name, kind, float(size[0]), float(size[1])), (float(middle[0]), float(middle[1]))


def _states(element: xml.Element, still: bool) -> Iterator[State]:
    first = state(xml.child(element, "initialState"))
    yield replace(first, speed=0.0, acceleration=0.0) if still else first
    for each in element.findall("trajectory/state"):
        yield state(each)


def state(element: xml.Element) -> State:
    """Read one state.

    Raises:
        InputError: its place or time is missing or broken.
    """
    x, y = _place(xml.child(element, "position"))
    time = value(element, "time")
    if time is None or time != int(time) or not 0 <= time < LAST_STEP:
        raise InputError(f"{xml.where(element)} is at no step.", "Give each state a whole number of steps.")
    rest = (value(element, name) for name in ("orientation", "velocity", "acceleration"))
    return State(int(time), x, y, *(math.nan if one is None else one for one in rest))


def _place(position: xml.Element) -> tuple[float, float]:
    exact = position.find("point")
    if exact is not None:
        return point(exact)
    areas = outlines(position)
    if not areas:
        raise InputError(f"{xml.where(position)} has neither point nor area.", "Mend it at its source.")
    corners = np.vstack(areas)
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    return float(middle[0]), float(middle[1])


def _moved(state: State, offset: tuple[float, float]) -> State:
    if offset == (0.0, 0.0):
        return state
    yaw = 0.0 if math.isnan(state.yaw) else state.yaw
    x = state.x + math.cos(yaw) * offset[0] - math.sin(yaw) * offset[1]
    y = state.y + math.sin(yaw) * offset[0] + math.cos(yaw) * offset[1]
    return State(state.step, x, y, state.yaw, state.speed, state.acceleration)
