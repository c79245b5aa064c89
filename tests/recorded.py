"""Recordings made by tests: MCAP files of several languages, and what a reader makes of a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer
from mcap_ros2.writer import Writer as RosWriter

from carcloud.research.adapters.adapter import Options, Refused
from carcloud.research.scenario import Scenario

SCENARIOS = Path(__file__).parents[2] / "shared/data/scenarios"
DRIVES = Path(__file__).parents[2] / "shared/data/drives"
MAPPINGS = Path(__file__).parents[1] / "examples/mappings"
HEADER = "std_msgs/Header header\n"
RULE = "=" * 80 + "\nMSG: "
STAMPS = (
    f"{RULE}std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n"
    f"{RULE}builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)
POSES = (
    f"{RULE}geometry_msgs/PoseWithCovariance\ngeometry_msgs/Pose pose\nfloat64[36] covariance\n"
    f"{RULE}geometry_msgs/Pose\ngeometry_msgs/Point position\ngeometry_msgs/Quaternion orientation\n"
    f"{RULE}geometry_msgs/Point\nfloat64 x\nfloat64 y\nfloat64 z\n"
    f"{RULE}geometry_msgs/Quaternion\nfloat64 x\nfloat64 y\nfloat64 z\nfloat64 w\n"
    f"{RULE}geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
)
ODOMETRY = (
    f"{HEADER}string child_frame_id\ngeometry_msgs/PoseWithCovariance pose\ngeometry_msgs/TwistWithCovariance twist\n"
    f"{STAMPS}{POSES}"
    f"{RULE}geometry_msgs/TwistWithCovariance\ngeometry_msgs/Twist twist\nfloat64[36] covariance\n"
    f"{RULE}geometry_msgs/Twist\ngeometry_msgs/Vector3 linear\ngeometry_msgs/Vector3 angular\n"
)
DETECTIONS = (
    f"{HEADER}vision_msgs/Detection3D[] detections\n{STAMPS}{POSES}"
    f"{RULE}vision_msgs/Detection3D\nstd_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
    "vision_msgs/BoundingBox3D bbox\nstring id\n"
    f"{RULE}vision_msgs/ObjectHypothesisWithPose\nvision_msgs/ObjectHypothesis hypothesis\n"
    f"{RULE}vision_msgs/ObjectHypothesis\nstring class_id\nfloat64 score\n"
    f"{RULE}vision_msgs/BoundingBox3D\ngeometry_msgs/Pose center\ngeometry_msgs/Vector3 size\n"
)
FIX = f"{HEADER}float64 latitude\nfloat64 longitude\nfloat64 altitude\n{STAMPS}"
TRANSFORMS = (
    f"geometry_msgs/TransformStamped[] transforms\n{RULE}geometry_msgs/TransformStamped\nstd_msgs/Header header\n"
    f"string child_frame_id\ngeometry_msgs/Transform transform\n{STAMPS}{POSES}"
    f"{RULE}geometry_msgs/Transform\ngeometry_msgs/Vector3 translation\ngeometry_msgs/Quaternion rotation\n"
)

Told = Iterable[tuple[str, str, int, Mapping[str, Any]]]  # topic, schema, ns, message


def write_ros(
    path: Path,
    schemas: Mapping[str, str],
    told: Told,
    compression: CompressionType = CompressionType.ZSTD,
    *,
    crcs: bool = True,
) -> Path:
    """Write ROS 2 messages as CDR."""
    with path.open("wb") as file:
        writer = RosWriter(file, compression=compression, enable_crcs=crcs)
        known = {name: writer.register_msgdef(name, text) for name, text in schemas.items()}
        for topic, schema, at, message in told:
            writer.write_message(topic, known[schema], message, at, at)
        writer.finish()
    return path


def write_json(
    path: Path, told: Told, compression: CompressionType = CompressionType.ZSTD, *, crcs: bool = True
) -> Path:
    """Write JSON messages."""
    with path.open("wb") as file:
        writer = Writer(file, compression=compression, chunk_size=2048, enable_crcs=crcs)
        writer.start()
        channels: dict[str, int] = {}
        for topic, schema, at, message in told:
            if topic not in channels:
                channels[topic] = writer.register_channel(
                    topic, "json", writer.register_schema(schema, "jsonschema", b"{}")
                )
            writer.add_message(channels[topic], at, json.dumps(message).encode(), at)
        writer.finish()
    return path


def stamp(at_ns: int) -> dict[str, int]:
    """Return a time as ROS 2 has it."""
    return {"sec": at_ns // 10**9, "nanosec": at_ns % 10**9}


def read(reader: Any, path: Path, **options: Any) -> tuple[list[Scenario], list[Refused]]:
    """Return what a reader makes of a file."""
    told = list(reader.read(path, Options(**options), lambda share: None))
    return [one for one in told if isinstance(one, Scenario)], [one for one in told if isinstance(one, Refused)]
