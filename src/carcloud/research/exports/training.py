"""Writes training sets: windows of one road user's motion with what is around it, as Parquet in three parts.

Rules:
* A window is 2 s of the past and 5 s of the future of a road user that moves, every second, at the steps nearest to
  every 0.1 s; places are metres in the frame of the road user at the present: x ahead, y to the left. The eight nearest
  others at the present go along, with their pasts.
* No car and no place is in two parts. Scenarios that share a car (the one that recorded them) or a place hang
  together, and all that hang together go into one part: train 80 %, validation 10 %, test 10 %, by a hash of their
  names, so that a set made again has them in the same part unless new scenarios join two of them.
* The places of a scenario are the cells of 0.01 degrees that it passes through, and those around them, so that 1 km
  at least lies between two parts; without an origin the words of its recording; else its map; else its recording.
* Each row carries licence and consent; the file's metadata has them all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet
from numpy.typing import NDArray

from carcloud.research.exports.about import About, Abouts
from carcloud.research.motion import Motion
from carcloud.research.places import to_degrees
from carcloud.research.scenario import Scenario

FORMAT = "training"
ABOUT = "Training sets: Parquet windows in train, validation and test, with cars and places kept apart."

STEP_S, PAST, FUTURE, STRIDE = 0.1, 20, 50, 10
NEAREST, NEAR_M = 8, 100.0
MOVES_M = 1.0
"""The least way of a window, past and future together."""
PARTS = {"train": 80, "validation": 10, "test": 10}
CELL_DEG = 0.01
LIMIT_POINTS = 2_000
"""Of a scenario, spread over all, by which the cells that it passes through are told."""
ROWS = 4_096
_RING = (-1, 0, 1)

_FLOATS = pa.list_(pa.float32())
SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("scenario", pa.string()),
        ("recording", pa.string()),
        ("car", pa.string()),
        ("place", pa.string()),
        ("licence", pa.string()),
        ("consent", pa.string()),
        ("purpose", pa.string()),
        ("track", pa.int32()),
        ("kind", pa.string()),
        ("ego", pa.bool_()),
        ("now_us", pa.int64()),
        ("length", pa.float32()),
        ("width", pa.float32()),
        ("speed", pa.float32()),
        ("past_x", _FLOATS),
        ("past_y", _FLOATS),
        ("past_yaw", _FLOATS),
        ("past_speed", _FLOATS),
        ("future_x", _FLOATS),
        ("future_y", _FLOATS),
        ("future_yaw", _FLOATS),
        ("others", pa.int32()),
        ("others_kind", pa.list_(pa.string())),
        ("others_length", _FLOATS),
        ("others_width", _FLOATS),
        ("others_x", _FLOATS),
        ("others_y", _FLOATS),
        ("others_yaw", _FLOATS),
    ]
)
"""past: 21 steps, the last is the present. future: 50. others_x, _y, _yaw: 21 for each of `others`, one behind another;
NaN where it was not there."""

Numbers = NDArray[np.float64]


def write(scenarios: Iterable[Scenario], folder: Path, about: Abouts) -> list[Path]:
    """Write train.parquet, validation.parquet and test.parquet into the folder; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = list(scenarios)
    side = sides(listed, about)
    schema = SCHEMA.with_metadata({"net.carcloud.about": orjson.dumps(_told(listed, about))})
    paths = {part: folder / f"{part}.parquet" for part in PARTS}
    writers = {part: pa.parquet.ParquetWriter(path, schema, compression="zstd") for part, path in paths.items()}
    try:
        for scenario in listed:
            said = about.get(scenario.id, About())
            for rows in _batches(windows(scenario, said, side[scenario.id])):
                writers[side[scenario.id]].write_table(pa.Table.from_pylist(rows, schema))
    finally:
        for writer in writers.values():
            writer.close()
    return list(paths.values())


def sides(scenarios: Iterable[Scenario], about: Abouts) -> dict[str, str]:
    """Return the part of each scenario, by its id."""
    above: dict[str, str] = {}
    names = {scenario.id: _ties(scenario, about.get(scenario.id, About())) for scenario in scenarios}
    for ties in names.values():
        for tie in ties:
            _join(above, ties[0], tie)
    hanging: dict[str, list[str]] = {}
    for tie in above:
        hanging.setdefault(_top(above, tie), []).append(tie)
    return {id_: _side(min(hanging[_top(above, ties[0])])) for id_, ties in names.items()}


def _side(name: str) -> str:
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % 100
    for part, most in PARTS.items():
        if share < most:
            return part
        share -= most
    raise AssertionError(share)


def _ties(scenario: Scenario, about: About) -> list[str]:
    """Return hashes of all that a scenario shares with others: car and places."""
    ties = [f"place {place}" for place in _places(scenario, about)]
    if about.vehicle:
        ties.append(f"car {about.vehicle}")
    return [hashlib.sha256(tie.encode()).hexdigest() for tie in ties]


def _places(scenario: Scenario, about: About) -> list[str]:
    if scenario.origin is not None:
        return _cells(scenario, scenario.origin)
    if about.place:
        return [about.place.strip().lower()]
    if scenario.map is not None and scenario.map.lanes:
        told = hashlib.sha256()
        for lane in scenario.map.lanes:
            told.update(lane.centre.round(2).tobytes())
        return [told.hexdigest()]
    return [about.recording or scenario.id]


