"""Writes scenarios as OpenSCENARIO XML 1.2, one file a scenario, with its roads as OpenDRIVE beside it.

Rules:
* Everybody follows a trajectory with a time at every step, in position mode: any player shows what happened.
* Who comes later is added then, and who leaves is deleted half a step after its last.
* The reference point of a vehicle is its rear axle, taken to be REAR of its length behind its middle.
* The declared parameter `Step_s` is the time between two steps: read again, the scenario has the same steps.
* Licence, consent and origin stand in the file's header, and in a comment of the roads' file.

Source: ASAM OpenSCENARIO XML 1.2, FollowTrajectoryAction, FileHeader.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from lxml import etree

from carcloud.errors import InputError
from carcloud.research.adapters.adapter import LIMIT_XML_BYTES
from carcloud.research.adapters.opendrive.text import write_roads
from carcloud.research.adapters.openscenario.entities import OWN_KIND
from carcloud.research.adapters.openscenario.play import STEP_PARAMETER
from carcloud.research.exports.about import About, Abouts
from carcloud.research.motion import Motion, RoadUser
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario

FORMAT = "openscenario"
ABOUT = "OpenSCENARIO XML 1.2 with OpenDRIVE, one pair of files a scenario."

REAR = 0.28
VERTEX_BYTES = 220
"""About what one step of one road user takes."""
_CATEGORIES = {"car": "car", "truck": "truck", "bus": "bus", "motorcycle": "motorbike", "bicycle": "bicycle"}
_MASSES_KG = {"pedestrian": "75", "static": "100", "other": "1000"}


def write(scenarios: Iterable[Scenario], folder: Path, about: Abouts) -> list[Path]:
    """Write each scenario into the folder; return the files.

    Raises:
        InputError: a scenario is too large for one document.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: list[Path] = []
    for scenario in scenarios:
        said = about.get(scenario.id, About())
        places = int(scenario.motion.present.sum())
        if places * VERTEX_BYTES > LIMIT_XML_BYTES:
            raise InputError(f"Scenario {scenario.name[:60]} has {places} places.", "Export it in another format.")
        road = folder / f"{scenario.id}.xodr" if scenario.map is not None else None
        if scenario.map is not None and road is not None:
            road.write_bytes(_roads(scenario.map, said))
            files.append(road)
        path = folder / f"{scenario.id}.xosc"
        path.write_bytes(_document(scenario, said, road.name if road is not None else ""))
        files.append(path)
    return files


def _roads(roads: RoadMap, about: About) -> bytes:
    text = roads.verbatim if roads.format == "opendrive" and roads.verbatim is not None else write_roads(roads)
    told = json.dumps(about.words(), sort_keys=True).replace("--", "- -")
    return text.rstrip() + f"\n<!-- carcloud.about: {told} -->\n".encode()


def _document(scenario: Scenario, about: About, road: str) -> bytes:
    names = _names(scenario.motion.users)
    root = etree.Element("OpenSCENARIO")
    _header(root, scenario, about)
    step = _step(scenario.motion)
    declarations = _add(root, "ParameterDeclarations")
    _add(declarations, "ParameterDeclaration", name=STEP_PARAMETER, parameterType="double", value=repr(step))
    _add(root, "CatalogLocations")
    network = _add(root, "RoadNetwork")
    if road:
        _add(network, "LogicFile", filepath=road)
    entities = _add(root, "Entities")
    for user, name in zip(scenario.motion.users, names, strict=True):
        _entity(_add(entities, "ScenarioObject", name=name), user, scenario.ego == user.track)
    _storyboard(_add(root, "Storyboard"), scenario.motion, names, step)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _add(parent: Any, tag: str, /, **attributes: str) -> Any:
    return etree.SubElement(parent, tag, attributes)


