"""What a dry run has found so far, and what it says in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from carcloud.lake.history import Extent
from carcloud.vehicle.batch import IdTable
from carcloud.vehicle.batching import Column
from carcloud.vehicle.conditions.condition import Change, Truth
from carcloud.vehicle.plans.harvest import DAY_US, Harvest
from carcloud.vehicle.plans.plan import Plan

LIMIT_MOMENTS = 1_000
LIMIT_CARS = 1_000
LIMIT_GAPS = 1_000
NONE = "history has no samples of it"
OVERFULL = (
    "a car has more samples of it in a window of the condition than it keeps, and then knows nothing of that window"
)
COARSER = 1.5
"""History whose samples lie so many periods apart is coarser than the plan asks."""


@dataclass
class Day:
    """What a plan would have done on one day of UTC, all cars together."""

    firings: int = 0
    cars: int = 0
    bytes: int = 0
    samples: int = 0
    cut_bytes: int = 0
    cut_samples: int = 0


@dataclass
class CarTried:
    """What a plan would have done in one car. `known_us` of `span_us`: how long its condition was known."""

    vehicle: str
    firings: int = 0
    bytes: int = 0
    cut_bytes: int = 0
    known_us: int = 0
    span_us: int = 0


@dataclass
class PlanTried:
    """What one plan would have done.

    most_bytes: what a car would have sent on its fullest day without a budget. unknown: signal → why the answer is not
    known for it. known_share: of the time between a car's first and last sample; None: there was none.
    """

    plan: Plan
    firings: int = 0
    cars_fired: int = 0
    moments: list[tuple[str, int]] = field(default_factory=list)
    days: dict[int, Day] = field(default_factory=dict)
    cars: list[CarTried] = field(default_factory=list)
    most_bytes: int = 0
    known_share: float | None = None
    unknown: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """What was found: each plan's part; `cars`: how many have any such samples; `elapsed_s`: seconds it took."""

    plans: list[PlanTried]
    cars: int
    elapsed_s: float


class Tally:
    """Counts what plans do, car by car. An `index` is a plan's place among the plans."""

    def __init__(self, plans: Sequence[Plan], doubts: Mapping[str, Sequence[str]], there: Collection[str]) -> None:
        self._tried = [PlanTried(plan) for plan in plans]
        self._cars: list[dict[str, CarTried]] = [{} for _ in plans]
        self._gaps: list[dict[str, list[float]]] = [
            {one.path: [] for one in plan.signals if one.sampling.kind == "every"} for plan in plans
        ]
        self._doubts, self._there = doubts, there
        self._overfull: list[set[str]] = [set() for _ in plans]
        self.firings = 0

    def fired(self, index: int, car: str, moments: Sequence[int]) -> None:
        """Take in when a plan fired in a car."""
        tried, mine = self._tried[index], self._car(index, car)
        mine.firings = len(moments)
        tried.firings += len(moments)
        tried.cars_fired += bool(moments)
        self.firings += len(moments)
        tried.moments += [(car, at) for at in moments[: LIMIT_MOMENTS - len(tried.moments)]]
        for day, count in Counter(at // DAY_US for at in moments).items():
            tried.days.setdefault(day, Day()).firings += count

    def known(self, index: int, car: str, initial: Truth, changes: Sequence[Change], extent: Extent) -> None:
        """Take in for how long a plan's condition was known between the first and the last sample of a car."""
        mine, at, state = self._car(index, car), extent.first_us, initial
        mine.span_us = extent.last_us - extent.first_us
        for change in changes:
            until = min(max(change.time_us, extent.first_us), extent.last_us)
            mine.known_us += until - at if state is not None else 0
            at, state = until, change.after
        mine.known_us += extent.last_us - at if state is not None else 0

    def overfull(self, index: int, paths: Collection[str]) -> None:
        """Take in of which signals a window of a plan's condition had more samples than a car keeps."""
        self._overfull[index].update(paths)

    def seen(self, index: int, table: IdTable, columns: Sequence[Column]) -> None:
        """Take in samples of a piece, to know how far apart they lie."""
        for column in columns:
            gaps = self._gaps[index].get(table.signals[column.signal][0])
            if gaps is not None and len(gaps) < LIMIT_GAPS and len(column) > 1:
                gaps.append(float(np.median(np.diff(column.times_us))))

    def harvested(self, car: str, harvest: Harvest) -> None:
        """Take in what a car's plans brought in, and what their budgets cut."""
        for index, (tried, spent) in enumerate(zip(self._tried, harvest.spent, strict=True)):
            mine = self._car(index, car)
            mine.bytes, mine.cut_bytes = spent.sent.total(), spent.cut.total()
            for day in spent.sent.keys() | spent.cut.keys():
                found = tried.days.setdefault(day, Day())
                found.cars += 1
                found.bytes += spent.sent[day]
                found.samples += spent.samples[day]
                found.cut_bytes += spent.cut[day]
                found.cut_samples += spent.cut_samples[day]
                tried.most_bytes = max(tried.most_bytes, spent.sent[day] + spent.cut[day])

    def result(self, cars: int, elapsed_s: float) -> Result:
        """Return what was found."""
        for index, tried in enumerate(self._tried):
            mine = self._cars[index].values()
            order = sorted(mine, key=lambda one: (-one.firings, -one.bytes - one.cut_bytes, one.vehicle))
            tried.cars = order[:LIMIT_CARS]
            span = sum(one.span_us for one in mine)
            if tried.plan.when is not None and mine:
                tried.known_share = sum(one.known_us for one in mine) / span if span else 0.0
            tried.unknown = self._unknown(index)
            tried.days = dict(sorted(tried.days.items()))
        return Result(self._tried, cars, elapsed_s)

    def _car(self, index: int, car: str) -> CarTried:
        return self._cars[index].setdefault(car, CarTried(car))

    def _unknown(self, index: int) -> dict[str, list[str]]:
        plan, gaps = self._tried[index].plan, self._gaps[index]
        found: dict[str, list[str]] = {}
        asked = {one.path: one.sampling for one in plan.signals}
        for path in sorted({*asked, *(plan.when.paths if plan.when else ())}):
            found[path] = [*self._doubts.get(path, ()), *([] if path in self._there else [NONE])]
            found[path] += [OVERFULL] if path in self._overfull[index] else []
            sampling = asked.get(path)
            if sampling is not None and gaps.get(path):
                gap = float(np.median(gaps[path]))
                if gap > COARSER * sampling.by:
                    message = f"history has a sample every {gap / 1e6:.3g} s, the plan asks one every"
                    found[path].append(f"{message} {sampling.by / 1e6:g} s")
        return {path: why for path, why in found.items() if why}
