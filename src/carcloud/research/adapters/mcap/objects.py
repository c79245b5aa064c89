"""Objects in messages of others: found by the names that their parts have in known formats.

Rules:
* Known are vision_msgs/Detection3DArray, derived_object_msgs/ObjectArray, Autoware's tracked, predicted and detected
  objects, visualization_msgs/MarkerArray (boxes), foxglove.SceneUpdate (boxes), and JSON with a list of objects.
* An object needs an id that lasts and a position; one without is counted, not guessed at.
* A speed that a format gives in the object's own frame (Autoware) is turned into that of its position.

Source: the message definitions named above, as their packages publish them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LISTS = ("objects", "detections", "entities", "markers", "tracks")
LIMIT_OBJECTS = 10_000
_IDS = ("object_id", "track_id", "tracking_id", "id", "uuid")
_POSES = (
    "kinematics.pose_with_covariance.pose",
    "kinematics.initial_pose_with_covariance.pose",
    "cubes.0.pose",
    "bbox.center",
    "pose.pose",
    "pose",
    "",
)
_OWN_TWISTS = (
    "kinematics.twist_with_covariance.twist.linear",
    "kinematics.initial_twist_with_covariance.twist.linear",
)
_TWISTS = ("twist.twist.linear", "twist.linear", "velocity.linear", "velocity")
_SIZES = ("shape.dimensions", "cubes.0.size", "bbox.size", "size", "dimensions", "scale")
_DERIVED = {4: "pedestrian", 5: "bicycle", 6: "car", 7: "truck", 8: "motorcycle", 10: "static", 11: "static"}
_AUTOWARE = {1: "car", 2: "truck", 3: "bus", 4: "truck", 5: "motorcycle", 6: "bicycle", 7: "pedestrian"}
_WORDS = {
    "truck": ("truck", "lorry", "trailer"),
    "bus": ("bus", "coach"),
    "motorcycle": ("motorcycle", "motorbike", "motorcyclist"),
    "bicycle": ("bicycle", "cyclist", "bike"),
    "pedestrian": ("pedestrian", "person", "human"),
    "static": ("static", "barrier", "cone", "obstacle", "sign"),
    "car": ("car", "vehicle", "van", "automobile", "taxi", "suv"),
}
_MARKER_CUBE = 1


@dataclass(frozen=True)
class Found:
    """An object: where, in the frame that its message names.

    Args:
        position: x, y, z metres.
        turn: x, y, z, w of its quaternion.
        velocity: x, y metres a second in that frame; NaN where not given.
        size: length, width, height metres; 0 where not given.
    """

    name: str
    kind: str
    frame: str
    time_us: int | None
    position: tuple[float, float, float]
    turn: tuple[float, float, float, float]
    velocity: tuple[float, float]
    size: tuple[float, float, float]


def part(node: Any, path: str) -> Any:
    """Return a part by its names, of an object or a dict; None where it is not there."""
    for name in path.split(".") if path else ():
        if isinstance(node, dict):
            node = node.get(name)
        elif name.isdigit():
            node = node[int(name)] if _is_list(node) and len(node) > int(name) else None
        else:
            node = getattr(node, name, None)
        if node is None:
            return None
    return node


def object_list(message: Any) -> Sequence[Any] | None:
    """Return the list of objects of a message; None where it has none."""
    for name in LISTS:
        found = part(message, name)
        if _is_list(found):
            return found  # type: ignore[no-any-return]
    return None


def objects_of(message: Any) -> Iterator[Found | None]:
    """Yield the objects of a message; None for one that cannot be used."""
    frame, at = frame_of(message), time_of(message)
    for node in (object_list(message) or ())[:LIMIT_OBJECTS]:
        if part(node, "ns") is not None and (
            part(node, "type") != _MARKER_CUBE or part(node, "action") not in (0, None)
        ):
            continue
        yield _found(node, frame, at)


def frame_of(message: Any) -> str:
    """Return the name of the frame that a message is in; empty where it says none."""
    found = part(message, "header.frame_id") or part(message, "frame_id") or ""
    return found.lstrip("/") if isinstance(found, str) else ""


def time_of(message: Any) -> int | None:
    """Return the time that a message is of, in microseconds; None where it says none."""
    for path in ("header.stamp", "timestamp", "stamp", "time"):
        node = part(message, path)
        if isinstance(node, int | float) and not isinstance(node, bool):
            return round(node * 1e6) if abs(node) < 1e11 else None
        for whole, rest in (("sec", "nanosec"), ("seconds", "nanos"), ("sec", "nsec")):
            seconds, nanos = part(node, whole), part(node, rest)
            if isinstance(seconds, int) and isinstance(nanos, int) and (seconds or nanos):
                return seconds * 1_000_000 + nanos // 1000
    return None


def pose_of(node: Any) -> tuple[tuple[float, float, float], tuple[float, float, float, float]] | None:
    """Return position and quaternion of a pose; None where it has no position."""
    place = part(node, "position") or part(node, "translation") or node
    x, y = number(part(place, "x")), number(part(place, "y"))
    if not (np.isfinite(x) and np.isfinite(y)):
        return None
    z = number(part(place, "z"), 0.0)
    turn = part(node, "orientation") or part(node, "rotation")
    if turn is not None and part(turn, "w") is not None:
        quaternion = tuple(number(part(turn, name), 0.0) for name in "xyzw")
        if np.isfinite(quaternion).all() and any(quaternion):
            return (x, y, z), (quaternion[0], quaternion[1], quaternion[2], quaternion[3])
    yaw = next(
        (
            number(part(node, name))
            for name in ("yaw", "heading", "theta", "orientation.yaw")
            if part(node, name) is not None
        ),
        np.nan,
    )
    if not np.isfinite(yaw):
        return (x, y, z), (np.nan, np.nan, np.nan, np.nan)
    return (x, y, z), (0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))


def number(value: Any, otherwise: float = np.nan) -> float:
    """Return a value as a number; `otherwise` where it is none."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else otherwise


