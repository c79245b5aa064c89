"""A scenario as rows of the tables of research, and back: nothing of it is lost on the way.

Rules:
* Rows have no `tenant` and no `recording`: the folder that they are filed in says both.
* A number that is not known is NaN in memory and null in a table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from carcloud.research.location import Located, locate
from carcloud.research.mining import features
from carcloud.research.motion import KINDS, Motion, RoadUser, at_steps
from carcloud.research.roads import Lane, Points, RoadMap
from carcloud.research.scenario import Scenario, Series
from carcloud.research.tables import FILED, LANES, SCENARIOS, SERIES, TRACKS

MOVING = ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay")


def unfiled(schema: pa.Schema) -> pa.Schema:
    """Return a table's columns without those that it is filed under."""
    return pa.schema([field for field in schema if field.name not in FILED])


def rows_of(scenario: Scenario) -> dict[str, pa.Table]:
    """Return a scenario's rows by the names of their tables: tracks, scenarios, lanes, series, features."""
    located = locate(scenario.map, scenario.motion) if scenario.map is not None else None
    return {
        "tracks": _tracks(scenario, located),
        "features": features.of(scenario, located),
        "scenarios": pa.Table.from_pylist([_about(scenario)], unfiled(SCENARIOS)),
        "lanes": _lanes(scenario),
        "series": _series(scenario),
    }


def scenario_of(about: dict[str, Any], tracks: pa.Table, lanes: pa.Table, series: pa.Table) -> Scenario:
    """Return a scenario from its row of `scenarios` and its rows of the others, in the order in which they were."""
    known = about["latitude"] is not None
    return Scenario(
        name=about["name"],
        motion=_motion(about, tracks),
        ego=about["ego"],
        map=None if about["map"] is None else _map(about["map"], lanes.to_pylist()),
        begin=about["begin"],
        origin=(about["latitude"], about["longitude"]) if known else None,
        series=_series_of(series),
        tags=tuple(about["tags"]),
        parameters=json.loads(about["parameters"]),
        goal=None if about["goal"] is None else _points(about["goal"]),
        simulated=about["simulated"],
    )


def _about(scenario: Scenario) -> dict[str, Any]:
    motion, origin = scenario.motion, scenario.origin or (None, None)
    users, steps = motion.shape
    return {
        "scenario": scenario.id,
        "name": scenario.name,
        "step_s": motion.step_s,
        "steps": steps,
        "duration_s": float(motion.time_us[-1] - motion.time_us[0]) / 1e6 if steps else 0.0,
        "tracks": users,
        "ego": scenario.ego,
        "begin": scenario.begin,
        "latitude": origin[0],
        "longitude": origin[1],
        "map": None if scenario.map is None else scenario.map.format,
        "simulated": scenario.simulated,
        "tags": list(scenario.tags),
        "parameters": json.dumps(dict(scenario.parameters), ensure_ascii=False),
        "users": json.dumps([_user(user) for user in motion.users], ensure_ascii=False),
        "times": None if np.array_equal(motion.time_us, _even(steps, motion.step_s)) else motion.time_us,
        "goal": None if scenario.goal is None else _flat(scenario.goal),
    }


def _user(user: RoadUser) -> list[Any]:
    return [user.track, user.name, user.kind, user.length, user.width, user.height]


def _even(steps: int, step_s: float) -> NDArray[np.int64]:
    return np.arange(steps, dtype=np.int64) * round(step_s * 1e6)


def _tracks(scenario: Scenario, located: Located | None) -> pa.Table:
    motion = scenario.motion
    user, step = np.nonzero(motion.present)
    kinds = np.array([KINDS.index(one.kind) for one in motion.users], np.int32)
    sizes = motion.sizes.astype(np.float32)
    columns = {
        "scenario": _repeated(scenario.id, len(user)),
        "track": np.array([one.track for one in motion.users], np.int32)[user],
        "step": step.astype(np.int32),
        "time_us": motion.time_us[step],
        "kind": pa.DictionaryArray.from_arrays(kinds[user], list(KINDS)),
        **{name: pa.array(getattr(motion, name)[user, step], from_pandas=True) for name in MOVING},
        **{name: sizes[user, at] for at, name in enumerate(("length", "width", "height"))},
    }
    if scenario.map is not None and located is not None:
        lane = located.lane[user, step]
        columns["lane"] = pa.DictionaryArray.from_arrays(
            pa.array(lane, mask=lane < 0), pa.array([one.name for one in scenario.map.lanes], pa.string())
        )
        columns |= {name: pa.array(getattr(located, name)[user, step], from_pandas=True) for name in ("s", "d")}
    return _table(columns, TRACKS)


