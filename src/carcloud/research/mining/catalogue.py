"""The features that conditions ask about in mining: their paths, units and what each means.

Rules:
* A feature is told of one road user, "it", at each step at which it is there. What cannot be told is unknown (null).
* A recording is whole when it is mined: a lane change is told where it began, once it is seen to have been one.
* Distances are between the nearest points of two boxes. Ahead, behind, left and right are seen in its direction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import pyarrow as pa

from carcloud.research.motion import KINDS
from carcloud.research.tables import FILED
from carcloud.vehicle.catalogue import Catalogue, Signal

FIT_S = 0.5
"""Slopes are those of straight lines fitted to the steps within so many seconds on either side."""
MOVES_S = 0.2
"""Within so many seconds on either side the speed of positions is told, from five steps at least."""
REACH_M = 100.0
"""How far ahead a lead is looked for, along the road."""
BESIDE_M = 50.0
"""How far ahead and behind neighbours in the lanes beside are looked for."""
NEAR_M = 60.0
"""Between centres: how far the nearest road users are looked for."""
CUT_IN_S = 3.0
"""How long a lead that came from the side is one that cut in."""
CHANGED_S = 1.0
"""How long a lane change is told, from when the centre crosses into the lane beside; and how long it has to stay."""
CONFLICT_S = 10.0
"""How far ahead in time conflicts are looked for."""
STANDS_MPS = 0.3
TURN_RAD = 0.52
TURN_S = 2.0
TURN_RATE = 0.09

SIDES = ("none", "left", "right")
ROADS = ("highway", "ramp", "junction", "street", "other")
FAST_MPS = 22.0
"""From this speed limit on a road is a highway, where its source names none."""


@dataclass(frozen=True)
class Feature:
    """A feature. type: as in catalogues of signals. allowed: of a text."""

    path: str
    type: str
    unit: str | None
    meaning: str
    allowed: tuple[str, ...] = ()
    low: float | None = None

    @property
    def column(self) -> str:
        """Return its column's name: `Lead.CutIn` is in lead_cut_in."""
        return column(self.path)


def column(path: str) -> str:
    """Return the column of a feature's path."""
    names = (re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower() for name in path.split("."))
    return "_".join(names)


def _text(path: str, allowed: tuple[str, ...], meaning: str) -> Feature:
    return Feature(path, "string", None, meaning, allowed)


def _truth(path: str, meaning: str) -> Feature:
    return Feature(path, "boolean", None, meaning)


def _track(path: str, meaning: str) -> Feature:
    return Feature(path, "int32", None, meaning)


def _number(path: str, unit: str, meaning: str, low: float | None = None) -> Feature:
    return Feature(path, "double", unit, meaning, (), low)


