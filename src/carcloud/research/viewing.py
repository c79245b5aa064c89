"""Scenarios looked at: what stands in the tables of one, as columns that a page can draw.

Rules:
* Numbers are rounded to what can be seen: millimetres, thousandths of a radian, of a second and of a metre a second.
* What is more than can be drawn is thinned: every n-th step, and the answer says which n.
* A number that is not known is None, also where it is infinite.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.errors import InputError, MissingError
from carcloud.research.mining.catalogue import COLUMNS
from carcloud.research.motion import Motion
from carcloud.research.store import Store

LIMIT_PLACES = 250_000
"""Road users times steps in one answer."""
LIMIT_USERS = 20_000
LIMIT_POINTS = 1_000_000
"""Of the edges of all lanes."""
LIMIT_TRACKS = 8
LIMIT_VALUES = 20_000
"""Of one track's features, or of one signal."""
LIMIT_EVENTS = 1_000
LIMIT_SIGNALS = 12

SHOWN = ("Track.Speed", "Track.Acceleration", "Lead.Track", "Lead.Gap", "Lead.TTC", "Lead.THW", "Lead.DRAC")
"""The features that are told where none is named."""
MOVING = ("x", "y", "yaw", "speed", "acceleration")

Row = dict[str, Any]


@dataclass(frozen=True)
class Columns:
    """Features of some road users over time.

    Args:
        every: only each so manyth step is told.
        tracks: for each, `track`, `time_s` and `values` by the features' paths.
    """

    every: int
    tracks: list[Row]


def about(store: Store, scenario: str) -> Row:
    """Return who is in a scenario, what is known of it, which signals it has, and what mining kept of it.

    Raises:
        MissingError: there is none of that id.
    """
    row = store.scenarios([scenario])[0]
    with store.session() as session:
        users, goal = session.execute(
            "SELECT users, goal FROM scenarios WHERE recording = ? AND scenario = ?", [row.recording, scenario]
        ).fetchall()[0]
        said = vars(row) | {"goal": _rounded(np.asarray(goal or [])), "users": _users(users)}
        return said | {"series": _signals(session, row.recording, scenario), "events": _events(session, scenario)}


def motion(store: Store, scenario: str) -> Row:
    """Return who was where: the recorded motion as columns. Raise MissingError."""
    _refuse_long(store, scenario)
    return columns_of(store.load(scenario).motion)