def yaw_of(turn: tuple[float, float, float, float]) -> float:
    """Return the yaw of a quaternion in radians."""
    x, y, z, w = turn
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def _found(node: Any, frame: str, at: int | None) -> Found | None:
    name = _name(node)
    pose = next((found for path in _POSES if (found := _pose_at(node, path)) is not None), None)
    if name is None or pose is None:
        return None
    own, at = frame_of(node) or frame, time_of(node) or at
    return Found(name, _kind(node), own, at, *pose, _velocity(node, pose[1]), _size(node))


def _pose_at(node: Any, path: str) -> tuple[tuple[float, float, float], tuple[float, float, float, float]] | None:
    place = part(node, path)
    return None if place is None or _is_list(place) else pose_of(place)


def _name(node: Any) -> str | None:
    for path in _IDS:
        found = part(node, path)
        if found is None or found == "":
            continue
        inner = part(found, "uuid") if not isinstance(found, str | int | float) else None
        if inner is not None:
            return _hex(inner)
        if isinstance(found, str | int | float):
            space = part(node, "ns")
            return f"{space}/{found}"[:64] if isinstance(space, str) and space else str(found)[:64]
    return None


def _hex(told: Any) -> str:
    try:
        return bytes(told).hex()[:64] if isinstance(told, bytes | bytearray) or _is_list(told) else str(told)[:64]
    except (TypeError, ValueError):
        return str(told)[:64]


def _velocity(node: Any, turn: tuple[float, float, float, float]) -> tuple[float, float]:
    for path in _OWN_TWISTS:
        twist = part(node, path)
        if twist is not None:
            ahead, left, yaw = number(part(twist, "x")), number(part(twist, "y"), 0.0), yaw_of(turn)
            return ahead * np.cos(yaw) - left * np.sin(yaw), ahead * np.sin(yaw) + left * np.cos(yaw)
    for path in _TWISTS:
        twist = part(node, path)
        if twist is not None and part(twist, "x") is not None:
            return number(part(twist, "x")), number(part(twist, "y"), 0.0)
    x, y = number(part(node, "vx")), number(part(node, "vy"))
    return x, y


def _size(node: Any) -> tuple[float, float, float]:
    for path in _SIZES:
        size = part(node, path)
        if _is_list(size) and len(size) >= 3:
            return number(size[0], 0.0), number(size[1], 0.0), number(size[2], 0.0)
        if size is not None and part(size, "x") is not None:
            return number(part(size, "x"), 0.0), number(part(size, "y"), 0.0), number(part(size, "z"), 0.0)
    return number(part(node, "length"), 0.0), number(part(node, "width"), 0.0), number(part(node, "height"), 0.0)


def _kind(node: Any) -> str:
    told = part(node, "classification")
    if _is_list(told) and len(told):
        best = max(told, key=lambda one: number(part(one, "probability"), 0.0))
        return _AUTOWARE.get(part(best, "label"), "other")
    if isinstance(told, int) and not isinstance(told, bool):
        return _DERIVED.get(told, "other")
    for path in ("results.0.hypothesis.class_id", "kind", "class", "type", "label", "category", "ns"):
        word = part(node, path)
        if isinstance(word, str) and word:
            return kind_of_word(word)
    for pair in part(node, "metadata") or ():
        if part(pair, "key") in ("class", "type", "category", "kind"):
            return kind_of_word(str(part(pair, "value")))
    return "other"


def kind_of_word(word: str) -> str:
    """Return the kind that a word of somebody's means."""
    low = word.lower()
    parts = set(low.replace("-", "_").replace(".", "_").replace("/", "_").split("_"))
    return next((kind for kind, words in _WORDS.items() if low in words or parts & set(words)), "other")


def _is_list(node: Any) -> bool:
    return hasattr(node, "__len__") and hasattr(node, "__getitem__") and not isinstance(node, str | dict | bytes)
