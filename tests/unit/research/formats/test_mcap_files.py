"""MCAP files in several languages; broken, lying and swelling ones."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard
from foxglove_schemas_protobuf.SceneUpdate_pb2 import SceneUpdate
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from mcap.writer import CompressionType, Writer

from carcloud.errors import InputError
from carcloud.research.adapters.mcap import reader
from carcloud.research.adapters.mcap.container import MAGIC
from tests.recorded import DETECTIONS, FIX, ODOMETRY, TRANSFORMS, read, stamp, write_json, write_ros

BEGIN = 1_700_000_000 * 10**9
STEP = 10**8
UP = {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}


def header(at: int, frame: str):
    return {"stamp": stamp(at), "frame_id": frame}


def odometry(step: int):
    """The ego goes north at 10 m/s from (100, 200)."""
    at, half = BEGIN + step * STEP, np.sqrt(0.5)
    pose = {"position": {"x": 100.0, "y": 200.0 + step, "z": 0.5}, "orientation": {"z": half, "w": half}}
    twist = {"twist": {"linear": {"x": 10.0}}}
    message = {"header": header(at, "map"), "child_frame_id": "base_link", "pose": {"pose": pose}, "twist": twist}
    return "/odom", "nav_msgs/msg/Odometry", at, message


def detections(step: int, frame: str = "base_link", id_: str = "car-1"):
    """A car stays 20 m before the ego, in the ego's frame."""
    at = BEGIN + step * STEP
    box = {"center": {"position": {"x": 20.0, "y": 0.0}, "orientation": UP}, "size": {"x": 4.0, "y": 2.0, "z": 1.5}}
    one = {"id": id_, "results": [{"hypothesis": {"class_id": "vehicle.truck", "score": 0.9}}], "bbox": box}
    return "/objects", "vision_msgs/msg/Detection3DArray", at, {"header": header(at, frame), "detections": [one]}


ROS = {"nav_msgs/msg/Odometry": ODOMETRY, "vision_msgs/msg/Detection3DArray": DETECTIONS}


def test_ros_2_odometry_and_detections_meet_in_one_frame(tmp_path):
    told = [one for step in range(20) for one in (odometry(step), detections(step))]
    (scenario,), refused = read(reader, write_ros(tmp_path / "a.mcap", ROS, told))
    assert not refused
    motion = scenario.motion
    truck, ego = motion.users
    assert (truck.name, truck.kind, truck.length, ego.name) == ("car-1", "truck", 4.0, "ego")
    assert scenario.ego == 1
    assert motion.x == pytest.approx(np.full((2, 20), 100.0))
    assert motion.y[0] - motion.y[1] == pytest.approx(np.full(20, 20.0))
    assert motion.yaw == pytest.approx(np.full((2, 20), np.pi / 2))
    assert motion.speed == pytest.approx(np.full((2, 20), 10.0))
    assert scenario.begin.timestamp() == 1_700_000_000


def test_middle_of_the_ego_may_lie_ahead_of_its_pose(tmp_path):
    file = write_ros(tmp_path / "a.mcap", ROS, [odometry(step) for step in range(20)])
    (scenario,), _ = read(reader, file, parameters={"ego_forward": "1.4"})
    assert scenario.motion.y[0, 0] == pytest.approx(201.4)
    with pytest.raises(InputError, match="ego_forward"):
        read(reader, file, parameters={"ego_forward": "far"})


def test_transforms_place_the_ego_where_no_odometry_does(tmp_path):
    def transform(step: int):
        at = BEGIN + step * STEP
        one = {"translation": {"x": float(step), "y": 0.0, "z": 0.0}, "rotation": UP}
        return (
            "/tf",
            "tf2_msgs/msg/TFMessage",
            at,
            {"transforms": [{"header": header(at, "map"), "child_frame_id": "base_link", "transform": one}]},
        )

    told = [one for step in range(20) for one in (transform(step), detections(step))]
    schemas = {"tf2_msgs/msg/TFMessage": TRANSFORMS, "vision_msgs/msg/Detection3DArray": DETECTIONS}
    (scenario,), _ = read(reader, write_ros(tmp_path / "a.mcap", schemas, told))
    assert scenario.motion.x[0] == pytest.approx(np.arange(20) + 20.0)
    assert scenario.ego == 1


