"""The verdict: a candidate's results against the baseline's, scenario by scenario.

Rules:
* Both runs drove the same scenarios, under the same settings, by the same software; else nothing is said.
* A scenario is passed without a collision and without a fault of the planner.
* Every check says what it found and what it allows; the verdict is passed when all are.
* The verdict is a document of plain JSON without a time in it: the same runs and limits give the same bytes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from carcloud import __version__
from carcloud.errors import ConflictError, InputError
from carcloud.research.gate.limits import Limits
from carcloud.research.gate.statistics import difference, mcnemar_worse, ratio

Numbers = NDArray[np.float64]

FORMAT = 1
LIMIT_LISTED = 1_000
"""Scenarios that a verdict names one by one; it counts them all."""


@dataclass(frozen=True)
class Side:
    """One of the two runs: its id, planner, settings and results."""

    run: str
    planner: str
    planner_hash: str
    query: str
    scenarios_hash: str
    settings: Mapping[str, Any]
    software_version: str
    digest: str
    results: pa.Table


@dataclass(frozen=True)
class Verdict:
    """What the gate says. `document`: canonical JSON, whose SHA-256 is `digest`."""

    passed: bool
    document: bytes

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the document, in hexadecimal."""
        return hashlib.sha256(self.document).hexdigest()

    @property
    def said(self) -> dict[str, Any]:
        """Return the document as it says."""
        told: dict[str, Any] = orjson.loads(self.document)
        return told


def judged(baseline: Side, candidate: Side, limits: Limits, competence: Mapping[str, Any] | None = None) -> Verdict:
    """Judge a candidate's run against the baseline's.

    Args:
        competence: what the candidate did on UN R157's grid: `scenarios`, `avoidable`, `missed` (a list); None where
            the limits do not ask for it.

    Raises:
        ConflictError: the runs are not of the same scenarios, settings or software.
        InputError: there are fewer scenarios than the limits ask for.
    """
    _refuse_unlike(baseline, candidate, limits)
    first, second = _facts(baseline.results, limits), _facts(candidate.results, limits)
    listed = _newly(baseline.results, candidate.results, first, second, limits)
    rates = {
        name: _rate(first[name], second[name], limits) for name in ("collided", "at_fault", "off_road", "near", "fault")
    }
    ratios = {name: _ratio(baseline.results, candidate.results, name, limits) for name in limits.ratios}
    progress = _ratio(baseline.results, candidate.results, "progress_m", limits)
    checks = [
        *_hard(listed, limits),
        *(_rate_check(name, rates[name], most, limits) for name, most in limits.rates.items()),
        *(
            _check(f"ratio {name}", found["estimate"] <= limits.ratios[name], found["estimate"], limits.ratios[name])
            for name, found in ratios.items()
        ),
        _check("progress", progress["estimate"] >= limits.least_progress, progress["estimate"], limits.least_progress),
    ]
    if limits.competence:
        missed = list((competence or {}).get("missed", [])) if competence is not None else ["the grid was not driven"]
        checks.append(_check("R157 competence", not missed, len(missed), 0))
    passed = all(check["passed"] for check in checks)
    return Verdict(
        passed,
        _canonical(
            {
                "format": FORMAT,
                "passed": passed,
                "baseline": _told(baseline),
                "candidate": _told(candidate),
                "scenarios": {
                    "count": baseline.results.num_rows,
                    "hash": baseline.scenarios_hash,
                    "query": baseline.query,
                    "query_hash": hashlib.sha256(baseline.query.encode()).hexdigest(),
                },
                "settings": dict(baseline.settings),
                "software_version": __version__,
                "limits": {**vars(limits), "hash": limits.hash},
                "checks": checks,
                "rates": rates,
                "ratios": ratios | {"progress_m": progress},
                "newly": {name: {"count": len(rows), "first": rows[:LIMIT_LISTED]} for name, rows in listed.items()},
                "competence": dict(competence) if competence is not None else None,
            }
        ),
    )


def _refuse_unlike(baseline: Side, candidate: Side, limits: Limits) -> None:
    for what in ("scenarios_hash", "settings", "software_version"):
        if getattr(baseline, what) != getattr(candidate, what):
            message = f"The two runs differ in their {what.replace('_', ' ').removesuffix(' hash')}."
            raise ConflictError(message, "Run both planners alike, then judge them.")
    if not baseline.results["scenario"].equals(candidate.results["scenario"]):
        raise ConflictError("The two runs have results of different scenarios.", "Run both again: some were erased.")
    if baseline.results.num_rows < limits.scenarios:
        message = f"{baseline.results.num_rows} scenarios are too few to judge by."
        raise InputError(message, f"The limits ask for {limits.scenarios}: give more, or other limits.")


