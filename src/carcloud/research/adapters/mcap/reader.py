"""Reads MCAP files: OSI ground truth, Foxglove and JSON objects, ROS 2 odometry and objects.

Rules:
* Each topic of ground truth and each of objects is a scenario of its own, with the ego and the roads of the file.
* A file that breaks off is read up to there, and the rest is refused by name. So is a topic that cannot be read.
* Where no topic can be used the error names those that are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters.adapter import Options, Progress, Refused
from carcloud.research.adapters.mcap.container import MAGIC, Channel, Container, Message
from carcloud.research.adapters.mcap.decoders import Decoder, decoder_for
from carcloud.research.adapters.mcap.signals import Signals
from carcloud.research.adapters.mcap.topics import World, role_of, take
from carcloud.research.adapters.opendrive.roads import read_roads
from carcloud.research.adapters.osi.messages import SENSOR_VIEW
from carcloud.research.adapters.osi.truth import Truths
from carcloud.research.adapters.roadside import road_beside
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario

FORMAT = "mcap"
ABOUT = "MCAP files (.mcap) with OSI, Foxglove, ROS 2 or JSON objects."


def recognises(path: Path) -> bool:
    """Tell by the first bytes."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


@dataclass
class _Told:
    """What a file told so far."""

    truths: dict[str, Truths] = field(default_factory=dict)
    world: World = field(default_factory=World)
    signals: Signals = field(default_factory=Signals)
    road: RoadMap | None = None
    decoders: dict[Channel, Decoder | None] = field(default_factory=dict)
    refused: dict[str, CarcloudError] = field(default_factory=dict)


def read(path: Path, options: Options, progress: Progress) -> Iterator[Scenario | Refused]:
    """Yield the scenarios of a file, and what of it was refused."""
    container, told = Container(path, progress), _Told()
    for message in container.messages():
        if message.channel.topic not in told.refused:
            _take(message, told)
    yielded = False
    for made in _scenarios(path, container, options, told):
        yielded = yielded or isinstance(made, Scenario)
        yield made
    if not yielded and container.broken is None:
        _refuse(path, container, told)
    if container.broken is not None:
        if not yielded:
            raise container.broken
        yield Refused(f"{path.stem}: the rest", container.broken)


def _take(message: Message, told: _Told) -> None:
    channel = message.channel
    try:
        if channel not in told.decoders:
            told.decoders[channel] = decoder_for(channel) if role_of(channel) else None
        decode = told.decoders[channel]
        if decode is None:
            return
        role, decoded = role_of(channel), decode(message.data)
        if role == "truth":
            truth = decoded.global_ground_truth if channel.schema == SENSOR_VIEW else decoded
            told.truths.setdefault(channel.topic, Truths(rising=False)).take(truth)
        elif role == "map":
            told.road = read_roads(decoded.open_drive_xml_content.encode())
        elif role == "signal":
            told.signals.take(channel.topic, decoded)
        else:
            take(told.world, role, channel, decoded, message.time_us)
    except CarcloudError as error:
        told.refused[channel.topic] = error
        if channel.topic in told.truths and len(told.truths[channel.topic].told_us) < 2:
            del told.truths[channel.topic]


def _scenarios(path: Path, container: Container, options: Options, told: _Told) -> Iterator[Scenario | Refused]:
    yield from (Refused(f"{path.stem}:{topic}", error) for topic, error in told.refused.items())
    no_lanes = told.road is None and not any(truths.lanes for truths in told.truths.values())
    road = road_beside(path, options, needed=no_lanes) or told.road
    forward = _forward(options)
    own, series = container.metadata.get(Signals.METADATA, {}), told.signals.series()
    topics = [topic for topic, one in told.world.topics.items() if len(one.rows)]
    alone = not topics and not told.truths
    several = len(told.truths) + len(topics) > 1
    for topic, truths in told.truths.items():
        name = own.get("name") or (f"{path.stem}:{topic}" if several else path.stem)
        yield _made(name, lambda truths=truths, name=name: _truth(truths, name, road, options, own, series))
    for topic in topics or ([""] if alone and _has_ego(told.world) else []):
        name = f"{path.stem}:{topic}" if several else path.stem
        yield _made(name, lambda topic=topic, name=name: _of_world(told, name, topic, forward, road))
    for topic, lost in told.world.unusable.items():
        what = f"{lost} objects of {topic!r} have no id or no position."
        yield Refused(f"{path.stem}:{topic}: a part", InputError(what, "Record tracked objects, with ids that last."))


def _truth(
    truths: Truths, name: str, road: RoadMap | None, options: Options, own: dict[str, str], series: tuple[Any, ...]
) -> Scenario:
    scenario = truths.scenario(name, road, options.parameters.get("ego", ""), series)
    return Signals.restored(scenario, own)


def _of_world(told: _Told, name: str, topic: str, forward: float, road: RoadMap | None) -> Scenario:
    return told.world.scenario(name, topic, forward, road, told.signals.series())


def _made(name: str, make: Any) -> Scenario | Refused:
    try:
        scenario: Scenario = make()
    except CarcloudError as error:
        return Refused(name, error)
    return scenario


def _has_ego(world: World) -> bool:
    return bool(len(world.ego.rows) or world.base_us or world.fixes)


def _forward(options: Options) -> float:
    text = options.parameters.get("ego_forward", "0")
    try:
        forward = float(text)
    except ValueError:
        forward = np.nan
    if not abs(forward) <= 20:
        raise InputError(f"ego_forward is {text!r}.", "Write metres from the ego's pose to the middle of its box.")
    return forward


def _refuse(path: Path, container: Container, told: _Told) -> None:
    if told.truths or told.world.topics or told.refused:
        return
    there = ", ".join(f"{one.topic} ({one.schema or one.encoding})" for one in list(container.channels.values())[:40])
    do = "Known are osi3.GroundTruth and SensorView, nav_msgs/Odometry, vision_msgs, derived_object_msgs and Autoware"
    what = f"{path.name} has no topic that can be used; it has {there or 'none at all'}."
    raise InputError(
        what, f"{do} objects, foxglove.SceneUpdate, sensor_msgs/NavSatFix, and JSON with a list of objects."
    )
