"""OSI trace files, those of others and broken ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from carcloud.errors import InputError
from carcloud.research.adapters.osi import reader
from carcloud.research.adapters.osi.messages import GROUND_TRUTH, SENSOR_VIEW, message_class
from carcloud.research.adapters.osi.truth import origin_of
from tests.recorded import SCENARIOS, read

OMEGA = SCENARIOS / "omega_prime"
needs_omega = pytest.mark.skipif(not OMEGA.is_dir(), reason="the scenarios are not here (../shared/data/scenarios)")


def truth(step: int, **more):
    message = message_class(GROUND_TRUTH)()
    message.timestamp.seconds, message.timestamp.nanos = divmod(step * 100_000_000, 10**9)
    message.host_vehicle_id.value = 7
    for id_, speed in ((7, 10.0), (9, 5.0)):
        moving = message.moving_object.add()
        moving.id.value = id_
        moving.type = 2
        moving.base.position.x, moving.base.position.y = speed * step / 10, float(id_)
        moving.base.dimension.length, moving.base.dimension.width = 4.5, 1.8
        moving.base.velocity.x = speed
        moving.base.orientation.yaw = 0.0
    if step == 0:
        still = message.stationary_object.add()
        still.id.value = 7
        still.base.position.x, still.base.position.y = 50.0, 3.0
        still.base.dimension.length = 2.0
    return message


def trace(folder: Path, messages, name: str = "a.osi") -> Path:
    data = [one if isinstance(one, bytes) else one.SerializeToString() for one in messages]
    (folder / name).write_bytes(b"".join(struct.pack("<I", len(one)) + one for one in data))
    return folder / name


def test_host_is_the_ego_and_what_stands_is_there_all_the_time(tmp_path):
    (scenario,), refused = read(reader, trace(tmp_path, map(truth, range(20))))
    assert not refused
    motion = scenario.motion
    assert [(user.name, user.kind) for user in motion.users] == [("7", "car"), ("9", "car"), ("7", "static")]
    assert motion.users[scenario.ego].name == "7"
    assert motion.present.all()
    assert motion.speed[0] == pytest.approx(np.full(20, 10.0))
    assert scenario.begin is None


def test_ego_may_be_named(tmp_path):
    file = trace(tmp_path, map(truth, range(20)))
    (scenario,), _ = read(reader, file, parameters={"ego": "9"})
    assert scenario.motion.users[scenario.ego].name == "9"
    with pytest.raises(InputError, match="no road user '11'"):
        read(reader, file, parameters={"ego": "11"})


def test_sensor_view_is_read_by_its_ground_truth(tmp_path):
    views = []
    for step in range(5):
        view = message_class(SENSOR_VIEW)()
        view.timestamp.nanos = step
        view.global_ground_truth.CopyFrom(truth(step))
        views.append(view)
    assert read(reader, trace(tmp_path, views, "x_sv_350.osi"))[0][0].motion.shape == (3, 5)
    assert read(reader, trace(tmp_path, views))[0][0].motion.shape == (3, 5)


def test_trace_that_breaks_off_is_read_up_to_there_and_says_so(tmp_path):
    file = trace(tmp_path, map(truth, range(20)))
    file.write_bytes(file.read_bytes()[:-30])
    (scenario,), (refused,) = read(reader, file)
    assert scenario.motion.shape == (3, 19)
    assert "Read up to 1.800 s" in refused.error.message
    assert "ends in the middle" in refused.error.message


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04" + b"\xff" * 400, "no OSI trace"),
        (struct.pack("<I", 2**31) + b"x", "no OSI trace"),
        (struct.pack("<I", 400) + b"x" * 10, "ends in the middle"),
        (struct.pack("<I", 5) + b"\xff" * 5, "neither"),
        (struct.pack("<I", 0), "0 bytes"),
    ],
)
def test_what_is_no_trace_is_named(tmp_path, data, words):
    (tmp_path / "a.osi").write_bytes(data)
    with pytest.raises(InputError, match=words):
        read(reader, tmp_path / "a.osi")


def test_times_that_go_back_end_the_trace(tmp_path):
    messages = [truth(0), truth(1), truth(2), truth(1)]
    (scenario,), (refused,) = read(reader, trace(tmp_path, messages))
    assert scenario.motion.shape == (3, 3)
    assert "The times of a trace must rise" in refused.error.do


def test_flood_of_empty_parts_is_refused(tmp_path):
    flood = truth(0).SerializeToString() + b"\x2a\x00" * 1_000_000  # a million moving objects of two bytes
    with pytest.raises(InputError, match=r"parts|neither"):
        read(reader, trace(tmp_path, [flood]))


def test_two_of_one_id_at_once_are_refused(tmp_path):
    message = truth(0)
    message.moving_object[1].id.value = 7
    with pytest.raises(InputError, match="two places"):
        read(reader, trace(tmp_path, [message, truth(1)]))


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("+proj=tmerc +lat_0=48.5 +lon_0=11.25 +x_0=0 +y_0=0", (48.5, 11.25)),
        ("+proj=tmerc +lat_0=48.5 +lon_0=11.25 +x_0=500000", None),
        ("+proj=utm +zone=32 +lat_0=37 +lon_0=-122", None),
        ("+proj=tmerc +lat_0=north +lon_0=11", None),
        ("", None),
    ],
)
def test_origin_is_taken_only_where_the_projection_begins_there(text, origin):
    assert origin_of(text) == origin


@needs_omega
@pytest.mark.parametrize(
    ("name", "users", "steps", "lanes"),
    [("acc-test", 2, 1010, 6), ("alks_cut-in", 2, 305, 6), ("pedestrian", 2, 434, 24)],
)
def test_traces_of_esmini_are_read(name, users, steps, lanes):
    (scenario,), refused = read(reader, OMEGA / f"{name}.osi")
    assert not refused
    assert scenario.motion.shape == (users, steps)
    assert scenario.motion.step_s == 0.033
    assert scenario.motion.present.all()
    assert len(scenario.map.lanes) == lanes
    for lane in scenario.map.lanes:
        ahead, across = np.diff(lane.centre, axis=0), (lane.left_edge - lane.right_edge)[:-1]
        turned = ahead[:, 0] * across[:, 1] - ahead[:, 1] * across[:, 0]
        assert (turned >= 0).all(), f"the left edge of {lane.name} is on its right"


@needs_omega
def test_lanes_driven_the_other_way_are_opposite():
    (scenario,), _ = read(reader, OMEGA / "acc-test.osi")
    lanes = scenario.map.by_name
    assert (lanes["4"].opposite, lanes["4"].right, lanes["4"].left) == ("2", "5", "")
    assert lanes["4"].centre[-1][0] > lanes["4"].centre[0][0]
    assert lanes["2"].centre[-1][0] < lanes["2"].centre[0][0]


@needs_omega
def test_road_of_the_option_goes_before_lanes_of_the_trace():
    (scenario,), _ = read(reader, OMEGA / "acc-test.osi", road=OMEGA / "straight_500m.xodr")
    assert scenario.map.format == "opendrive"
