"""A shard: some scenarios of a run, simulated and measured together by one process.

Rules:
* What goes wrong with one scenario is the fault of that row alone.
* A process that loads a shard needs the lake's folder, nothing else of the zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from carcloud.errors import CarcloudError, MissingError
from carcloud.research import metrics
from carcloud.research.runs.results import table_of
from carcloud.research.scenario import Scenario
from carcloud.research.simulation.engine import simulate
from carcloud.research.simulation.outcome import Outcome
from carcloud.research.simulation.references import planner_of
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store

GONE = "The scenario is not in the lake any more."


@dataclass(frozen=True)
class Shard:
    """What a process is told.

    Args:
        lake: the lake's folder, as the process sees it. ids: of the scenarios.
    """

    lake: Path
    tenant: str
    ids: tuple[str, ...]
    planner: str
    settings: Settings


def done(shard: Shard) -> pa.Table:
    """Simulate and measure a shard's scenarios; return their results."""
    store = Store(shard.lake, shard.tenant)
    found, gone = _loaded(store, shard.ids)
    driven = measured(found, shard.planner, shard.settings)
    return table_of([*driven, *({"scenario": one, "fault": GONE} for one in gone)])


def measured(scenarios: Sequence[Scenario], planner: str, settings: Settings) -> list[dict[str, Any]]:
    """Drive scenarios by a planner and measure each; return one row for each, as results have them."""
    outcomes = simulate(scenarios, planner_of(planner), settings)
    return [_row(scenario, outcome) for scenario, outcome in zip(scenarios, outcomes, strict=True)]


def _loaded(store: Store, ids: Sequence[str]) -> tuple[list[Scenario], list[str]]:
    try:
        return list(store.loaded(ids)), []
    except MissingError:
        known = {row.id for row in store.scenarios()}
    here = [one for one in ids if one in known]
    return list(store.loaded(here)), [one for one in ids if one not in known]


def _row(scenario: Scenario, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = {
        "scenario": scenario.id,
        "ego": outcome.ego,
        "steps": outcome.steps,
        "fault": outcome.fault,
        "impact_mps": outcome.impact_mps,
        "crashes": outcome.crashes,
        "digest": outcome.digest,
    }
    if outcome.motion is None or outcome.fault:
        return row
    try:
        found = metrics.of(outcome.motion, outcome.ego, scenario.map, scenario.goal).summary
        recorded = metrics.progress_of(scenario.motion, outcome.ego, scenario.map)
    except CarcloudError as error:
        return row | {"fault": str(error)}
    collided = outcome.collided_us is not None
    seen = {
        "collided": collided,
        "at_fault": collided and found["at_fault"],
        "collided_how": found["collided_how"] if collided else None,
        "collided_s": outcome.collided_us / 1e6 if outcome.collided_us is not None else None,
        "collided_with": None if outcome.collided_with is None else float(outcome.collided_with),
        "recorded_progress_m": recorded,
    }
    return found | row | seen
