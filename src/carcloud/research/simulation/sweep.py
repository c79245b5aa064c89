"""Sweeps: one scenario with many values of its parameters, and where among them the ego begins to collide.

Rules:
* What can be varied is a scenario of ours (`cut-in`, `cut-out`, `braking`) or an OpenSCENARIO file with parameters.
* A point that makes no scenario, or on which the planner fails, has a `fault`, and counts neither as collided nor as
  not.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.stats import qmc

from carcloud.errors import CarcloudError, InputError
from carcloud.research.adapters.openscenario.reader import instantiate
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.made import made
from carcloud.research.simulation.planner import Planner
from carcloud.research.simulation.settings import Settings

LIMIT_POINTS = 1_000_000
AT_ONCE = 1024
"""Scenarios that are made, and kept, at once."""
PROBES = 9
"""Values at which a boundary is looked for before it is narrowed down."""
LIMIT_ROUNDS = 60

Point = Mapping[str, float]
Make = Callable[[Point], Scenario]


@dataclass(frozen=True)
class Range:
    """The values of one parameter.

    Args:
        count: how many, both ends included; 1 for `low` alone.
    """

    name: str
    low: float
    high: float
    count: int = 1

    def __post_init__(self) -> None:
        if not np.isfinite([self.low, self.high]).all() or self.high < self.low or not 1 <= self.count <= LIMIT_POINTS:
            raise InputError(f"{self.name}: {self.low} to {self.high} in {self.count} values is no range.")

    @property
    def values(self) -> list[float]:
        """Return the values, evenly apart."""
        return [float(one) for one in np.linspace(self.low, self.high, self.count)]


def maker(source: str) -> Make:
    """Return what makes scenarios from points: of a kind of ours, or of an OpenSCENARIO file."""
    if not source.endswith(".xosc"):
        return lambda point: made(source, point)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"There is no file {path}.")
    return lambda point: instantiate(path, {name: repr(number) for name, number in point.items()})


def combined(ranges: Sequence[Range]) -> list[dict[str, float]]:
    """Return every combination of the ranges' values."""
    if np.prod([float(one.count) for one in ranges]) > LIMIT_POINTS:
        raise InputError(f"These are more than {LIMIT_POINTS} points.", "Take fewer values, or latin.")
    names = [one.name for one in ranges]
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*(one.values for one in ranges))]


def latin(ranges: Sequence[Range], count: int, seed: int) -> list[dict[str, float]]:
    """Return points of a Latin hypercube: of each parameter, every one of `count` equal parts is met once.

    Source: McKay, Beckman, Conover, Technometrics 21 (1979).
    """
    if not 1 <= count <= LIMIT_POINTS or not ranges:
        raise InputError(f"{count} points of {len(ranges)} parameters cannot be drawn.")
    drawn = qmc.LatinHypercube(len(ranges), rng=np.random.default_rng(seed)).random(count)
    low, high = (np.array([getattr(one, end) for one in ranges]) for end in ("low", "high"))
    scaled = low + drawn * (high - low)
    return [{one.name: float(value) for one, value in zip(ranges, row, strict=True)} for row in scaled]


def swept(make: Make, points: Sequence[Point], planner: Planner, settings: Settings) -> pa.Table:
    """Return one row a point: its parameters, and what came of it."""
    rows = [dict(point) | row for point, row in zip(points, _fared(make, points, planner, settings), strict=True)]
    names = list(points[0]) if points else []
    return pa.Table.from_pylist(rows, schema=pa.schema([*((name, pa.float64()) for name in names), *_FARED]))


_FARED = (
    ("scenario", pa.string()),
    ("collided", pa.bool_()),
    ("collided_us", pa.int64()),
    ("impact_mps", pa.float64()),
    ("steps", pa.int64()),
    ("fault", pa.string()),
)


def _fared(make: Make, points: Sequence[Point], planner: Planner, settings: Settings) -> Iterator[dict[str, Any]]:
    bare = replace(settings, keep=False)
    for begin in range(0, len(points), AT_ONCE):
        part: list[Scenario | str] = []
        for point in points[begin : begin + AT_ONCE]:
            try:
                part.append(make(point))
            except CarcloudError as error:
                part.append(str(error))
        driven = iter(simulate([one for one in part if isinstance(one, Scenario)], planner, bare))
        for one in part:
            if isinstance(one, str):
                yield {"scenario": "", "collided": None, "steps": 0, "fault": one}
                continue
            outcome = next(driven)
            told = None if outcome.fault else outcome.collided_us is not None
            facts = {"collided_us": outcome.collided_us, "impact_mps": outcome.impact_mps, "steps": outcome.steps}
            yield {"scenario": outcome.scenario, "collided": told, "fault": outcome.fault, **facts}


def boundary(
    make: Make, ranges: Sequence[Range], along: Range, tolerance: float, planner: Planner, settings: Settings
) -> pa.Table:
    """Return, for every combination of the ranges, where along one more parameter colliding begins or ends.

    First PROBES values are tried; between the first two neighbours that fare differently the place is narrowed down to
    the tolerance. `below`: whether the ego collides on the lower side. `flips`: between how many of the probes it
    changes; more than 1 says that there are further boundaries. Where it never changes, the boundary is null.
    """
    if tolerance <= 0 or along.high <= along.low:
        raise InputError("A boundary needs a range with two ends and a tolerance above 0.")
    lines = combined(ranges)
    tried = Range(along.name, along.low, along.high, max(along.count, PROBES)).values
    points = [line | {along.name: value} for line in lines for value in tried]
    fared = [row["collided"] for row in _fared(make, points, planner, settings)]
    rows = [_bracket(fared[at * len(tried) : (at + 1) * len(tried)], tried) for at in range(len(lines))]
    for _ in range(LIMIT_ROUNDS):
        wide = [at for at, row in enumerate(rows) if row["high"] - row["low"] > tolerance]
        if not wide:
            break
        middles = [(rows[at]["low"] + rows[at]["high"]) / 2 for at in wide]
        halves = [lines[at] | {along.name: middle} for at, middle in zip(wide, middles, strict=True)]
        for at, middle, row in zip(wide, middles, _fared(make, halves, planner, settings), strict=True):
            if row["collided"] is None:
                rows[at] |= {"low": np.nan, "high": np.nan, "fault": row["fault"]}
            else:
                rows[at]["low" if row["collided"] == rows[at]["below"] else "high"] = middle
    told = [line | _told(row, along.name) for line, row in zip(lines, rows, strict=True)]
    names = [*(one.name for one in ranges), along.name]
    facts = [("below", pa.bool_()), ("flips", pa.int64()), ("fault", pa.string())]
    return pa.Table.from_pylist(told, schema=pa.schema([*((name, pa.float64()) for name in names), *facts]))


def _bracket(fared: Sequence[bool | None], tried: Sequence[float]) -> dict[str, Any]:
    known = [(value, one) for value, one in zip(tried, fared, strict=True) if one is not None]
    flips = [at for at in range(1, len(known)) if known[at][1] != known[at - 1][1]]
    row: dict[str, Any] = {"low": np.nan, "high": np.nan, "below": known[0][1] if known else None}
    row |= {"flips": len(flips), "fault": "" if len(known) == len(tried) else "Some points make no scenario or fail."}
    if flips:
        row |= {"low": known[flips[0] - 1][0], "high": known[flips[0]][0]}
    return row


def _told(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    middle = (row["low"] + row["high"]) / 2
    return {name: None if np.isnan(middle) else middle, **{key: row[key] for key in ("below", "flips", "fault")}}
