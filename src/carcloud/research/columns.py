"""What the columns of the tables say, for whoever asks them."""

from __future__ import annotations

from collections.abc import Iterator

from carcloud.research.mining.catalogue import FEATURES_LIST, Feature
from carcloud.research.schemas import SCHEMAS

_EVERYWHERE = {
    "recording": "Id of the recording that brought it",
    "scenario": "Id of the scenario, made from what happens in it",
    "track": "Number of the road user in its scenario",
    "step": "Number of the step, from 0",
    "time_us": "Microseconds since the scenario's beginning",
}
_TRACKS = {
    "kind": "car, truck, bus, motorcycle, bicycle, pedestrian, static or other",
    "x": "Centre of the box, metres east in the scenario's frame",
    "y": "Centre of the box, metres north in the scenario's frame",
    "z": "Centre of the box, metres up in the scenario's frame",
    "yaw": "Where it points, radians from x towards y",
    "vx": "Velocity along x, m/s",
    "vy": "Velocity along y, m/s",
    "ax": "Acceleration along x, m/s²",
    "ay": "Acceleration along y, m/s²",
    "length": "Of its box, metres",
    "width": "Of its box, metres",
    "height": "Of its box, metres",
    "lane": "The lane nearest to it, as in `lanes`; null without a map",
    "s": "How far along the lane's middle it is, metres",
    "d": "How far to the left of the lane's middle it is, metres",
}
_SCENARIOS = {
    "name": "What its source calls it",
    "step_s": "Seconds between two steps",
    "steps": "How many steps",
    "duration_s": "Seconds from the first step to the last",
    "tracks": "How many road users",
    "ego": "Track of the car that recorded it or is planned for; null where nobody stands out",
    "begin": "When it began, UTC; null where nobody knows",
    "latitude": "Of the frame's origin, degrees",
    "longitude": "Of the frame's origin, degrees",
    "map": "Format of its roads, empty where they were drawn by us; null without roads",
    "simulated": "Whether it was made up, not driven",
    "tags": "What its source says about it",
    "parameters": "JSON: what it was made with",
    "users": "JSON: for each track number, name, kind, length, width, height",
    "times": "Time of each step in microseconds; null where they are even",
    "goal": "Polygon that the ego is to reach: x, y, x, y …, metres",
}
_LANES = {
    "lane": "Its name in the source; null where a map has none",
    "kind": "driving, ramp, shoulder, bicycle, walkway, crossing, parking or other",
    "before": "Lanes that lead into it",
    "after": "Lanes that it leads into",
    "left": "The lane to its left, driven the same way",
    "right": "The lane to its right, driven the same way",
    "opposite": "The lane beside it that is driven the other way",
    "limit_mps": "Speed limit, m/s; null where the source says none",
    "junction": "Whether it lies in a junction",
    "left_edge": "x, y, x, y …, metres",
    "right_edge": "x, y, x, y …, metres",
    "verbatim": "The source's map word for word, in the first row of a scenario",
}
_SERIES = {
    "name": "Path of the signal, or the source's own name",
    "unit": "Unit of its values",
    "value": "The value; null where the source said no number",
}
_EVENTS = {
    "begin_us": "When it began, microseconds since the scenario's beginning",
    "end_us": "When it ended, microseconds since the scenario's beginning",
    "query": "Name of the query that held",
    "digest": "Of the query's condition",
    "other": "The other track it is about; null where there is none",
}
_FEATURES = {"next_us": "Time of the track's next row; null in its last"}
_TABLES = {
    "tracks": _TRACKS,
    "scenarios": _SCENARIOS,
    "lanes": _LANES,
    "series": _SERIES,
    "events": _EVENTS,
    "features": _FEATURES,
}


def _described() -> Iterator[tuple[tuple[str, str], str]]:
    features = {one.column: _said(one) for one in FEATURES_LIST}
    for table, schema in SCHEMAS.items():
        own = _EVERYWHERE | (features if table == "features" else {}) | _TABLES[table]
        yield from (((table, name), own[name]) for name in schema.names if name != "tenant")


def _said(feature: Feature) -> str:
    unit = f", {feature.unit}" if feature.unit else ""
    return f"{feature.path}: {feature.meaning}{unit}"


DESCRIPTIONS = dict(_described())
"""(table, column) → what it says; for every column that is shown."""