def columns_of(moved: Motion) -> Row:
    """Return a motion as columns: `every`, `time_s`, and for each road user from its first step to its last."""
    users, steps = moved.shape
    every = max(1, -(-users * steps // LIMIT_PLACES))
    kept = slice(None, None, every)
    numbers = {name: np.where(moved.present, getattr(moved, name), np.nan)[:, kept] for name in MOVING}
    present = moved.present[:, kept]
    told = []
    for at, user in enumerate(moved.users):
        there = np.flatnonzero(present[at])
        span = slice(int(there[0]), int(there[-1]) + 1) if len(there) else slice(0, 0)
        row = {name: _rounded(column[at, span]) for name, column in numbers.items()}
        told.append({"track": user.track, "first": span.start} | row)
    return {"every": every, "time_s": _seconds(moved.time_us[kept]), "users": told}


def lanes(store: Store, scenario: str) -> list[Row]:
    """Return a scenario's lanes with their edges, as x, y, x, y … metres.

    Raises:
        MissingError: there is no scenario of that id. InputError: its map is too large to be drawn.
    """
    recording = store.scenarios([scenario])[0].recording
    sql = """SELECT lane, kind, junction, limit_mps, left_edge, right_edge FROM lanes
        WHERE recording = ? AND scenario = ? AND lane IS NOT NULL"""
    with store.session() as session:
        size = f"SELECT sum(len(left_edge) + len(right_edge)) / 2 FROM ({sql})"  # noqa: S608 ours
        points = session.execute(size, [recording, scenario]).fetchall()[0][0]
        if (points or 0) > LIMIT_POINTS:
            raise InputError("Its map is too large to be drawn.", "Read the lanes with `carcloud sql`.")
        rows: list[Row] = _table(session, sql, recording, scenario).to_pylist()
    return [row | {name: _rounded(np.asarray(row[name])) for name in ("left_edge", "right_edge")} for row in rows]


def features(store: Store, scenario: str, tracks: Sequence[int], paths: Sequence[str] = SHOWN) -> Columns:
    """Return features of some of a scenario's road users over time.

    Raises:
        MissingError: there is no scenario of that id. InputError: too many road users, or no such feature.
    """
    if not 0 < len(tracks) <= LIMIT_TRACKS:
        raise InputError(f"{len(tracks)} road users are out of range.", f"Name 1 to {LIMIT_TRACKS}.")
    strange = next((path for path in paths if path not in COLUMNS), None)
    if strange is not None or not paths:
        raise InputError(f"There is no feature {strange!r:.80}.", "`carcloud research queries --features` lists them.")
    row = store.scenarios([scenario])[0]
    every = max(1, -(-row.steps // LIMIT_VALUES))
    wanted = ", ".join(f'"{COLUMNS[path]}"' for path in paths)
    sql = f"""SELECT track, time_us, {wanted} FROM features WHERE recording = ? AND scenario = ?
        AND list_contains(?, track) AND step % ? = 0 ORDER BY track, step"""  # noqa: S608 names of our columns
    with store.session() as session:
        table = _table(session, sql, row.recording, scenario, list(tracks), every)
    return Columns(every, told(table, tracks, paths))


def told(table: pa.Table, tracks: Sequence[int], paths: Sequence[str]) -> list[Row]:
    """Return rows of features, sorted by track and time, as columns for each of the tracks that has some."""
    of = table["track"].to_numpy()
    found = []
    for track in dict.fromkeys(tracks):
        rows = table.filter(pa.array(of == track))
        if rows.num_rows:
            values = {path: _plain(rows[COLUMNS[path]]) for path in paths}
            found.append({"track": track, "time_s": _seconds(rows["time_us"].to_numpy()), "values": values})
    return found


def series(store: Store, scenario: str, names: Sequence[str]) -> list[Row]:
    """Return what signals of the recording car said during a scenario.

    Raises:
        MissingError: there is no such scenario, or signal of it. InputError: too many signals.
    """
    if not 0 < len(names) <= LIMIT_SIGNALS:
        raise InputError(f"{len(names)} signals are out of range.", f"Name 1 to {LIMIT_SIGNALS}.")
    recording = store.scenarios([scenario])[0].recording
    sql = """SELECT unit, time_us, value FROM series WHERE recording = ? AND scenario = ? AND name = ?
        AND time_us IS NOT NULL ORDER BY time_us"""
    found = []
    with store.session() as session:
        for name in dict.fromkeys(names):
            rows = _table(session, sql, recording, scenario, name)
            if not rows.num_rows:
                raise MissingError(f"The scenario has no signal {name:.80}.", "What it has is said with the scenario.")
            every = max(1, -(-rows.num_rows // LIMIT_VALUES))
            kept = rows.take(pa.array(range(0, rows.num_rows, every)))
            numbers = {"time_s": _seconds(kept["time_us"].to_numpy()), "values": _plain(kept["value"], 9)}
            found.append({"name": name, "unit": rows["unit"][0].as_py() or "", "every": every} | numbers)
    return found


def _refuse_long(store: Store, scenario: str) -> None:
    row = store.scenarios([scenario])[0]
    if row.tracks > LIMIT_USERS or row.tracks * row.steps > LIMIT_PLACES * 40:
        raise InputError("It is too long, or too full, to be drawn.", "Read its tracks with `carcloud sql`.")


def _users(said: str) -> list[Row]:
    names = ("track", "name", "kind", "length", "width", "height")
    return [dict(zip(names, user, strict=True)) for user in json.loads(said)]


def _signals(session: duckdb.DuckDBPyConnection, recording: str, scenario: str) -> list[Row]:
    sql = """SELECT CAST(name AS VARCHAR) AS name, any_value(CAST(unit AS VARCHAR)) AS unit, count(*) AS count
        FROM series WHERE recording = ? AND scenario = ? AND time_us IS NOT NULL GROUP BY 1 ORDER BY 1"""
    found: list[Row] = _table(session, sql, recording, scenario).to_pylist()
    return [row | {"unit": row["unit"] or ""} for row in found]


def _events(session: duckdb.DuckDBPyConnection, scenario: str) -> list[Row]:
    sql = """SELECT query, track, other, begin_us / 1e6 AS begin_s, end_us / 1e6 AS end_s FROM events
        WHERE scenario = ? ORDER BY begin_us, query, track LIMIT ?"""
    found: list[Row] = _table(session, sql, scenario, LIMIT_EVENTS).to_pylist()
    return found


def _table(session: duckdb.DuckDBPyConnection, sql: str, *values: Any) -> pa.Table:
    return session.sql(sql, params=list(values)).to_arrow_table()


def _seconds(time_us: NDArray[Any]) -> list[float]:
    seconds: list[float] = np.round(time_us.astype(np.float64) / 1e6, 4).tolist()
    return seconds


def _plain(column: Any, digits: int = 4) -> list[Any]:
    if not pa.types.is_floating(column.type):
        values: list[Any] = column.to_pylist()
        return values
    return _rounded(column.to_numpy(zero_copy_only=False), digits)


def _rounded(numbers: NDArray[np.float64], digits: int = 3) -> list[Any]:
    kept = np.round(numbers.astype(np.float64), digits)
    return [value if known else None for value, known in zip(kept.tolist(), np.isfinite(kept).tolist(), strict=True)]
