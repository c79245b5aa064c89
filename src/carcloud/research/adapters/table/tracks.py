"""Rows of one scenario of a table, as the scenario."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.onboard.mapping import TIME_UNITS_US
from carcloud.research.adapters.adapter import LIMIT_USERS
from carcloud.research.adapters.sightings import Gathered, Seen, gather
from carcloud.research.adapters.table.mapping import Kind, TrackMapping
from carcloud.research.places import to_local
from carcloud.research.roads import RoadMap
from carcloud.research.scenario import Scenario

SINCE_1970_US = 10**15
"""A time beyond the year 2001 is one since 1970, and an earlier one since a beginning that nobody knows."""

Numbers = NDArray[np.float64]


def scenario_of(
    name: str, table: pa.Table, mapping: TrackMapping, road: RoadMap | None
) -> tuple[Scenario, tuple[str, ...]]:
    """Return the scenario of some rows, and what could not be used of them.

    Raises:
        InputError: they make none.
    """
    names, who = _coded(table[mapping.track], mapping.track)
    time_us = _times(table, mapping)
    told = {
        key: _column(table, number.column) * number.factor + number.offset for key, number in mapping.numbers.items()
    }
    _refuse_going_back(names, who, time_us)
    origin = _planar(told, mapping)
    if "yaw" in told:
        told["yaw"] = mapping.zero + (-told["yaw"] if mapping.clockwise else told["yaw"])
    seen = _seen(names, who, told, table, mapping)
    _to_middle(told, seen, who, mapping)
    columns = {key: numbers for key, numbers in told.items() if key not in ("length", "width", "height")}
    gathered = gather(seen, who, time_us, columns)
    begin = gathered.begin_us
    since_1970 = begin >= SINCE_1970_US and mapping.time_us in TIME_UNITS_US.values()
    scenario = Scenario(
        name=name,
        motion=gathered.motion,
        ego=_ego(gathered, names, who, table, mapping),
        map=road,
        begin=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=begin) if since_1970 else None,
        origin=origin or mapping.place,
    )
    return scenario, gathered.left_out


def _coded(column: Any, called: str) -> tuple[list[str], NDArray[np.int64]]:
    if column.null_count:
        raise InputError(f"{column.null_count} rows have no {called!r}.", "Each row says whose it is.")
    encoded = column.combine_chunks().dictionary_encode()
    encoded = encoded.chunk(0) if isinstance(encoded, pa.ChunkedArray) else encoded
    names = [str(one) for one in encoded.dictionary.to_pylist()]
    if len(names) > LIMIT_USERS:
        raise InputError(
            f"There are {len(names)} tracks in one scenario.", f"At most {LIMIT_USERS}: tell scenarios apart."
        )
    return names, np.asarray(encoded.indices.to_numpy(), np.int64)


def _column(table: pa.Table, name: str) -> Numbers:
    return np.asarray(table[name].to_numpy(), np.float64)


def _times(table: pa.Table, mapping: TrackMapping) -> NDArray[np.int64]:
    times = _column(table, mapping.time) * mapping.time_us
    if not np.isfinite(times).all() or bool((np.abs(times) > 2.0**62).any()):
        lost = int((~np.isfinite(times)).sum())
        raise InputError(f"{lost or 'Some'} rows have no time that can be.", "Check the time's column and unit.")
    return np.asarray(np.rint(times), np.int64)


def _refuse_going_back(names: list[str], who: NDArray[np.int64], time_us: NDArray[np.int64]) -> None:
    order = np.argsort(who, kind="stable")
    back = np.flatnonzero((np.diff(who[order]) == 0) & (np.diff(time_us[order]) < 0))
    if len(back):
        at = back[0]
        one, other = time_us[order[at]] / 1e6, time_us[order[at + 1]] / 1e6
        what = f"The time of track {names[who[order[at]]]!r} goes back from {one:.3f} s to {other:.3f} s."
        raise InputError(what, "Sort the rows by time if it is one drive; else name the columns of `scenario`.")


def _planar(told: dict[str, Numbers], mapping: TrackMapping) -> tuple[float, float] | None:
    """Turn latitude and longitude into x and y; return the origin, which is the first place."""
    if "altitude" in told:
        told["z"] = told.pop("altitude")
    if "latitude" not in told:
        return None
    latitude, longitude = told.pop("latitude"), told.pop("longitude")
    good = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 180)
    if not good.any():
        raise InputError(
            "There is no place in degrees.", "Check the columns of latitude and longitude, and their unit."
        )
    first = int(np.argmax(good))
    origin = mapping.place or (float(latitude[first]), float(longitude[first]))
    x, y = to_local(np.where(good, latitude, np.nan), np.where(good, longitude, np.nan), origin)
    told["x"], told["y"] = x, y
    return origin


def _seen(
    names: list[str], who: NDArray[np.int64], told: dict[str, Numbers], table: pa.Table, mapping: TrackMapping
) -> list[Seen]:
    kinds = _kinds(len(names), who, table, mapping.kind)
    sizes = {name: _usual(told.get(name), who, len(names), mapping.sizes.get(name, 0.0)) for name in _SIZES}
    return [Seen(name, kinds[at], *(float(sizes[size][at]) for size in _SIZES)) for at, name in enumerate(names)]


_SIZES = ("length", "width", "height")


def _usual(numbers: Numbers | None, who: NDArray[np.int64], users: int, otherwise: float) -> Numbers:
    """Return the middle of what each road user's rows say."""
    found = np.full(users, otherwise)
    if numbers is not None:
        order = np.argsort(who, kind="stable")
        edges = np.searchsorted(who[order], np.arange(users + 1))
        for user in range(users):
            mine = numbers[order[edges[user] : edges[user + 1]]]
            mine = mine[np.isfinite(mine) & (mine > 0)]
            found[user] = np.median(mine) if len(mine) else otherwise
    return found


def _kinds(users: int, who: NDArray[np.int64], table: pa.Table, kind: Kind) -> list[str]:
    if not kind.column:
        return [kind.otherwise] * users
    first = np.zeros(users, np.int64)
    first[who[::-1]] = np.arange(len(who))[::-1]
    told = table[kind.column].take(pa.array(first)).to_pylist()
    return [kind.values.get(str(one), kind.otherwise) for one in told]


def _to_middle(told: dict[str, Numbers], seen: list[Seen], who: NDArray[np.int64], mapping: TrackMapping) -> None:
    if mapping.point == "centre" and not mapping.forward:
        return
    if "yaw" not in told:
        do = "Map `angle`, or positions of the middle."
        raise InputError("A position that is not the box's middle cannot be moved there without an angle.", do)
    half = np.array([one.user(0).length / 2 for one in seen])[who]
    ahead = {"centre": 0.0, "front": 1.0, "rear": -1.0}[mapping.point] * half + mapping.forward
    told["x"] = told["x"] - ahead * np.cos(told["yaw"])
    told["y"] = told["y"] - ahead * np.sin(told["yaw"])


def _ego(
    gathered: Gathered, names: list[str], who: NDArray[np.int64], table: pa.Table, mapping: TrackMapping
) -> int | None:
    if isinstance(mapping.ego, str):
        return gathered.track(mapping.ego) if mapping.ego else None
    column, value = mapping.ego
    rows = np.flatnonzero(np.array(table[column].to_pylist(), object) == value)
    return gathered.track(names[who[rows[0]]]) if len(rows) else None