def _header(root: Any, scenario: Scenario, about: About) -> None:
    begin = (scenario.begin or datetime(1970, 1, 1, tzinfo=UTC)).isoformat(timespec="milliseconds")
    said = _plain(scenario.name) or scenario.id
    header = _add(root, "FileHeader", revMajor="1", revMinor="2", date=begin, description=said, author="carcloud")
    _add(header, "License", name=_plain(about.licence) or "not stated")
    properties = _add(header, "Properties")
    for name, value in ({"scenario": scenario.id} | about.words()).items():
        _add(properties, "Property", name=f"carcloud.{name}", value=_plain(value))


def _plain(text: str) -> str:
    """Return a text that an attribute can have and that is taken for no parameter."""
    kept = "".join(sign for sign in text if sign.isprintable())
    return f"_{kept}" if kept.startswith("$") else kept


def _names(users: tuple[RoadUser, ...]) -> list[str]:
    """Return a name for each, of its own."""
    names: list[str] = []
    for user in users:
        name = _plain(user.name).replace("::", "-") or f"track {user.track}"
        names.append(name if name not in names else f"{name} ({user.track})")
    return names


def _step(motion: Motion) -> float:
    steps = len(motion.time_us)
    return float(motion.time_us[-1] - motion.time_us[0]) / 1e6 / (steps - 1) if steps > 1 else motion.step_s


def _rear(user: RoadUser) -> float:
    """Return how far the middle of its box is ahead of its reference point, metres."""
    return REAR * user.length if user.kind in _CATEGORIES else 0.0


def _entity(parent: Any, user: RoadUser, ego: bool) -> None:
    if user.kind in _CATEGORIES:
        what = _add(parent, "Vehicle", name=user.kind, vehicleCategory=_CATEGORIES[user.kind])
    elif user.kind == "pedestrian":
        told = {"mass": _MASSES_KG[user.kind], "pedestrianCategory": "pedestrian"}
        what = _add(parent, "Pedestrian", name=user.kind, **told)
    else:
        what = _add(parent, "MiscObject", name=user.kind, mass=_MASSES_KG[user.kind], miscObjectCategory="obstacle")
    box = _add(what, "BoundingBox")
    _add(box, "Center", x=repr(_rear(user)), y="0", z=repr(user.height / 2))
    _add(box, "Dimensions", width=repr(user.width), length=repr(user.length), height=repr(user.height))
    if user.kind in _CATEGORIES:
        _vehicle(what, user)
    properties = _add(what, "Properties")
    if ego:
        _add(properties, "Property", name="type", value="ego_vehicle")
    if user.kind == "other":
        _add(properties, "Property", name=OWN_KIND, value=user.kind)


def _vehicle(what: Any, user: RoadUser) -> None:
    _add(what, "Performance", maxSpeed="70", maxAcceleration="10", maxDeceleration="10")
    axles = _add(what, "Axles")
    wheel = min(0.7, user.height)
    for name, ahead, steering in (("FrontAxle", 2 * _rear(user), 0.5), ("RearAxle", 0.0, 0.0)):
        numbers = {"positionX": ahead, "positionZ": wheel / 2, "wheelDiameter": wheel, "maxSteering": steering}
        told = {key: repr(value) for key, value in numbers.items()}
        _add(axles, name, trackWidth=repr(0.9 * user.width), **told)


def _storyboard(board: Any, motion: Motion, names: list[str], step: float) -> None:
    actions = _add(_add(board, "Init"), "Actions")
    for row, name in enumerate(names):
        if not motion.present[row, 0]:  # some players have everybody there from the beginning
            _delete(_add(actions, "GlobalAction"), name)
    act = etree.Element("Act", name="replay")
    for row, name in enumerate(names):
        for at, (begin, end) in enumerate(_stays(motion.present[row])):
            if begin == 0:
                private = _add(actions, "Private", entityRef=name)
                _place(_add(_add(private, "PrivateAction"), "TeleportAction"), motion, row, 0)
                if end > begin:
                    _follow(_add(private, "PrivateAction"), motion, row, begin, end, step)
            else:
                _come(_group(act, name, f"comes {at}"), motion, row, name, begin, end, step)
            if end < len(motion.time_us) - 1:
                leaves = _group(act, name, f"goes {at}")
                action = _event(leaves, "greaterThan", (end + 0.5) * step)
                _delete(_add(action, "GlobalAction"), name)
    if len(act):
        trigger = _add(act, "StartTrigger")
        _condition(trigger, "greaterOrEqual", 0.0, "begin")
        story = _add(board, "Story", name="replay")
        story.append(act)
    _condition(_add(board, "StopTrigger"), "greaterOrEqual", (len(motion.time_us) - 1) * step, "end")


