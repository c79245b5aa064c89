"""CommonRoad scenarios: lanelets, traffic, and what is to be planned.

Rules:
* A file is one scenario for each of its planning problems, or one without an ego where it has none.
* Times are the file's steps; the first step is the scenario's beginning. Nobody knows the time of day.
* Accelerations are along the yaw where the file says them; across it they are made from the velocities.

Source: CommonRoad XML format documentation, versions 2018b and 2020a (Technical University of Munich).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters import xml
from carcloud.research.adapters.adapter import LIMIT_STEPS, Options, Progress, Refused
from carcloud.research.adapters.commonroad.lanelets import road_map
from carcloud.research.adapters.commonroad.problems import Problem, read_problem
from carcloud.research.adapters.commonroad.traffic import NUMBERS, State, Traffic, traffic
from carcloud.research.adapters.opendrive.roads import read_roads
from carcloud.research.adapters.sightings import Seen, gather
from carcloud.research.motion import Motion
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario

FORMAT = "commonroad"
ABOUT = "CommonRoad XML, 2018b and 2020a: lanelets, obstacles with trajectories, planning problems"

VERSIONS = ("2018a", "2018b", "2020a")
LIMIT_STEP_S = 10.0
_BEGINNING = 4096
_UNKNOWN_DEGREES = 999.0


def recognises(path: Path) -> bool:
    """Tell by name and first bytes whether this is a CommonRoad file."""
    try:
        if path.suffix.lower() != ".xml" or not path.is_file():
            return False
        with path.open("rb") as file:
            return b"<commonRoad" in file.read(_BEGINNING)
    except OSError:
        return False


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Yield the scenarios of a file.

    Raises:
        InputError: it is no CommonRoad file, or its map or traffic is broken.
    """
    root = xml.parse(path)
    if root.tag != "commonRoad":
        raise InputError(f"{path.name} is no CommonRoad file: its root is <{root.tag}>.", "Say its --format.")
    if root.get("commonRoadVersion") not in VERSIONS:
        said = root.get("commonRoadVersion", "")[:20]
        raise InputError(f"{path.name} is of the version {said!r}.", f"Convert it to one of {', '.join(VERSIONS)}.")
    step_s = xml.number(root, "timeStepSize")
    if not 0 < step_s <= LIMIT_STEP_S:
        raise InputError(f"{path.name} has steps of {step_s:g} s.", f"Give seconds, over 0 and up to {LIMIT_STEP_S:g}.")
    roads = road_map(root) if options.road is None else read_roads(xml.text_of(options.road))
    progress(0.5)
    name = root.get("benchmarkID", "") or path.stem
    known = traffic(root)
    asked: list[xml.Element | None] = [*root.findall("planningProblem")] or [None]
    for at, element in enumerate(asked):
        called = name if element is None or len(asked) == 1 else f"{name} {element.get('id', '')}"
        try:
            problem = None if element is None else read_problem(element, roads, step_s)
            yield _scenario(root, called, roads, known, problem, step_s)
        except CarcloudError as error:
            yield Refused(called, error)
        progress(0.5 + 0.5 * (at + 1) / len(asked))


def _scenario(
    root: xml.Element, name: str, roads: RoadMap | None, known: Traffic, problem: Problem | None, step_s: float
) -> Scenario:
    present = Traffic(list(known.users), list(known.states))
    if problem is not None:
        present.add(Seen(problem.name), [problem.start])
    motion = _motion(present, step_s)
    tags = _tags(root)
    return Scenario(
        name=name,
        motion=motion,
        ego=None if problem is None else motion.users[-1].track,
        map=roads,
        origin=_origin(root),
        tags=tags,
        parameters={} if problem is None else problem.parameters,
        goal=None if problem is None else problem.goal,
        simulated=name.startswith("ZAM_") or "simulated" in tags,
    )


def _motion(present: Traffic, step_s: float) -> Motion:
    rows = [(who, state) for who, states in enumerate(present.states) for state in states]
    if not rows:
        raise InputError("Nothing moves in the scenario, and nothing is to be planned.", "Name one with traffic.")
    steps = np.array([state.step for _, state in rows], np.int64)
    if int(np.ptp(steps)) >= LIMIT_STEPS:
        raise InputError(f"The scenario has over {LIMIT_STEPS} steps.", "Cut it into several.")
    who = np.array([who for who, _ in rows], np.int64)
    told = {name: np.array([getattr(state, name) for _, state in rows], np.float64) for name in NUMBERS}
    time_us = np.rint(steps * step_s * 1e6).astype(np.int64)
    return _with_accelerations(gather(present.users, who, time_us, told).motion, present.states, step_s)


def _with_accelerations(motion: Motion, states: list[list[State]], step_s: float) -> Motion:
    """Return the motion with the accelerations along the yaw that the file says."""
    said = np.full(motion.shape, np.nan)
    first = min(state.step for of_one in states for state in of_one)
    if len(motion.users) != len(states):
        return motion
    for row, of_one in enumerate(states):
        for state in of_one:
            place = (state.step - first) * step_s / motion.step_s
            said[row, min(round(place), motion.shape[1] - 1)] = state.acceleration
    ahead, aside = np.cos(motion.yaw), np.sin(motion.yaw)
    across = motion.ay * ahead - motion.ax * aside
    along = np.where(np.isfinite(said), said, motion.acceleration)
    return replace(motion, ax=along * ahead - across * aside, ay=along * aside + across * ahead)


def _tags(root: xml.Element) -> tuple[str, ...]:
    listed = root.find("scenarioTags")
    said = root.get("tags", "").split() if listed is None else [each.tag for each in listed]
    return tuple(dict.fromkeys(said))


def _origin(root: xml.Element) -> tuple[float, float] | None:
    """Return the place that the file gives for itself, which CommonRoad rounds to its map."""
    told = [root.find(f"location/{name}") for name in ("gpsLatitude", "gpsLongitude")]
    if any(each is None for each in told):
        return None
    latitude, longitude = (xml.number_in(each) for each in told if each is not None)
    known = abs(latitude) <= 90 and abs(longitude) <= 180 and latitude != _UNKNOWN_DEGREES
    return (latitude, longitude) if known else None
