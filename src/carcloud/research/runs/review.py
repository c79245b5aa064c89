"""Runs looked at: their results page by page, the means of what was measured, and two of them side by side.

Rules:
* A scenario's outcome is one word, the worst that holds: `fault`, `collided`, `off_road`, else `fine`.
* Only the columns that are asked for are read. What is infinite, or could not be told, is null here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from carcloud.lake.recorded import DECIDES, Recorded
from carcloud.research.runs.results import RESULTS, folder_of

Outcome = Literal["fine", "off_road", "collided", "fault"]
Which = Literal["all", "amiss", "fine", "off_road", "collided", "at_fault", "fault", "near"]
Turn = Literal["changed", "worse", "better", "all"]

WORSE: dict[Outcome, int] = {"fine": 0, "off_road": 1, "collided": 2, "fault": 3}
NEAR_TTC_S = 1.5
"""A time to collision below this is near, as the gate's own limits say."""

MEASURES = (
    "least_ttc_s",
    "least_thw_s",
    "least_pet_s",
    "least_distance_m",
    "most_drac_mps2",
    "tet_s",
    "most_deceleration_mps2",
    "most_lateral_acceleration_mps2",
    "most_jerk_mps3",
    "comfortable_share",
    "mean_speed_mps",
    "progress_m",
)
"""What is told of a run as a whole, in this order."""

Order = Literal[
    "scenario",
    "collided_s",
    "least_ttc_s",
    "least_thw_s",
    "least_distance_m",
    "most_deceleration_mps2",
    "most_jerk_mps3",
    "comfortable_share",
    "progress_m",
]
LARGEST_FIRST = ("most_deceleration_mps2", "most_jerk_mps3")

_OUTCOME = ("scenario", "fault", "collided", "off_road")
_BESIDE = (*_OUTCOME, "at_fault", "collided_s", "least_ttc_s", "progress_m")


@dataclass(frozen=True)
class Named:
    """What a scenario is called, and the recording that it came in."""

    name: str
    recording: str


@dataclass(frozen=True)
class Measure:
    """A measure over the scenarios of a run that have it: how many, their mean, median and 5 % at either end."""

    name: str
    known: int
    mean: float | None
    low: float | None
    median: float | None
    high: float | None


class Review:
    """What lies of runs in a lake's folder, for who looks at it.

    Args:
        lake: the lake's folder.
    """

    def __init__(self, lake: Path, tenant: str) -> None:
        self._lake, self._tenant = lake, tenant

    def done(self, run: str) -> int:
        """Return how many scenarios of a run have results."""
        return sum(pq.read_metadata(path).num_rows for path in self._files(run))

    def page(self, run: str, which: Which, order: Order, offset: int, limit: int, text: str = "") -> tuple[int, Any]:
        """Return how many rows there are of a kind, and a page of them with the names of their scenarios.

        Args:
            text: a piece of the scenario's name or id; empty for all.
        """
        columns = dict.fromkeys((*_OUTCOME, "at_fault", "least_ttc_s", order))
        table = self._read(run, list(columns)).filter(_expression(which))
        names: Mapping[str, Named] = {}
        if text:
            names = self.names(table["scenario"].to_pylist())
            table = table.filter(_called(table["scenario"].to_pylist(), names, text))
        ways = [(order, "descending" if order in LARGEST_FIRST else "ascending")]
        ids = table.sort_by([*ways, ("scenario", "ascending")])["scenario"].slice(offset, limit).to_pylist()
        return table.num_rows, self._rows(run, ids, names or self.names(ids))

    def measures(self, run: str) -> list[Measure]:
        """Return what was measured, over all scenarios of a run."""
        table = self._read(run, MEASURES)
        return [_measure(name, table[name]) for name in MEASURES]

    def beside(self, before: str, after: str, turn: Turn, offset: int, limit: int) -> dict[str, Any]:
        """Return the scenarios that two runs share, and which turned to the worse or the better from one to the other.

        Returns: counts (`shared`, `only_before`, `only_after`, `worse`, `better`, `turns` from word to word), and a
        page of `rows`, the worst turn first.
        """
        first, second = ({row["scenario"]: row for row in self._plain(run, _BESIDE)} for run in (before, after))
        pairs = [_pair(first[one], second[one]) for one in sorted(first.keys() & second.keys())]
        kinds = {"worse": 0, "better": 0}
        turns: dict[tuple[str, str], int] = {}
        for pair in pairs:
            way = (pair["before"], pair["after"])
            turns[way] = turns.get(way, 0) + 1
            if pair["turn"]:
                kinds["worse" if pair["turn"] > 0 else "better"] += 1
        shown = [pair for pair in pairs if _is(pair["turn"], turn)]
        shown.sort(key=lambda pair: (-pair["turn"], pair["scenario"]))
        rows = shown[offset : offset + limit]
        names = self.names(row["scenario"] for row in rows)
        return {
            "shared": len(pairs),
            "only_before": len(first) - len(pairs),
            "only_after": len(second) - len(pairs),
            **kinds,
            "turns": [{"before": a, "after": b, "count": count} for (a, b), count in sorted(turns.items())],
            "found": len(shown),
            "rows": [row | _named(names, row["scenario"]) for row in rows],
        }

    def names(self, scenarios: Iterable[str]) -> dict[str, Named]:
        """Return what these scenarios are called; those that are gone from the lake are left out."""
        wanted = set(scenarios)
        files = Recorded(self._lake, self._tenant).files(DECIDES) if wanted else []
        found: dict[str, Named] = {}
        for file in files:
            table = pq.read_table(file, columns=["scenario", "name"], partitioning=None)
            recording = Path(file).parent.name.partition("=")[2]
            for one, name in zip(table["scenario"].to_pylist(), table["name"].to_pylist(), strict=True):
                if one in wanted:
                    found[one] = Named(name or "", recording)
        return found

    def _rows(self, run: str, ids: Sequence[str], names: Mapping[str, Named]) -> list[dict[str, Any]]:
        these = ds.field("scenario").isin(pa.array(ids, pa.string()))
        known = {row["scenario"]: row for row in self._plain(run, RESULTS.names, these)}
        return [known[one] | {"outcome": outcome_of(known[one])} | _named(names, one) for one in ids if one in known]

    def _plain(self, run: str, columns: Sequence[str], only: Any = None) -> list[dict[str, Any]]:
        rows = self._read(run, columns, only).to_pylist()
        return [{name: plain(value) for name, value in row.items()} for row in rows]

    def _read(self, run: str, columns: Sequence[str], only: Any = None) -> pa.Table:
        files = self._files(run)
        if not files:
            return RESULTS.empty_table().select(list(columns))
        return ds.dataset([str(path) for path in files], schema=RESULTS).to_table(columns=list(columns), filter=only)

    def _files(self, run: str) -> list[Path]:
        return sorted(folder_of(self._lake, self._tenant, run).glob("shard-*.parquet"))


