"""Writes scenarios as MCAP files of ASAM OSI ground truth, one file a scenario.

Rules:
* The topic ground_truth has a message of osi3.GroundTruth a step; the first has the lanes. A map in OpenDRIVE goes
  along as it is, in the topic ground_truth_map.
* What OSI has no word for goes along beside it: signals as JSON, the rest in the metadata net.carcloud.scenario; names
  and kinds in references of the type net.carcloud.track and .lane. Read again, the scenario has the same id.
* Licence, consent and origin stand in the metadata net.carcloud.about.

Source: ASAM OSI 3.8.0, section "OSI multi-channel trace files" (metadata net.asam.osi.trace and of channels).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from mcap.writer import CompressionType, Writer

from carcloud.research.adapters.mcap.signals import Signals
from carcloud.research.adapters.osi.kinds import SOURCE as TRACK_SOURCE
from carcloud.research.adapters.osi.kinds import write_kind
from carcloud.research.adapters.osi.lanes import SOURCE as LANE_SOURCE
from carcloud.research.adapters.osi.messages import GROUND_TRUTH, MAP, VERSION, descriptors, enum_value, message_class
from carcloud.research.exports.about import About, Abouts
from carcloud.research.roads import Lane, RoadMap
from carcloud.research.scenario import Scenario

FORMAT = "osi_mcap"
ABOUT = "MCAP with ASAM OSI ground truth, one file a scenario."

TRUTH_TOPIC, MAP_TOPIC = "ground_truth", "ground_truth_map"
SAMPLES = 65_536
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SUBTYPES = {
    "driving": "SUBTYPE_NORMAL",
    "ramp": "SUBTYPE_CONNECTINGRAMP",
    "shoulder": "SUBTYPE_SHOULDER",
    "bicycle": "SUBTYPE_BIKING",
    "walkway": "SUBTYPE_SIDEWALK",
    "crossing": "SUBTYPE_SIDEWALK",
    "parking": "SUBTYPE_PARKING",
    "other": "SUBTYPE_OTHER",
}


def write(scenarios: Iterable[Scenario], folder: Path, about: Abouts) -> list[Path]:
    """Write each scenario into the folder; return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_write(scenario, folder / f"{scenario.id}.mcap", about.get(scenario.id, About())) for scenario in scenarios]


def _write(scenario: Scenario, path: Path, about: About) -> Path:
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.ZSTD)
        writer.start(library=f"carcloud {version('carcloud')}")
        begin_us = (scenario.begin - EPOCH) // timedelta(microseconds=1) if scenario.begin else 0
        _describe(writer, scenario, about)
        if scenario.map is not None and scenario.map.format == "opendrive" and scenario.map.verbatim is not None:
            _write_map(writer, scenario.map.verbatim, begin_us)
        channel = _channel(writer, TRUTH_TOPIC, GROUND_TRUTH)
        for at_us, truth in _truths(scenario, begin_us):
            writer.add_message(channel, at_us * 1000, truth.SerializeToString(), at_us * 1000)
        _write_signals(writer, scenario, begin_us)
        writer.finish()  # type: ignore[no-untyped-call]
    return path


def _describe(writer: Any, scenario: Scenario, about: About) -> None:
    words = ".".join(map(str, VERSION))
    writer.add_metadata(
        "net.asam.osi.trace",
        {
            "version": words,
            "min_osi_version": words,
            "max_osi_version": words,
            "min_protobuf_version": version("protobuf"),
            "max_protobuf_version": version("protobuf"),
            "description": scenario.name,
            "creation_time": (scenario.begin or EPOCH).isoformat(),
            "licence": about.licence,
            "data_sources": about.recording,
        },
    )
    writer.add_metadata(Signals.METADATA, {"name": scenario.name, "scenario": Signals.words(scenario)})
    writer.add_metadata("net.carcloud.about", about.words())


def _channel(writer: Any, topic: str, name: str) -> int:
    schema = writer.register_schema(name, "protobuf", descriptors())
    metadata = {
        "net.asam.osi.trace.channel.osi_version": ".".join(map(str, VERSION)),
        "net.asam.osi.trace.channel.protobuf_version": version("protobuf"),
        "net.asam.osi.trace.channel.description": "",
    }
    return int(writer.register_channel(topic, "protobuf", schema, metadata))


def _write_map(writer: Any, verbatim: bytes, begin_us: int) -> None:
    message = message_class(MAP)()
    message.map_reference = "map.xodr"
    message.open_drive_xml_content = verbatim.decode()
    data = message.SerializeToString()
    writer.add_message(_channel(writer, MAP_TOPIC, MAP), begin_us * 1000, data, begin_us * 1000)