def _facts(results: pa.Table, limits: Limits) -> dict[str, Numbers]:
    """Return (N,) 1 or 0 for each of what can happen in a scenario."""
    facts = {name: _numbers(results, name, 0.0) for name in ("collided", "at_fault", "off_road")}
    facts["fault"] = np.array([float(one != "") for one in results["fault"].to_pylist()])
    facts["near"] = (_numbers(results, "least_ttc_s", math.inf) < limits.near_ttc_s).astype(float)
    return facts


def _numbers(results: pa.Table, name: str, unknown: float) -> Numbers:
    return np.array([unknown if one is None else float(one) for one in results[name].to_pylist()])


def _newly(
    before: pa.Table, after: pa.Table, first: Mapping[str, Numbers], second: Mapping[str, Numbers], limits: Limits
) -> dict[str, list[dict[str, Any]]]:
    passed = (first["collided"] == 0) & (first["fault"] == 0)
    blamed = "collided" if limits.hard["collided"] == "all" else "at_fault"
    again = (first["collided"] == 1) & (second["collided"] == 0) & (second["fault"] == 0)
    columns = ("scenario", "collided_s", "collided_with", "collided_how", "at_fault", "fault", "least_ttc_s")
    return {
        name: [{column: after[column][int(at)].as_py() for column in columns} for at in np.flatnonzero(which)]
        for name, which in {
            "collided": passed & (second[blamed] == 1),
            "fault": passed & (second["fault"] == 1),
            "passed": again,
        }.items()
    }


def _hard(listed: Mapping[str, Sequence[Any]], limits: Limits) -> list[dict[str, Any]]:
    checks = [_check("newly collided", not listed["collided"], len(listed["collided"]), 0)]
    if limits.hard["fault"]:
        checks.append(_check("newly faulty", not listed["fault"], len(listed["fault"]), 0))
    return checks


def _rate(first: Numbers, second: Numbers, limits: Limits) -> dict[str, Any]:
    worse, better = int(((first == 0) & (second == 1)).sum()), int(((first == 1) & (second == 0)).sum())
    bounds = difference(first, second, limits.confidence, limits.resamples, limits.seed)
    return {
        "baseline": float(first.mean()),
        "candidate": float(second.mean()),
        "worse": worse,
        "better": better,
        "p": mcnemar_worse(worse, better),
        **asdict(bounds),
    }


def _ratio(before: pa.Table, after: pa.Table, name: str, limits: Limits) -> dict[str, Any]:
    column = "comfortable_share" if name == "uncomfortable_share" else name
    first, second = _numbers(before, column, math.nan), _numbers(after, column, math.nan)
    if name == "uncomfortable_share":
        first, second = 1 - first, 1 - second
    known = np.isfinite(first) & np.isfinite(second)
    if not known.any():
        return {"baseline": None, "candidate": None, "scenarios": 0, "estimate": 1.0, "low": 1.0, "high": 1.0}
    bounds = ratio(first[known], second[known], limits.confidence, limits.resamples, limits.seed)
    means = {"baseline": float(first[known].mean()), "candidate": float(second[known].mean())}
    return means | {"scenarios": int(known.sum())} | asdict(bounds)


def _rate_check(name: str, found: Mapping[str, Any], most: float, limits: Limits) -> dict[str, Any]:
    fine = found["high"] <= most and not found["p"] < limits.p
    return _check(f"rate {name}", fine, found["high"], most) | {"p": found["p"]}


def _check(name: str, passed: bool, found: float, limit: float) -> dict[str, Any]:
    return {"name": name, "passed": bool(passed), "found": found, "limit": limit}


def _told(side: Side) -> dict[str, Any]:
    names = ("run", "planner", "planner_hash", "digest", "software_version")
    return {name: getattr(side, name) for name in names}


def _plain(said: Any) -> Any:
    """Return what JSON can hold: what is infinite is said as a word."""
    if isinstance(said, Mapping):
        return {name: _plain(value) for name, value in said.items()}
    if isinstance(said, (list, tuple)):
        return [_plain(value) for value in said]
    if isinstance(said, float) and math.isinf(said):
        return "never" if said > 0 else "-never"
    return said


def _canonical(said: Mapping[str, Any]) -> bytes:
    return orjson.dumps(_plain(said), option=orjson.OPT_SORT_KEYS)