def test_fixes_alone_are_a_track_with_an_origin(tmp_path):
    def fix(step: int):
        at = BEGIN + step * STEP
        message = {"header": header(at, "gps"), "latitude": 48 + step * 1e-5, "longitude": 11.0, "altitude": 500.0}
        return "/fix", "sensor_msgs/msg/NavSatFix", at, message

    told = [fix(step) for step in range(20)]
    (scenario,), _ = read(reader, write_ros(tmp_path / "a.mcap", {"sensor_msgs/msg/NavSatFix": FIX}, told))
    assert scenario.origin == (48.0, 11.0)
    assert scenario.motion.speed[0] == pytest.approx(np.full(20, 11.12), rel=0.01)


def test_detections_without_ids_are_said(tmp_path):
    told = [one for step in range(20) for one in (odometry(step), detections(step, id_=""))]
    (scenario,), (refused,) = read(reader, write_ros(tmp_path / "a.mcap", ROS, told))
    assert [user.name for user in scenario.motion.users] == ["ego"]
    assert "20 objects of '/objects' have no id" in refused.error.message


def test_objects_of_a_frame_that_leads_elsewhere_are_left_out(tmp_path):
    told = [one for step in range(20) for one in (odometry(step), detections(step, "camera"))]
    (scenario,), _ = read(reader, write_ros(tmp_path / "a.mcap", ROS, told))
    assert [user.name for user in scenario.motion.users] == ["ego"]


def scene(step: int) -> SceneUpdate:
    update = SceneUpdate()
    entity = update.entities.add(id="7", frame_id="map")
    entity.timestamp.FromNanoseconds(BEGIN + step * STEP)
    entity.metadata.add(key="class", value="pedestrian")
    cube = entity.cubes.add()
    cube.pose.position.x, cube.pose.orientation.w = step * 0.15, 1.0
    cube.size.x, cube.size.y, cube.size.z = 0.5, 0.6, 1.8
    return update


def foxglove(path: Path, steps: int = 20) -> Path:
    files, open_ = FileDescriptorSet(), [SceneUpdate.DESCRIPTOR.file]
    while open_:
        file = open_.pop()
        if file.name not in {one.name for one in files.file}:
            file.CopyToProto(files.file.add())
            open_ += file.dependencies
    with path.open("wb") as stream:
        writer = Writer(stream, compression=CompressionType.LZ4)
        writer.start()
        schema = writer.register_schema("foxglove.SceneUpdate", "protobuf", files.SerializeToString())
        channel = writer.register_channel("/scene", "protobuf", schema)
        for step in range(steps):
            at = BEGIN + step * STEP
            writer.add_message(channel, at, scene(step).SerializeToString(), at)
        writer.finish()
    return path


def test_boxes_of_foxglove_are_road_users(tmp_path):
    (scenario,), refused = read(reader, foxglove(tmp_path / "a.mcap"))
    assert not refused
    (user,) = scenario.motion.users
    assert (user.name, user.kind, user.height) == ("7", "pedestrian", 1.8)
    assert scenario.motion.speed[0] == pytest.approx(np.full(20, 1.5))


def objects(step: int):
    listed = [{"id": 3, "class": "bus", "x": step * 1.0, "y": 2.0, "yaw": 0.0, "length": 12.0, "width": 2.5}]
    return "/list", "objects", BEGIN + step * STEP, {"objects": listed}


@pytest.mark.parametrize("compression", list(CompressionType))
def test_lists_of_objects_in_json_are_road_users(tmp_path, compression):
    told = [objects(step) for step in range(50)]
    (scenario,), _ = read(reader, write_json(tmp_path / "a.mcap", told, compression))
    (user,) = scenario.motion.users
    assert (user.name, user.kind, user.length) == ("3", "bus", 12.0)
    assert scenario.motion.shape == (1, 50)