def _lanes(scenario: Scenario) -> pa.Table:
    if scenario.map is None:
        return unfiled(LANES).empty_table()
    lanes = [_lane(lane) for lane in scenario.map.lanes] or [{}]
    lanes[0]["verbatim"] = scenario.map.verbatim
    return pa.Table.from_pylist([{"scenario": scenario.id, **lane} for lane in lanes], unfiled(LANES))


def _lane(lane: Lane) -> dict[str, Any]:
    return {
        "lane": lane.name,
        "kind": lane.kind,
        "before": list(lane.before),
        "after": list(lane.after),
        "left": lane.left,
        "right": lane.right,
        "opposite": lane.opposite,
        "limit_mps": lane.limit_mps,
        "junction": lane.junction,
        "left_edge": _flat(lane.left_edge),
        "right_edge": _flat(lane.right_edge),
    }


def _series(scenario: Scenario) -> pa.Table:
    parts, before = [unfiled(SERIES).empty_table()], None
    for one in scenario.series:
        named = one.name, one.unit
        if named == before or not len(one.time_us):
            parts.append(_one_series(scenario.id, one, pa.nulls(1, pa.int64()), pa.nulls(1, pa.float64())))
        parts.append(_one_series(scenario.id, one, one.time_us, pa.array(one.values, from_pandas=True)))
        before = named
    return pa.concat_tables(parts)


def _one_series(scenario: str, series: Series, time_us: Any, values: Any) -> pa.Table:
    names = {"scenario": scenario, "name": series.name, "unit": series.unit}
    columns = {name: _repeated(text, len(time_us)) for name, text in names.items()}
    return _table({**columns, "time_us": time_us, "value": values}, SERIES)


def _table(columns: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """Return a table of a schema; columns that nobody gave are null."""
    rows = len(columns["scenario"])
    plain = unfiled(schema)
    return pa.table([columns.get(one.name, pa.nulls(rows, one.type)) for one in plain], schema=plain)


def _repeated(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [text])


def _flat(points: Points) -> NDArray[np.float64]:
    return np.asarray(points, np.float64).reshape(-1)


def _points(numbers: Sequence[float]) -> Points:
    return np.array(numbers, np.float64).reshape(-1, 2)


def _motion(about: dict[str, Any], tracks: pa.Table) -> Motion:
    users = tuple(RoadUser(*one) for one in json.loads(about["users"]))
    steps, times = about["steps"], about["times"]
    numbers = np.array([user.track for user in users], np.int64)
    order = np.argsort(numbers)
    user = order[np.searchsorted(numbers[order], tracks["track"].to_numpy())]
    at = user, tracks["step"].to_numpy()
    columns, present = at_steps(users, steps), np.zeros((len(users), steps), np.bool_)
    present[at] = True
    for name in MOVING:
        columns[name][at] = _numbers(tracks[name])
    time_us = _even(steps, about["step_s"]) if times is None else np.array(times, np.int64)
    return Motion(users, time_us, present=present, **columns)


def _map(format: str, lanes: list[dict[str, Any]]) -> RoadMap:  # noqa: A002 - the word of RoadMap
    found = tuple(_lane_of(lane) for lane in lanes if lane["lane"] is not None)
    return RoadMap(found, format, lanes[0]["verbatim"])


def _lane_of(row: dict[str, Any]) -> Lane:
    return Lane(
        row["lane"],
        row["kind"],
        _points(row["left_edge"]),
        _points(row["right_edge"]),
        tuple(row["before"]),
        tuple(row["after"]),
        row["left"],
        row["right"],
        row["opposite"],
        row["limit_mps"],
        row["junction"],
    )


def _series_of(rows: pa.Table) -> tuple[Series, ...]:
    """Return the signals that rows hold: each ends where the name or unit changes, or at a row without a time."""
    if not rows.num_rows:
        return ()
    names = [rows[column].combine_chunks().dictionary_encode() for column in ("name", "unit")]
    codes = np.array([name.indices.to_numpy() for name in names])
    marks = pc.is_null(rows["time_us"]).to_numpy()
    changes = np.flatnonzero((np.diff(codes) != 0).any(0) | marks[1:]) + 1
    texts = [name.to_pylist() for name in (name.take(pa.array([0, *changes])) for name in names)]
    time_us, values = pc.fill_null(rows["time_us"], 0).to_numpy(), _numbers(rows["value"])
    spans = ((begin + marks[begin], end) for begin, end in pairwise([0, *changes, rows.num_rows]))
    told = zip(*texts, spans, strict=True)
    return tuple(Series(name, unit, time_us[first:end], values[first:end]) for name, unit, (first, end) in told)


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Return a column's numbers, NaN where it has none."""
    numbers: NDArray[np.float64] = pc.fill_null(column, float("nan")).to_numpy()
    return numbers
