"""Kinds of road users as OSI names them, both ways."""

from __future__ import annotations

from typing import Any

from carcloud.research.adapters.osi.messages import enum_name, enum_value

TYPE, VEHICLE = "osi3.MovingObject.Type", "osi3.MovingObject.VehicleClassification.Type"
SOURCE = "net.carcloud.track"
"""The type of the reference in which our own files keep a road user's name and kind."""

_VEHICLES = {
    "TYPE_HEAVY_TRUCK": "truck",
    "TYPE_SEMITRACTOR": "truck",
    "TYPE_SEMITRAILER": "truck",
    "TYPE_TRAILER": "truck",
    "TYPE_MOTORBIKE": "motorcycle",
    "TYPE_BICYCLE": "bicycle",
    "TYPE_STANDUP_SCOOTER": "bicycle",
    "TYPE_BUS": "bus",
    "TYPE_WHEELCHAIR": "pedestrian",
    **dict.fromkeys(("TYPE_SMALL_CAR", "TYPE_COMPACT_CAR", "TYPE_CAR", "TYPE_LUXURY_CAR", "TYPE_DELIVERY_VAN"), "car"),
}
_WRITTEN = {
    "car": ("TYPE_VEHICLE", "TYPE_CAR"),
    "truck": ("TYPE_VEHICLE", "TYPE_HEAVY_TRUCK"),
    "bus": ("TYPE_VEHICLE", "TYPE_BUS"),
    "motorcycle": ("TYPE_VEHICLE", "TYPE_MOTORBIKE"),
    "bicycle": ("TYPE_VEHICLE", "TYPE_BICYCLE"),
    "pedestrian": ("TYPE_PEDESTRIAN", ""),
    "static": ("TYPE_OTHER", ""),
    "other": ("TYPE_OTHER", ""),
}


def kind_of(moving: Any) -> str:
    """Return the kind of a MovingObject. A vehicle of no class is a car."""
    type_ = enum_name(TYPE, moving.type)
    if type_ == "TYPE_PEDESTRIAN":
        return "pedestrian"
    if type_ != "TYPE_VEHICLE":
        return "other"
    class_ = enum_name(VEHICLE, moving.vehicle_classification.type)
    return "car" if class_ == "TYPE_UNKNOWN" else _VEHICLES.get(class_, "other")


def write_kind(kind: str, moving: Any) -> None:
    """Set type and class of a MovingObject."""
    type_, class_ = _WRITTEN[kind]
    moving.type = enum_value(TYPE, type_)
    if class_:
        moving.vehicle_classification.type = enum_value(VEHICLE, class_)
