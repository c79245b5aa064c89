"""Readers of recordings on files that nobody writes: scenarios, refusals or a plain error, and nothing else."""

from __future__ import annotations

import struct
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st
from mcap.writer import CompressionType

from carcloud.errors import CarcloudError
from carcloud.research.adapters.mcap import reader as mcap
from carcloud.research.adapters.osi import reader as osi
from carcloud.research.adapters.osi.messages import GROUND_TRUTH, message_class
from carcloud.research.scenario import Scenario
from tests.recorded import DETECTIONS, ODOMETRY, read, stamp, write_json, write_ros

edits = st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8), st.integers(0, 8)), max_size=6)


def mangled(data: bytes, changes: list[tuple[float, bytes, int]], keep: float) -> bytes:
    """Return data with some bytes replaced, put in or taken out, and its end cut off."""
    mixed = bytearray(data)
    for share, new, gone in changes:
        at = int(share * len(mixed))
        mixed[at : at + gone] = new
    return bytes(mixed[: int(keep * len(mixed)) + 1])


@cache
def trace() -> bytes:
    messages = []
    for step in range(4):
        truth = message_class(GROUND_TRUTH)()
        truth.timestamp.nanos = step * 10**8
        for id_ in range(2):
            moving = truth.moving_object.add()
            moving.id.value, moving.type = id_, 2
            moving.base.position.x = float(step + id_)
        boundary = truth.lane_boundary.add()
        boundary.id.value = 1
        for x in range(3):
            boundary.boundary_line.add().position.x = float(x)
        lane = truth.lane.add()
        lane.classification.left_lane_boundary_id.add().value = 1
        lane.classification.right_lane_boundary_id.add().value = 1
        messages.append(truth.SerializeToString())
    return b"".join(struct.pack("<I", len(one)) + one for one in messages)


@cache
def packed(sort: str) -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "a.mcap"
        if sort == "json":
            listed = [{"id": 1, "class": "car", "x": 1.0, "y": 2.0}]
            told = [("/list", "objects", step * 10**8, {"objects": listed}) for step in range(5)]
            return write_json(file, told, CompressionType.NONE, crcs=False).read_bytes()
        schemas = {"nav_msgs/msg/Odometry": ODOMETRY, "vision_msgs/msg/Detection3DArray": DETECTIONS}
        rows = []
        for step in range(5):
            header = {"stamp": stamp(10**9 + step * 10**8), "frame_id": "map"}
            pose = {"position": {"x": float(step)}, "orientation": {"w": 1.0}}
            seen = {"id": "7", "bbox": {"center": pose}}
            rows.append(("/odom", "nav_msgs/msg/Odometry", step, {"header": header, "pose": {"pose": pose}}))
            rows.append(("/seen", "vision_msgs/msg/Detection3DArray", step, {"header": header, "detections": [seen]}))
        return write_ros(file, schemas, rows, CompressionType.NONE, crcs=False).read_bytes()


def made_of(reader: object, data: bytes, name: str) -> tuple[list[Scenario], list[CarcloudError]]:
    with TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(data)
        try:
            scenarios, refused = read(reader, Path(folder) / name)
        except CarcloudError as error:
            return [], [error]
    return scenarios, [one.error for one in refused]


def tried(reader: object, data: bytes, name: str) -> None:
    scenarios, errors = made_of(reader, data, name)
    assert scenarios or errors
    assert all(error.message and error.do for error in errors)
    for scenario in scenarios:
        assert scenario.motion.present.any()
        assert scenario.id


@given(edits, st.floats(0.2, 1))
def test_any_trace_is_scenarios_or_an_error(changes, keep):
    tried(osi, mangled(trace(), changes, keep), "a.osi")


@given(st.sampled_from(["json", "ros"]), edits, st.floats(0.2, 1))
def test_any_mcap_file_is_scenarios_or_an_error(sort, changes, keep):
    tried(mcap, mangled(packed(sort), changes, keep), "a.mcap")


@given(st.binary(max_size=200))
def test_any_bytes_behind_the_magic_are_an_error(data):
    tried(mcap, b"\x89MCAP0\r\n" + data, "a.mcap")
