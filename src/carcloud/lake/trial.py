"""The dry run: what plans would have done over the lake's history, found car by car in bounded memory.

Rules:
* It asks the lake only as its caller may: `ask` answers in the caller's name, and finds what they reach.
* When a plan fires is told by its condition as SQL; windows, sampling, batches and budgets are those of the car.
* Where history is not what a car would see, changed by the governance, coarser than the plan asks, or missing, the
  answer says so for that signal, and for how much of the time the condition was known.

Source: docs/plans.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from carcloud.errors import InputError
from carcloud.lake.history import History, Minutes
from carcloud.lake.tally import Result, Tally
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import Column
from carcloud.vehicle.conditions.condition import firings
from carcloud.vehicle.plans.harvest import Harvest, order
from carcloud.vehicle.plans.plan import Plan
from carcloud.vehicle.plans.windows import PIECE_US, Piece, minute, pieces

LIMIT_PLANS = 10
ROWS_AT_ONCE, PIECES_AT_ONCE = 200_000, 100

Ask = Callable[[str], Awaitable[pa.Table]]
"""Answers one statement over the lake as its asker reaches it; raises InputError where there are too many rows."""


@dataclass(frozen=True)
class Progress:
    """How far a dry run has come."""

    cars: int
    done: int
    firings: int


async def attempt(
    plans: Sequence[Plan],
    ask: Ask,
    doubts: Mapping[str, Sequence[str]] | None = None,
    vehicles: Sequence[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> AsyncIterator[Progress | Result]:
    """Yield how far it has come, and at the end what was found.

    Args:
        doubts: signal → why its history is not what the car sees. vehicles: only these cars; None: all.
        since: history from then on, until: before then.

    Raises:
        InputError: there are too many plans or cars, or too much history to answer.
    """
    if not 0 < len(plans) <= LIMIT_PLANS:
        raise InputError(f"{len(plans)} plans; 1 to {LIMIT_PLANS} are tried at once.", "Try some of them.")
    started = time.monotonic()
    history = History(ask, _paths(plans), vehicles, _us(since), _us(until))
    cars = await history.cars()
    tally = Tally(plans, doubts or {}, await history.signals())
    yield Progress(len(cars), 0, 0)
    for done, group in history.groups(cars):
        fired = [await history.firings(plan.when, group) if plan.when else {} for plan in plans]
        for at, plan in enumerate(plans):
            if plan.when is not None and max(cars[car].rows for car in group) > plan.when.share:
                tally.overfull(at, await history.overfull(plan.when, group))
        minutes = await history.minutes(group)
        for car in group:
            run = _Run(plans, tally, car)
            for at, plan in enumerate(plans):
                if plan.when is not None:
                    changes = [change for change in fired[at].get(car, []) if change.time_us <= cars[car].last_us]
                    found = firings(changes, plan.when.initial, plan.interval_us)
                    moments = [moment for moment in found if moment < plan.until_us]
                    tally.fired(at, car, moments)
                    tally.known(at, car, plan.when.initial, changes, cars[car])
                    run.add(at, pieces(moments, plan.before_us, plan.after_us))
                else:
                    run.add(at, _whole(minutes[car], plan.until_us))
            await run.harvest(history, minutes[car])
        yield Progress(len(cars), done, tally.firings)
    yield tally.result(len(cars), time.monotonic() - started)


class _Run:
    """One car's pieces, taken in their order."""

    def __init__(self, plans: Sequence[Plan], tally: Tally, car: str) -> None:
        self._plans, self._tally, self._car = plans, tally, car
        self._pieces: list[tuple[tuple[int, int, int], int, Piece]] = []
        self._table = IdTable(tuple(sorted({(one.path, one.unit) for plan in plans for one in plan.signals})))

    def add(self, index: int, found: Sequence[Piece]) -> None:
        self._pieces += [(order(self._plans[index], index, piece), index, piece) for piece in found]

    async def harvest(self, history: History, minutes: Minutes) -> None:
        """Take all pieces, their samples fetched some at a time."""
        taken = Harvest(self._plans, self._table, Provenance.MEASURED, Counter())
        self._pieces.sort(key=lambda row: row[0])
        group: list[tuple[int, Piece]] = []
        rows = 0
        for _, index, piece in self._pieces:
            more = minutes.rows(piece.start_us // PIECE_US)
            if group and (rows + more > ROWS_AT_ONCE or len(group) == PIECES_AT_ONCE):
                await self._take(history, taken, group)
                group, rows = [], 0
            group.append((index, piece))
            rows += more
        if group:
            await self._take(history, taken, group)
        self._tally.harvested(self._car, taken)

    async def _take(self, history: History, taken: Harvest, group: list[tuple[int, Piece]]) -> None:
        spans = [(piece.start_us, piece.end_us) for _, piece in group]
        columns = await history.columns(self._car, self._table, spans)
        for index, piece in group:
            parts = [_between(column, piece) for column in columns]
            found = [part for part in parts if len(part) and part.signal in taken.wanted[index]]
            self._tally.seen(index, self._table, found)
            taken.take(index, piece, found)
        index, piece = group[-1]
        final_us, _, _ = order(self._plans[index], index, piece)
        taken.forget(final_us - max(plan.before_us for plan in self._plans) - 2 * PIECE_US)


def _between(column: Column, piece: Piece) -> Column:
    start, end = np.searchsorted(column.times_us, [piece.start_us, piece.end_us + 1]).tolist()
    return column.part(start, end)


def _whole(minutes: Minutes, over_us: int) -> list[Piece]:
    """Return the pieces of a plan without a condition: the minutes in which there are samples, until it is over."""
    starts = (minutes.numbers * PIECE_US).tolist()
    return [minute(start, over_us) for start in starts if start < over_us]


def _paths(plans: Sequence[Plan]) -> list[str]:
    found = {one.path for plan in plans for one in plan.signals}
    return sorted(found.union(*(plan.when.paths for plan in plans if plan.when is not None)))


def _us(at: datetime | None) -> int | None:
    return None if at is None else int(at.astimezone(UTC).timestamp() * 1_000_000)