FEATURES_LIST: tuple[Feature, ...] = (
    _text("Track.Kind", KINDS, "what it is"),
    _truth("Track.IsEgo", "whether it is the car that recorded the scenario, or is to be planned for"),
    _number("Track.Speed", "m/s", "along its heading, negative backwards"),
    _number("Track.Acceleration", "m/s^2", "slope of the line fitted to its speed within 0.5 s on either side"),
    _number("Track.Jerk", "m/s^3", "slope of the line fitted to Track.Acceleration within 0.5 s on either side"),
    _number(
        "Track.SpeedError",
        "m/s",
        "the most its speed is off that at which its positions move (in 0.4 s), within 0.5 s",
        0,
    ),
    _number("Track.YawRate", "rad/s", "slope of the line fitted to its heading likewise; positive to the left"),
    _number(
        "Track.LateralSpeed", "m/s", "across its lane, fitted likewise; without a lane across its heading; to the left"
    ),
    _number("Track.LaneOffset", "m", "of its centre from the middle of its lane, to the left"),
    _truth("Track.Stationary", "whether it is slower than 0.3 m/s"),
    _text("Track.Turning", SIDES, "where its heading changes by 0.52 rad (30°) or more from 2 s before to 2 s after"),
    _text("Track.LaneChange", SIDES, "for 1 s from when its centre crosses into the lane beside, to stay there"),
    _text("Track.Road", ROADS, "what road it is on; unknown without a map"),
    _number("Track.SpeedLimit", "m/s", "of its lane, where the map says one", 0),
    _track("Lead.Track", "the nearest road user (no pedestrian) ahead in its lane, or in the lanes it leads into"),
    _text("Lead.Kind", KINDS, "what the lead is"),
    _number("Lead.Gap", "m", "from its front to the lead's rear, along the lane", 0),
    _number("Lead.Speed", "m/s", "the lead's"),
    _number("Lead.Acceleration", "m/s^2", "the lead's Track.Acceleration"),
    _number("Lead.Closing", "m/s", "its speed less the lead's"),
    _number("Lead.THW", "s", "the gap over its speed; unknown where it stands", 0),
    _number("Lead.TTC", "s", "time to collision at both speeds; unknown where the gap does not close", 0),
    _number("Lead.DRAC", "m/s^2", "deceleration that just avoids a collision; 0 where the gap does not close", 0),
    _truth("Lead.CutIn", "whether the lead came in from the side within the last 3 s, not it behind the lead"),
    _track("Behind.Track", "the nearest road user whose lead it is"),
    _number("Behind.Gap", "m", "from that one's front to its rear", 0),
    _number("Behind.TTC", "s", "that one's Lead.TTC", 0),
    _truth("Left.Lane", "whether there is a lane to its left driven the same way; unknown without a map"),
    _track("Left.Track", "the road user in the lane to its left that is nearest along the road"),
    _number("Left.Gap", "m", "along the road to that one, ahead or behind; 0 where they are side by side", 0),
    _number("Left.Offset", "m", "how far that one's centre is ahead, negative behind"),
    _truth("Right.Lane", "whether there is a lane to its right driven the same way; unknown without a map"),
    _track("Right.Track", "the road user in the lane to its right that is nearest along the road"),
    _number("Right.Gap", "m", "along the road to that one, ahead or behind; 0 where they are side by side", 0),
    _number("Right.Offset", "m", "how far that one's centre is ahead, negative behind"),
    _track("Oncoming.Track", "the nearest road user ahead that comes towards it"),
    _number("Oncoming.Distance", "m", "to that one", 0),
    _track("Nearest.Vehicle.Track", "the nearest car, truck, bus or motorcycle, within 60 m"),
    _number("Nearest.Vehicle.Distance", "m", "to that one", 0),
    _track("Nearest.Bicycle.Track", "the nearest bicycle, within 60 m"),
    _number("Nearest.Bicycle.Distance", "m", "to that one", 0),
    _track("Nearest.Pedestrian.Track", "the nearest pedestrian, within 60 m"),
    _number("Nearest.Pedestrian.Distance", "m", "to that one", 0),
    _truth("Nearest.Pedestrian.Crossing", "whether that one is ahead and walks into or across its way"),
    _track("Conflict.Track", "the road user it would touch first if all kept their velocities, within 10 s"),
    _text("Conflict.Kind", KINDS, "what that one is"),
    _number("Conflict.TTC", "s", "when they would touch; 0 where they do now", 0),
)
"""All features, in the order of their columns."""

CATALOGUE = Catalogue(
    Signal(one.path, one.type, one.unit, min=one.low, allowed=one.allowed, description=one.meaning)
    for one in FEATURES_LIST
)
"""The features as signals, for `conditions.text.parse`."""

COLUMNS: dict[str, str] = {one.path: one.column for one in FEATURES_LIST}

_NAMES = pa.dictionary(pa.int32(), pa.string())
_TYPES = {"string": _NAMES, "boolean": pa.bool_(), "int32": pa.int32(), "double": pa.float64()}

ROWS = pa.schema(
    [
        ("scenario", _NAMES),
        ("track", pa.int32()),
        ("step", pa.int32()),
        ("time_us", pa.int64()),
        ("next_us", pa.int64()),
        *((one.column, _TYPES[one.type]) for one in FEATURES_LIST),
    ]
)
"""Rows sorted by scenario, track, step: those of `tracks`. next_us: the time of the track's next row; null in its
last."""

FEATURES = pa.schema([*((name, pa.string()) for name in FILED), *ROWS])
"""The table: the rows, and what they are filed under."""