def _stays(present: np.ndarray[Any, np.dtype[np.bool_]]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last step of each stay."""
    edges = np.flatnonzero(np.diff(np.r_[False, present, False].astype(np.int8)))
    for begin, end in edges.reshape(-1, 2).tolist():
        yield begin, end - 1


def _group(act: Any, name: str, called: str) -> Any:
    group = _add(act, "ManeuverGroup", name=f"{name} {called}", maximumExecutionCount="1")
    _add(_add(group, "Actors", selectTriggeringEntities="false"), "EntityRef", entityRef=name)
    return _add(group, "Maneuver", name=f"{name} {called} maneuver")


def _event(maneuver: Any, rule: str, time: float) -> Any:
    """Add an event at a time; return its action, to which others may be added before its trigger."""
    name = f"{maneuver.get('name')} event"
    event = _add(maneuver, "Event", name=name, priority="override", maximumExecutionCount="1")
    action = _add(event, "Action", name=f"{name} action")
    _condition(_add(event, "StartTrigger"), rule, time, f"{name} condition")
    return action


def _come(maneuver: Any, motion: Motion, row: int, name: str, begin: int, end: int, step: float) -> None:
    action = _event(maneuver, "greaterOrEqual", begin * step)
    entity = _add(_add(action, "GlobalAction"), "EntityAction", entityRef=name)
    _place(_add(entity, "AddEntityAction"), motion, row, begin)
    if end > begin:
        follows = etree.Element("Action", name=f"{action.get('name')} follow")
        action.addnext(follows)
        _follow(_add(follows, "PrivateAction"), motion, row, begin, end, step)


def _delete(action: Any, name: str) -> None:
    _add(_add(action, "EntityAction", entityRef=name), "DeleteEntityAction")


def _follow(action: Any, motion: Motion, row: int, begin: int, end: int, step: float) -> None:
    follow = _add(_add(action, "RoutingAction"), "FollowTrajectoryAction")
    line = _add(_add(follow, "TrajectoryRef"), "Trajectory", name=f"track {row} from {begin}", closed="false")
    points = _add(_add(line, "Shape"), "Polyline")
    for at in range(begin, end + 1):
        _place(_add(points, "Vertex", time=repr(at * step)), motion, row, at)
    timing = _add(follow, "TimeReference")
    _add(timing, "Timing", domainAbsoluteRelative="absolute", scale="1.0", offset="0.0")
    _add(follow, "TrajectoryFollowingMode", followingMode="position")


def _place(parent: Any, motion: Motion, row: int, at: int) -> None:
    yaw, back = float(motion.yaw[row, at]), _rear(motion.users[row])
    x = float(motion.x[row, at]) - back * math.cos(yaw)
    y = float(motion.y[row, at]) - back * math.sin(yaw)
    z = float(motion.z[row, at]) - motion.users[row].height / 2
    _add(_add(parent, "Position"), "WorldPosition", x=repr(x), y=repr(y), z=repr(z), h=repr(yaw))


def _condition(trigger: Any, rule: str, time: float, name: str) -> None:
    condition = _add(_add(trigger, "ConditionGroup"), "Condition", name=name, delay="0", conditionEdge="none")
    _add(_add(condition, "ByValueCondition"), "SimulationTimeCondition", value=repr(time), rule=rule)
