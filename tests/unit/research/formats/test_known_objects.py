"""Objects as the formats of others name their parts."""

from __future__ import annotations

from types import SimpleNamespace as Node

import numpy as np
import pytest

from carcloud.research.adapters.mcap.frames import Frames, matrices
from carcloud.research.adapters.mcap.objects import kind_of_word, objects_of, time_of, yaw_of

HALF = float(np.sqrt(0.5))
NORTH = {"x": 0.0, "y": 0.0, "z": HALF, "w": HALF}
HEADER = {"frame_id": "/map", "stamp": {"sec": 5, "nanosec": 250_000_000}}


def test_autoware_speeds_are_turned_out_of_the_objects_own_frame():
    pose = {"position": {"x": 1.0, "y": 2.0, "z": 0.5}, "orientation": NORTH}
    one = {
        "object_id": Node(uuid=bytes(range(16))),
        "classification": [{"label": 1, "probability": 0.2}, {"label": 3, "probability": 0.7}],
        "kinematics": {
            "pose_with_covariance": {"pose": pose},
            "twist_with_covariance": {"twist": {"linear": {"x": 4.0, "y": 0.0}}},
        },
        "shape": {"dimensions": {"x": 12.0, "y": 2.5, "z": 3.2}},
    }
    (found,) = objects_of({"header": HEADER, "objects": [one]})
    assert (found.name, found.kind, found.frame, found.time_us) == (bytes(range(16)).hex(), "bus", "map", 5_250_000)
    assert found.velocity == pytest.approx((0.0, 4.0))
    assert found.size == (12.0, 2.5, 3.2)
    assert yaw_of(found.turn) == pytest.approx(np.pi / 2)


def test_derived_objects_have_boxes_as_lists_and_speeds_in_the_messages_frame():
    one = Node(
        id=17,
        header=Node(frame_id="map", stamp=Node(sec=1, nanosec=0)),
        classification=4,
        pose=Node(position=Node(x=3.0, y=4.0, z=0.0), orientation=Node(**NORTH)),
        twist=Node(linear=Node(x=1.0, y=0.5, z=0.0)),
        shape=Node(type=1, dimensions=[0.5, 0.6, 1.8]),
    )
    (found,) = objects_of(Node(header=Node(frame_id="map", stamp=Node(sec=1, nanosec=0)), objects=[one]))
    assert (found.name, found.kind, found.velocity, found.size) == ("17", "pedestrian", (1.0, 0.5), (0.5, 0.6, 1.8))


def test_of_markers_only_boxes_count():
    pose = {"position": {"x": 1.0, "y": 1.0, "z": 0.0}, "orientation": NORTH}
    told = [{"ns": "car", "id": at, "type": sort, "action": 0, "pose": pose} for at, sort in enumerate((1, 2, 9))]
    assert [one.name for one in objects_of({"markers": told})] == ["car/0"]


@pytest.mark.parametrize(
    "one", [{}, {"id": 3}, {"x": 1.0, "y": 2.0}, {"id": 3, "x": float("nan"), "y": 1.0}, 7, None, []]
)
def test_object_without_id_or_place_is_none(one):
    assert list(objects_of({"objects": [one]})) == [None]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("vehicle.truck", "truck"),
        ("CAR", "car"),
        ("human.pedestrian.adult", "pedestrian"),
        ("dog", "other"),
        ("", "other"),
    ],
)
def test_words_of_others_become_kinds(word, kind):
    assert kind_of_word(word) == kind


def test_times_are_found_however_they_are_written():
    assert time_of({"timestamp": {"sec": 2, "nsec": 5_000}}) == 2_000_005
    assert time_of({"time": 1.5}) == 1_500_000
    assert time_of({"stamp": {"sec": "two"}}) is None


def test_chains_of_frames_lead_to_their_root_and_are_drawn_between_times():
    frames = Frames()
    turn = (0.0, 0.0, HALF, HALF)
    frames.tell("map", "base", 0, (0.0, 0.0, 0.0), turn)
    frames.tell("map", "base", 1_000_000, (10.0, 0.0, 0.0), turn)
    frames.tell("base", "lidar", 0, (2.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0), fixed=True)
    frames.tell("base", "base", 0, (1.0, 0.0, 0.0), turn)
    turns, places = frames.to_root("lidar", np.array([500_000, 5_000_000]))
    assert frames.root("lidar") == "map"
    assert places[0] == pytest.approx((5.0, 2.0, 1.0))
    assert turns[0] @ [1, 0, 0] == pytest.approx((0, 1, 0))
    assert np.isnan(places[1]).all()


def test_frames_in_a_circle_end():
    frames = Frames()
    for parent, child in (("a", "b"), ("b", "a")):
        frames.tell(parent, child, 0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    assert frames.root("a") in ("a", "b")
    assert frames.to_root("a", np.array([0]))[1].shape == (1, 3)


def test_quaternion_of_nothing_turns_nothing():
    assert np.isnan(matrices(np.zeros((1, 4)))).all()
