"""The tables of research in the lake: one row a road user and step, and what stands beside them.

Rules:
* Each is a Delta table in the lake's folder, below `research`, filed under tenant and recording: what a recording
  brought in leaves with it.
* A number that is not known is null, never NaN.
* Times are microseconds since the scenario's beginning; a scenario says when that was.
* A row of `features` is the row of `tracks` with the same scenario, track and step, seen as conditions see it.
"""

from __future__ import annotations

import pyarrow as pa

FILED = ("tenant", "recording")
"""What every table of research is filed under; both are columns of it."""

_NAMES = pa.dictionary(pa.int32(), pa.string())

TRACKS = pa.schema(
    [
        ("tenant", pa.string()),
        ("recording", pa.string()),
        ("scenario", _NAMES),
        ("track", pa.int32()),
        ("step", pa.int32()),
        ("time_us", pa.int64()),
        ("kind", _NAMES),
        ("x", pa.float64()),
        ("y", pa.float64()),
        ("z", pa.float64()),
        ("yaw", pa.float64()),
        ("vx", pa.float64()),
        ("vy", pa.float64()),
        ("ax", pa.float64()),
        ("ay", pa.float64()),
        ("length", pa.float32()),
        ("width", pa.float32()),
        ("height", pa.float32()),
        ("lane", _NAMES),
        ("s", pa.float64()),
        ("d", pa.float64()),
    ]
)
"""Rows sorted by scenario, track, step; only where a road user is present. lane, s, d: on the lane nearest to it; null
without a map. s: metres along the lane's centre line; d: metres to the left of it."""

SCENARIOS = pa.schema(
    [
        ("tenant", pa.string()),
        ("recording", pa.string()),
        ("scenario", pa.string()),
        ("name", pa.string()),
        ("step_s", pa.float64()),
        ("steps", pa.int32()),
        ("duration_s", pa.float64()),
        ("tracks", pa.int32()),
        ("ego", pa.int32()),
        ("begin", pa.timestamp("us", "UTC")),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("map", pa.string()),
        ("simulated", pa.bool_()),
        ("tags", pa.list_(pa.string())),
        ("parameters", pa.string()),
        ("users", pa.string()),
        ("times", pa.list_(pa.int64())),
        ("goal", pa.list_(pa.float64())),
    ]
)
"""One row a scenario. map: the format of its roads, empty where its lanes were drawn by us, null where it has none.
parameters: JSON of numbers. users: JSON, for each track [track, name in its source, kind, length, width, height].
times: of each step, microseconds; null where they are 0, 1, 2 … times step_s. goal: x, y, x, y … metres."""

LANES = pa.schema(
    [
        ("tenant", pa.string()),
        ("recording", pa.string()),
        ("scenario", _NAMES),
        ("lane", pa.string()),
        ("kind", pa.string()),
        ("before", pa.list_(pa.string())),
        ("after", pa.list_(pa.string())),
        ("left", pa.string()),
        ("right", pa.string()),
        ("opposite", pa.string()),
        ("limit_mps", pa.float64()),
        ("junction", pa.bool_()),
        ("left_edge", pa.list_(pa.float64())),
        ("right_edge", pa.list_(pa.float64())),
        ("verbatim", pa.binary()),
    ]
)
"""One row a lane; edges as x, y, x, y … metres. verbatim: the source's map, in the first row of a scenario's lanes. A
map without lanes has one row, whose lane is null."""

SERIES = pa.schema(
    [
        ("tenant", pa.string()),
        ("recording", pa.string()),
        ("scenario", _NAMES),
        ("name", _NAMES),
        ("unit", _NAMES),
        ("time_us", pa.int64()),
        ("value", pa.float64()),
    ]
)
"""One row a value of a signal; null where the source said one that is no number. A row without a time begins a series
that has no value, or the name of the one before it."""

EVENTS = pa.schema(
    [
        ("tenant", pa.string()),
        ("recording", pa.string()),
        ("scenario", _NAMES),
        ("track", pa.int32()),
        ("begin_us", pa.int64()),
        ("end_us", pa.int64()),
        ("query", pa.string()),
        ("digest", pa.string()),
        ("other", pa.int32()),
    ]
)
"""What mining found and kept: where a query held. digest: of the query's condition. other: the track it was about
besides; null where none."""

TABLES: dict[str, pa.Schema] = {
    "tracks": TRACKS,
    "scenarios": SCENARIOS,
    "lanes": LANES,
    "series": SERIES,
    "events": EVENTS,
}
"""All but `features`, whose columns stand with their definitions in `mining/features.py`."""