def _cells(scenario: Scenario, origin: tuple[float, float]) -> list[str]:
    """Return the cells that a scenario passes through, the first of them first, and those around."""
    motion = scenario.motion
    x, y = (numbers[motion.present] for numbers in (motion.x, motion.y))
    some = slice(None, None, max(1, len(x) // LIMIT_POINTS))
    latitude, longitude = to_degrees(x[some], y[some], origin)
    passed = np.floor(np.column_stack([latitude, longitude]) / CELL_DEG).astype(np.int64)
    around = {(north + one, east + other) for north, east in passed.tolist() for one in _RING for other in _RING}
    first = tuple(passed[0].tolist())
    return [f"{north} {east}" for north, east in (first, *sorted(around - {first}))]


def _join(above: dict[str, str], one: str, other: str) -> None:
    for tie in (one, other):
        above.setdefault(tie, tie)
    above[_top(above, other)] = _top(above, one)


def _top(above: dict[str, str], tie: str) -> str:
    while above[tie] != tie:
        above[tie] = above[above[tie]]
        tie = above[tie]
    return tie


def _told(scenarios: list[Scenario], about: Abouts) -> dict[str, Any]:
    said = [about.get(scenario.id, About()) for scenario in scenarios]
    return {
        "licences": sorted({one.licence for one in said if one.licence}),
        "consents": sorted({one.consent for one in said if one.consent}),
        "recordings": sorted({one.recording for one in said if one.recording}),
        "scenarios": len(scenarios),
        "split": "cars and places apart, by hash: train 80 %, validation 10 %, test 10 %",
    }


def _batches(rows: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == ROWS:
            yield batch
            batch = []
    if batch:
        yield batch


def windows(scenario: Scenario, about: About, split: str) -> Iterator[dict[str, Any]]:
    """Yield the windows of a scenario, as rows of SCHEMA."""
    motion, picked = scenario.motion, _picked(scenario.motion)
    said = {
        "split": split,
        "scenario": scenario.id,
        "recording": about.recording,
        "car": about.vehicle,
        "place": _places(scenario, about)[0],
        "licence": about.licence,
        "consent": about.consent,
        "purpose": about.purpose,
    }
    numbers = {name: getattr(motion, name)[:, picked] for name in ("x", "y", "yaw", "speed")}
    present = motion.present[:, picked]
    for row, user in enumerate(motion.users):
        for now in range(PAST, len(picked) - FUTURE, STRIDE):
            span = slice(now - PAST, now + FUTURE + 1)
            if user.kind != "static" and present[row, span].all() and _way(numbers, row, span) >= MOVES_M:
                of = {"track": user.track, "kind": user.kind, "length": user.length, "width": user.width}
                of |= {"ego": user.track == scenario.ego, "now_us": int(motion.time_us[picked[now]])}
                yield said | of | _window(motion, numbers, row, now)


def _picked(motion: Motion) -> NDArray[np.int64]:
    """Return the steps nearest to even ones of 0.1 s; none where the source's are longer."""
    step_s = motion.step_s
    if step_s > STEP_S * 1.01 or not motion.shape[1]:
        return np.zeros(0, np.int64)
    count = int(motion.time_us[-1] / 1e6 / STEP_S + 1e-6) + 1
    near = np.rint(np.arange(count) * STEP_S / step_s).astype(np.int64)
    return np.asarray(near[near < motion.shape[1]], np.int64)


def _way(numbers: dict[str, Numbers], row: int, span: slice) -> float:
    x, y = numbers["x"][row, span], numbers["y"][row, span]
    return float(np.hypot(np.diff(x), np.diff(y)).sum())


def _window(motion: Motion, numbers: dict[str, Numbers], row: int, now: int) -> dict[str, Any]:
    past, future = slice(now - PAST, now + 1), slice(now + 1, now + FUTURE + 1)
    at = numbers["x"][row, now], numbers["y"][row, now], numbers["yaw"][row, now]
    px, py, pyaw = _seen_from(at, numbers, row, past)
    fx, fy, fyaw = _seen_from(at, numbers, row, future)
    others = _nearest(numbers, row, now)
    around = [_seen_from(at, numbers, int(other), past) for other in others]
    names = ("others_x", "others_y", "others_yaw")
    return {
        "speed": float(numbers["speed"][row, now]),
        "past_x": px,
        "past_y": py,
        "past_yaw": pyaw,
        "past_speed": numbers["speed"][row, past],
        "future_x": fx,
        "future_y": fy,
        "future_yaw": fyaw,
        "others": len(others),
        "others_kind": [motion.users[other].kind for other in others],
        "others_length": [motion.users[other].length for other in others],
        "others_width": [motion.users[other].width for other in others],
        **{name: np.concatenate([np.zeros(0), *(one[part] for one in around)]) for part, name in enumerate(names)},
    }


def _seen_from(
    at: tuple[float, float, float], numbers: dict[str, Numbers], row: int, span: slice
) -> tuple[Numbers, Numbers, Numbers]:
    dx, dy = numbers["x"][row, span] - at[0], numbers["y"][row, span] - at[1]
    cos, sin = np.cos(at[2]), np.sin(at[2])
    turned = np.remainder(numbers["yaw"][row, span] - at[2] + np.pi, 2 * np.pi) - np.pi
    return dx * cos + dy * sin, dy * cos - dx * sin, turned


def _nearest(numbers: dict[str, Numbers], row: int, now: int) -> NDArray[np.int64]:
    off = np.hypot(numbers["x"][:, now] - numbers["x"][row, now], numbers["y"][:, now] - numbers["y"][row, now])
    off[row] = np.nan
    near = np.flatnonzero(off <= NEAR_M)
    return np.asarray(near[np.argsort(off[near], kind="stable")][:NEAREST], np.int64)