def _write_signals(writer: Any, scenario: Scenario, begin_us: int) -> None:
    for series in scenario.series:
        channel = writer.register_channel(f"{Signals.PREFIX}{series.name}", "json", 0)
        for start in range(0, max(len(series.values), 1), SAMPLES):
            times, values = series.time_us[start : start + SAMPLES], series.values[start : start + SAMPLES]
            told = {"t": times.tolist(), "v": values.tolist(), "unit": series.unit}
            at = max(0, begin_us + int(times[0]) if len(times) else begin_us) * 1000
            writer.add_message(channel, at, orjson.dumps(told), at)


def _truths(scenario: Scenario, begin_us: int) -> Iterator[tuple[int, Any]]:
    motion = scenario.motion
    ego = motion.row(scenario.ego) if scenario.ego is not None else None
    for step, since_us in enumerate(motion.time_us.tolist()):
        truth, at = message_class(GROUND_TRUTH)(), begin_us + since_us
        truth.version.version_major, truth.version.version_minor, truth.version.version_patch = VERSION
        truth.timestamp.seconds, rest = divmod(at, 1_000_000)
        truth.timestamp.nanos = rest * 1000
        if ego is not None:
            truth.host_vehicle_id.value = ego
        if step == 0:
            _write_place(scenario, truth)
        for row in np.flatnonzero(motion.present[:, step]):
            _write_moving(scenario, int(row), step, truth.moving_object.add())
        yield at, truth


def _write_place(scenario: Scenario, truth: Any) -> None:
    if scenario.origin is not None:
        latitude, longitude = scenario.origin
        truth.proj_string = f"+proj=ortho +lat_0={latitude!r} +lon_0={longitude!r} +ellps=WGS84 +units=m"
    if scenario.map is not None:
        _write_lanes(scenario.map, truth)


def _write_moving(scenario: Scenario, row: int, step: int, moving: Any) -> None:
    motion, user = scenario.motion, scenario.motion.users[row]
    moving.id.value = row
    base = moving.base
    base.dimension.length, base.dimension.width, base.dimension.height = user.length, user.width, user.height
    base.position.x, base.position.y = float(motion.x[row, step]), float(motion.y[row, step])
    base.position.z = float(motion.z[row, step])
    base.orientation.yaw = float(motion.yaw[row, step])
    base.velocity.x, base.velocity.y = float(motion.vx[row, step]), float(motion.vy[row, step])
    base.acceleration.x, base.acceleration.y = float(motion.ax[row, step]), float(motion.ay[row, step])
    write_kind(user.kind, moving)
    source = moving.source_reference.add()
    source.type = TRACK_SOURCE
    source.identifier.extend((user.name, user.kind))


def _write_lanes(roads: RoadMap, truth: Any) -> None:
    ids = {lane.name: number for number, lane in enumerate(roads.lanes)}
    for number, lane in enumerate(roads.lanes):
        for side, edge in enumerate((lane.left_edge, lane.right_edge)):
            boundary = truth.lane_boundary.add()
            boundary.id.value = 2 * number + side
            boundary.classification.type = enum_value("osi3.LaneBoundary.Classification.Type", "TYPE_OTHER")
            for x, y in edge.tolist():
                boundary.boundary_line.add(width=0.0, height=0.0).position.MergeFrom(_point(x, y))
        _write_lane(lane, number, ids, truth.lane.add())


def _point(x: float, y: float) -> Any:
    return message_class("osi3.Vector3d")(x=x, y=y, z=0.0)


def _write_lane(lane: Lane, number: int, ids: dict[str, int], message: Any) -> None:
    message.id.value = number
    class_ = message.classification
    type_ = "TYPE_NONDRIVING" if lane.kind not in ("driving", "ramp") else "TYPE_DRIVING"
    type_ = "TYPE_INTERSECTION" if lane.junction else type_
    class_.type = enum_value("osi3.Lane.Classification.Type", type_)
    class_.subtype = enum_value("osi3.Lane.Classification.Subtype", _SUBTYPES[lane.kind])
    class_.centerline.extend(_point(x, y) for x, y in lane.centre.tolist())
    class_.centerline_is_driving_direction = True
    class_.left_lane_boundary_id.add(value=2 * number)
    class_.right_lane_boundary_id.add(value=2 * number + 1)
    for beside, listed in ((lane.left, class_.left_adjacent_lane_id), (lane.right, class_.right_adjacent_lane_id)):
        if beside in ids:
            listed.add(value=ids[beside])
    if lane.opposite in ids:
        class_.left_adjacent_lane_id.add(value=ids[lane.opposite])
    for name in lane.before:
        if name in ids:
            class_.lane_pairing.add().antecessor_lane_id.value = ids[name]
    for name in lane.after:
        if name in ids:
            class_.lane_pairing.add().successor_lane_id.value = ids[name]
    source = message.source_reference.add()
    source.type = LANE_SOURCE
    limit = "" if lane.limit_mps is None else repr(lane.limit_mps)
    source.identifier.extend((lane.name, lane.kind, limit, lane.left, lane.right, lane.opposite))
