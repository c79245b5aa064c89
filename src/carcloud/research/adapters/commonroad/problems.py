"""Planning problems: who is to be planned for, and where it is to get to.

Rules:
* The ego of a problem was driven by nobody: it has a track of one step, its initial state, from where a planner takes
  over.
* The goal is the polygon of the first goal state that has a place. Lanelets that follow one another are one polygon;
  other places together are what lies around them.
* When to be there and how fast, and the initial state, are parameters of the scenario.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.adapters import xml
from carcloud.research.adapters.commonroad.shapes import bounds, hull, outlines, value
from carcloud.research.adapters.commonroad.traffic import State, state
from carcloud.research.roads import Lane, Points, RoadMap


@dataclass(frozen=True)
class Problem:
    """One planning problem.

    Args:
        goal: (N, 2) metres, its first point again as its last; None where no place is asked for.
    """

    name: str
    start: State
    goal: NDArray[np.float64] | None
    parameters: dict[str, float]


def read_problem(element: xml.Element, roads: RoadMap | None, step_s: float) -> Problem:
    """Read a <planningProblem>.

    Raises:
        InputError: its initial state or its goal is broken.
    """
    initial = xml.child(element, "initialState")
    start = state(initial)
    goals = element.findall("goalState")
    placed = next((each for each in goals if each.find("position") is not None), None)
    told = {"start_s": start.step * step_s, "start_x": start.x, "start_y": start.y}
    for name, tag in (("yaw", "orientation"), ("speed", "velocity"), ("yaw_rate", "yawRate"), ("slip", "slipAngle")):
        found = value(initial, tag)
        if found is not None:
            told[f"start_{name}"] = found
    wanted = placed if placed is not None else goals[0] if goals else None
    if wanted is not None:
        told |= _asked(wanted, step_s)
    goal = None if placed is None else _goal(xml.child(placed, "position"), roads)
    return Problem(element.get("id", ""), start, goal, told)


def _asked(goal: xml.Element, step_s: float) -> dict[str, float]:
    told: dict[str, float] = {}
    for name, tag, unit in (("s", "time", step_s), ("speed", "velocity", 1.0), ("yaw", "orientation", 1.0)):
        found = bounds(goal, tag)
        if found is not None:
            told[f"goal_from_{name}"], told[f"goal_to_{name}"] = found[0] * unit, found[1] * unit
    return told


def _goal(position: xml.Element, roads: RoadMap | None) -> NDArray[np.float64] | None:
    known = {} if roads is None else roads.by_name
    lanes = [known[name] for each in position.findall("lanelet") if (name := each.get("ref", "")) in known]
    parts = [*outlines(position), *(_strip(chain) for chain in _chains(lanes))]
    if not parts:
        return None
    corners = hull(parts)
    return np.vstack((corners, corners[:1]))


def _chains(lanes: list[Lane]) -> list[list[Lane]]:
    """Return lanes in rows that follow one another."""
    left = {lane.name: lane for lane in lanes}
    chains = []
    while left:
        first = next((lane for lane in left.values() if not set(lane.before) & set(left)), next(iter(left.values())))
        chain = [left.pop(first.name)]
        while following := [name for name in chain[-1].after if name in left]:
            chain.append(left.pop(following[0]))
        chains.append(chain)
    return chains


def _strip(chain: list[Lane]) -> Points:
    left = np.vstack([lane.left_edge for lane in chain])
    right = np.vstack([lane.right_edge for lane in chain])
    return np.vstack((left, right[::-1]))
