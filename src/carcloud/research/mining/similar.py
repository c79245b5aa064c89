"""Similar scenes: where it went as in this one, by windows of features around a time.

Rules:
* A window is what LOOKED_AT was at five times, from 2 s before to 2 s after, each divided by what is a clear
  difference. What is unknown is as far away as it is looked for.
* Near is by the root of the summed squares. Of one road user only the nearest window counts, and of the one asked about
  none. What is equally near comes by scenario, track and time: the same store gives the same answer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from carcloud.errors import InputError, MissingError
from carcloud.research.store import Store

LOOKED_AT: dict[str, tuple[float, float]] = {
    "track_speed": (0.0, 5.0),
    "track_acceleration": (0.0, 1.5),
    "track_lateral_speed": (0.0, 0.5),
    "track_yaw_rate": (0.0, 0.15),
    "lead_gap": (100.0, 15.0),
    "lead_closing": (0.0, 3.0),
    "left_gap": (50.0, 20.0),
    "right_gap": (50.0, 20.0),
    "oncoming_distance": (60.0, 20.0),
    "nearest_pedestrian_distance": (60.0, 15.0),
}
"""Column → what stands for unknown, and what is a clear difference."""
OFFSETS_US = (-2_000_000, -1_000_000, 0, 1_000_000, 2_000_000)
EVERY_US = 500_000
"""How far apart windows are looked for."""
LIMIT_SIMILAR = 1_000
LIMIT_ROWS = 20_000_000

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Scene:
    """A road user at a time, µs, and how far it is from what was asked about: 0 is the same."""

    scenario: str
    track: int
    at_us: int
    distance: float


def similar(store: Store, scenario: str, track: int, at_us: int, k: int = 10) -> list[Scene]:
    """Return the k most similar scenes, the nearest first.

    Raises:
        InputError: k is none, or there are too many rows.
        MissingError: there is no such road user at that time.
    """
    if not 1 <= k <= LIMIT_SIMILAR:
        raise InputError(f"{k} is no number of scenes.", f"Ask for 1 to {LIMIT_SIMILAR}.")
    names, who, tracks, time_us, values = _rows(store)
    if scenario not in names:
        raise MissingError(f"There is no scenario {scenario[:64]}.", "List them: carcloud research scenarios.")
    mine = np.flatnonzero((who == names.index(scenario)) & (tracks == track) & (time_us <= at_us))
    if not len(mine):
        do = "Look for its track numbers: carcloud sql \"select * from tracks where scenario = '…'\"."
        raise MissingError(f"There is no road user {track} in {scenario} at {at_us / 1e6:g} s.", do)
    windows, at = _windows(who, tracks, time_us, values, int(mine[-1]))
    asked = windows[-1:]
    others = np.flatnonzero((who[at[:-1]] != who[mine[-1]]) | (tracks[at[:-1]] != track))
    return _nearest(windows[others], asked, at[others], k, (names, who, tracks, time_us))


def _rows(store: Store) -> tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], Numbers]:
    """Return scenarios' names, and of each row its scenario's place, track, time and scaled values, in order."""
    with store.session() as session:
        (count,) = session.execute("SELECT count(*) FROM features").fetchall()[0]
        if count > LIMIT_ROWS:
            raise InputError(f"{count} rows are too many to look through.", f"At most {LIMIT_ROWS} are.")
        names = ", ".join(LOOKED_AT)
        told = session.sql(f"SELECT scenario, track, time_us, {names} FROM features ORDER BY 1, 2, 3").to_arrow_table()  # noqa: S608
    scenarios = told["scenario"].combine_chunks().dictionary_encode()
    known = [str(name) for name in scenarios.dictionary.to_pylist()]
    values = np.empty((told.num_rows, len(LOOKED_AT)))
    for place, (name, (unknown, clear)) in enumerate(LOOKED_AT.items()):
        column = told[name].to_numpy().astype(np.float64)
        values[:, place] = np.minimum(np.where(np.isnan(column), unknown, column), 1e6) / clear
    who, tracks = scenarios.indices.to_numpy().astype(np.int64), told["track"].to_numpy().astype(np.int64)
    return known, who, tracks, told["time_us"].to_numpy(), values


def _windows(
    who: NDArray[np.int64], tracks: NDArray[np.int64], time_us: NDArray[np.int64], values: Numbers, asked: int
) -> tuple[Numbers, NDArray[np.int64]]:
    """Return windows, and the rows that they are around; the last is the one asked about.

    What lies before a road user's first row, or after its last, is what it was there.
    """
    begins = np.append(True, (who[1:] != who[:-1]) | (tracks[1:] != tracks[:-1]))
    first = np.flatnonzero(begins)
    of = np.cumsum(begins) - 1
    last = np.append(first[1:], len(who)) - 1
    since = (time_us - time_us[first][of]) // EVERY_US
    at = np.append(np.flatnonzero(begins | np.append(False, since[1:] != since[:-1])), asked)
    span = int(time_us.max()) + 3 * max(OFFSETS_US)
    key = of * span + time_us
    parts = []
    for offset in OFFSETS_US:
        wanted = of[at] * span + np.maximum(time_us[at] + offset, 0)
        found = np.searchsorted(key, wanted, side="right") - 1
        parts.append(values[np.clip(found, first[of[at]], last[of[at]])])
    return np.hstack(parts), at


def _nearest(
    windows: Numbers,
    asked: Numbers,
    at: NDArray[np.int64],
    k: int,
    rows: tuple[list[str], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
) -> list[Scene]:
    names, who, tracks, time_us = rows
    if not len(windows):
        return []
    tree, wanted = cKDTree(windows), min(len(windows), 32 * k)
    while True:
        distances, places = tree.query(asked[0], wanted)
        found = sorted(zip(np.round(np.atleast_1d(distances), 9).tolist(), np.atleast_1d(places).tolist(), strict=True))
        best: dict[tuple[int, int], Scene] = {}
        for distance, place in found:
            row = at[place]
            scene = Scene(names[who[row]], int(tracks[row]), int(time_us[row]), distance)
            best.setdefault((int(who[row]), int(tracks[row])), scene)
        if len(best) > k or wanted == len(windows):
            order = sorted(best.values(), key=lambda one: (one.distance, one.scenario, one.track, one.at_us))
            return order[:k]
        wanted = min(len(windows), 4 * wanted)