def test_topics_that_are_there_are_named_where_none_can_be_used(tmp_path):
    file = write_json(tmp_path / "a.mcap", [("/weather", "sun", 0, {"warm": True})])
    with pytest.raises(InputError, match=r"it has /weather \(sun\)"):
        read(reader, file)


def test_file_that_is_cut_off_is_read_up_to_there_and_says_so(tmp_path):
    file = write_json(tmp_path / "a.mcap", [objects(step) for step in range(400)])
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    (scenario,), (refused,) = read(reader, file)
    assert 10 < scenario.motion.shape[1] < 400
    assert "breaks off at byte" in refused.error.message
    assert "mcap recover" in refused.error.do


def test_chunk_that_was_changed_does_not_fit_its_checksum(tmp_path):
    file = write_json(tmp_path / "a.mcap", [objects(step) for step in range(400)], CompressionType.NONE)
    data = bytearray(file.read_bytes())
    at = data.index(b'"x": 300.0')
    data[at + 5 : at + 8] = b"999"
    file.write_bytes(data)
    (scenario,), (refused,) = read(reader, file)
    assert scenario.motion.shape[1] < 300
    assert "checksum" in refused.error.message


def record(code: int, data: bytes, length: int | None = None) -> bytes:
    return struct.pack("<BQ", code, len(data) if length is None else length) + data


def chunk(compression: str, data: bytes, size: int, crc: int = 0) -> bytes:
    name = compression.encode()
    head = struct.pack("<QQQI", 0, 0, size, crc) + struct.pack("<I", len(name)) + name + struct.pack("<Q", len(data))
    return record(6, head + data)


BIG = 1 << 30
SWELLING = zstandard.ZstdCompressor().compress(bytes(64 << 20))
LYING = zstandard.ZstdCompressor().compress(bytes(4 << 20))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (chunk("zstd", SWELLING, BIG), "unpacks to"),
        (chunk("zstd", LYING, 1000), "and does not"),
        (chunk("lz4", lz4.frame.compress(bytes(4 << 20)), 1000), "and does not"),
        (chunk("zstd", b"nothing of the kind", 1000), "breaks off"),
        (chunk("bzip3", b"x", 1), "not known"),
        (chunk("", b"abc", 3, zlib.crc32(b"abd")), "checksum"),
        (record(6, b"", BIG), "a record of"),
        (record(5, b"\x01"), "breaks off"),
        (record(5, struct.pack("<HIQQ", 7, 0, 0, 0)), "not described"),
        (b"", "ends before its footer"),
    ],
)
def test_records_that_lie_or_swell_are_named(tmp_path, data, words):
    (tmp_path / "a.mcap").write_bytes(MAGIC + data)
    with pytest.raises(InputError, match=words):
        read(reader, tmp_path / "a.mcap")


def test_what_is_no_mcap_is_not_recognised(tmp_path):
    (tmp_path / "a.mcap").write_bytes(b"MCAP?")
    assert not reader.recognises(tmp_path / "a.mcap")
    assert not reader.recognises(tmp_path)
    with pytest.raises(InputError, match="no MCAP file"):
        read(reader, tmp_path / "a.mcap")


@pytest.mark.parametrize(
    "text",
    [
        "vision_msgs/Detection3D[] detections\n" + "=" * 80 + "\nMSG: vision_msgs/Detection3D\nfloat64[0] nothing\n",
        "vision_msgs/Detection3DArray detections\n",
        "no such thing ///\n",
    ],
)
def test_definition_that_could_stand_for_anything_is_refused(tmp_path, text):
    with (tmp_path / "a.mcap").open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        schema = writer.register_schema("vision_msgs/msg/Detection3DArray", "ros2msg", text.encode())
        channel = writer.register_channel("/objects", "cdr", schema)
        writer.add_message(channel, 0, b"\x00\x01\x00\x00" + b"\xff" * 64, 0)
        writer.finish()
    scenarios, refused = read(reader, tmp_path / "a.mcap")
    assert not scenarios
    assert [one.name for one in refused] == ["a:/objects"]