def outcome_of(row: Mapping[str, Any]) -> Outcome:
    """Return the one word for what a scenario came to."""
    return "fault" if row["fault"] else "collided" if row["collided"] else "off_road" if row["off_road"] else "fine"


def plain(value: Any) -> Any:
    """Return what JSON can hold."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _expression(which: Which) -> Any:
    fault, collided = pc.field("fault") != "", _true("collided")
    amiss = fault | collided | _true("off_road")
    return {
        "all": pc.scalar(True),
        "amiss": amiss,
        "fine": ~amiss,
        "off_road": _true("off_road"),
        "collided": collided,
        "at_fault": _true("at_fault"),
        "fault": fault,
        "near": pc.coalesce(pc.field("least_ttc_s"), pc.scalar(math.inf)) < NEAR_TTC_S,
    }[which]


def _true(name: str) -> Any:
    return pc.coalesce(pc.field(name), pc.scalar(False))


def _called(ids: Sequence[str], names: Mapping[str, Named], text: str) -> pa.Array:
    wanted = text.casefold()
    return pa.array([wanted in one or wanted in _named(names, one)["name"].casefold() for one in ids], pa.bool_())


def _named(names: Mapping[str, Named], scenario: str) -> dict[str, str]:
    found = names.get(scenario, Named("", ""))
    return {"name": found.name, "recording": found.recording}


def _measure(name: str, column: pa.ChunkedArray) -> Measure:
    known = column.filter(pc.fill_null(pc.is_finite(column), False))
    if not len(known):
        return Measure(name, 0, None, None, None, None)
    low, median, high = pc.quantile(known, q=[0.05, 0.5, 0.95]).to_pylist()
    return Measure(name, len(known), pc.mean(known).as_py(), low, median, high)


def _pair(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    before, after = outcome_of(first), outcome_of(second)
    told = {
        f"{side}_{name}": row[name]
        for side, row in (("before", first), ("after", second))
        for name in ("collided_s", "at_fault", "least_ttc_s", "progress_m")
    }
    return {
        "scenario": first["scenario"],
        "before": before,
        "after": after,
        "turn": WORSE[after] - WORSE[before],
    } | told


def _is(way: int, turn: Turn) -> bool:
    return {"all": True, "changed": way != 0, "worse": way > 0, "better": way < 0}[turn]
