"""Topics: what a channel's messages are to a scenario, and how they enter it."""

from __future__ import annotations

from typing import Any

import numpy as np

from carcloud.research.adapters.mcap.container import Channel
from carcloud.research.adapters.mcap.objects import (
    Found,
    frame_of,
    number,
    object_list,
    objects_of,
    part,
    pose_of,
    time_of,
    yaw_of,
)
from carcloud.research.adapters.mcap.signals import Signals
from carcloud.research.adapters.mcap.worlds import EGO, Sightings, World
from carcloud.research.adapters.osi.messages import GROUND_TRUTH, MAP, SENSOR_VIEW

LIMIT_FIXES = 1_000_000
_ROLES = {
    GROUND_TRUTH: "truth",
    SENSOR_VIEW: "truth",
    MAP: "map",
    "nav_msgs/Odometry": "odometry",
    "tf2_msgs/TFMessage": "transforms",
    "foxglove.FrameTransform": "transforms",
    "foxglove.FrameTransforms": "transforms",
    "sensor_msgs/NavSatFix": "fix",
    "foxglove.LocationFix": "fix",
    "vision_msgs/Detection3DArray": "objects",
    "derived_object_msgs/ObjectArray": "objects",
    "visualization_msgs/MarkerArray": "objects",
    "foxglove.SceneUpdate": "objects",
    **{
        f"autoware_{package}_msgs/{name}": "objects"
        for package in ("perception", "auto_perception")
        for name in ("TrackedObjects", "PredictedObjects")
    },
}


def role_of(channel: Channel) -> str:
    """Return what a channel is: truth, map, odometry, transforms, fix, objects, signal; empty for none of these."""
    name = channel.schema.replace("/msg/", "/")
    if channel.encoding == "json" and channel.topic.startswith(Signals.PREFIX):
        return "signal"
    return _ROLES.get(name, "objects" if channel.encoding == "json" else "")


def take(world: World, role: str, channel: Channel, message: Any, logged_us: int) -> None:
    """Take a decoded message into the world."""
    if role == "odometry":
        _take_odometry(world, message, logged_us)
    elif role == "transforms":
        _take_transforms(world, channel, message, logged_us)
    elif role == "fix":
        _take_fix(world, message, logged_us)
    elif object_list(message) is not None:
        sightings = world.topics.setdefault(channel.topic, Sightings())
        for found in objects_of(message):
            if found is None:
                sightings.unusable += 1
            else:
                sightings.take(found, logged_us)


def _take_odometry(world: World, message: Any, logged_us: int) -> None:
    pose = pose_of(part(message, "pose.pose"))
    if pose is None:
        return
    twist = part(message, "twist.twist.linear")
    ahead, left, yaw = number(part(twist, "x")), number(part(twist, "y"), 0.0), yaw_of(pose[1])
    speed = ahead * np.cos(yaw) - left * np.sin(yaw), ahead * np.sin(yaw) + left * np.cos(yaw)
    child = str(part(message, "child_frame_id") or "base_link").lstrip("/")
    found = Found(EGO, "car", frame_of(message) or "odom", time_of(message), *pose, speed, (0.0, 0.0, 0.0))
    world.odometry(found, child, logged_us)


def _take_transforms(world: World, channel: Channel, message: Any, logged_us: int) -> None:
    fixed = channel.topic.rstrip("/").endswith("static")
    listed = part(message, "transforms")
    for one in listed if listed is not None else [message]:
        pose = pose_of(part(one, "transform") or one)
        parent = part(one, "parent_frame_id") or frame_of(one)
        child = part(one, "child_frame_id")
        if pose is not None and isinstance(parent, str) and isinstance(child, str):
            at = time_of(one)
            at = logged_us if at is None else at
            world.transform(parent.lstrip("/"), child.lstrip("/"), at, *pose, fixed=fixed)


def _take_fix(world: World, message: Any, logged_us: int) -> None:
    latitude, longitude = number(part(message, "latitude")), number(part(message, "longitude"))
    no_fix = part(message, "status.status")
    if isinstance(no_fix, int) and no_fix < 0:
        return
    if abs(latitude) <= 90 and abs(longitude) <= 180 and len(world.fixes) < LIMIT_FIXES:
        at = time_of(message)
        world.fixes.append(
            (logged_us if at is None else at, latitude, longitude, number(part(message, "altitude"), 0.0))
        )


__all__ = ["World", "role_of", "take"]
