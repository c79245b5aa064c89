"""What the pieces of a car's plans bring in: samples chosen, each once, packed into batches, within each plan's budget.

The car and the dry run both go through here, so that a plan does on the road what it was tried to do.

Rules:
* Pieces are taken in the order in which they become final, the more important plan first: see `order`.
* After a silence of more than an hour, sampling begins anew for a plan without a condition.
* A sample that several plans want travels with the first that takes it, and counts to that plan's budget only.
* A plan's budget is in bytes of batches a day of UTC, by the first sample of each. A batch that would go beyond it is
  cut: it is counted, and neither sent nor had by another plan. A smaller one after it may fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import LONGEST_WINDOW_US, Batcher, Column, Packed
from carcloud.vehicle.plans.plan import Plan
from carcloud.vehicle.plans.sampling import Sampler
from carcloud.vehicle.plans.windows import Piece

DAY_US = 86_400_000_000
SILENCE_US = 3_600_000_000


@dataclass
class Spent:
    """What one plan has sent and what its budget cut, by day of UTC (days since 1970)."""

    sent: Counter[int] = field(default_factory=Counter)
    """Bytes of batches."""
    cut: Counter[int] = field(default_factory=Counter)
    samples: Counter[int] = field(default_factory=Counter)
    cut_samples: Counter[int] = field(default_factory=Counter)


def order(plan: Plan, index: int, piece: Piece) -> tuple[int, int, int]:
    """Return by what pieces that are final are sorted before they are taken."""
    return piece.end_us + (plan.before_us if plan.when is not None else 0), plan.priority, index


class Harvest:
    """What the plans of one car bring in. An `index` is a plan's place in `plans`; columns name signals of `table`."""

    def __init__(self, plans: Sequence[Plan], table: IdTable, provenance: Provenance, skipped: Counter[str]) -> None:
        self._plans, self._table, self._provenance, self._skipped = tuple(plans), table, provenance, skipped
        places = {path: at for at, (path, _) in enumerate(table.signals)}
        self.wanted = [{places[one.path]: one for one in plan.signals if one.path in places} for plan in plans]
        """For each plan: signal of the table → how it is wanted."""
        self.spent = [Spent() for _ in plans]
        self._samplers: list[dict[int, Sampler]] = [{} for _ in plans]
        self._last_us: list[int | None] = [None for _ in plans]
        self._taken: dict[int, list[NDArray[np.int64]]] = {}

    def take(self, index: int, piece: Piece, columns: Iterable[Column]) -> list[Packed]:
        """Take a plan's piece: any columns of the car, each cut to the piece. Return the batches that go."""
        found = [column for column in columns if len(column) and column.signal in self.wanted[index]]
        if piece.first or self._was_silent(index, found):
            self._samplers[index] = {}
        chosen = [self._choose(index, column) for column in found]
        batcher = Batcher(self._table, self._provenance, self._skipped, LONGEST_WINDOW_US)
        batcher.add([one for one in chosen if len(one)])
        return [batch for batch in batcher.rest() if self._affords(index, batch)]

    def follow(self, before: Harvest, places: Mapping[int, int]) -> None:
        """Go on where a harvest with other plans stood. `places`: of plans that both have, the place here → there."""
        self._taken = before._taken
        for here, there in places.items():
            self.spent[here], self._samplers[here] = before.spent[there], before._samplers[there]
            self._last_us[here] = before._last_us[there]

    def forget(self, before_us: int) -> None:
        """Forget which samples before this were taken: no piece to come has any of them."""
        for signal, parts in list(self._taken.items()):
            left = [part for part in parts if part[-1] >= before_us]
            if left:
                self._taken[signal] = left
            else:
                del self._taken[signal]

    def _was_silent(self, index: int, columns: Sequence[Column]) -> bool:
        if self._plans[index].when is not None or not columns:
            return False
        before, self._last_us[index] = self._last_us[index], max(int(column.times_us[-1]) for column in columns)
        first_us = min(int(column.times_us[0]) for column in columns)
        return before is not None and not 0 <= first_us - before <= SILENCE_US

    def _choose(self, index: int, column: Column) -> Column:
        sampler = self._samplers[index].get(column.signal)
        if sampler is None:
            sampler = self._samplers[index][column.signal] = Sampler(self.wanted[index][column.signal].sampling)
        mask = sampler.take(column.times_us, column.values if column.texts is None else column.texts)
        taken = self._taken.setdefault(column.signal, [])
        near = [part for part in taken if len(column) and part[-1] >= column.times_us[0]]
        if near:
            mask &= ~np.isin(column.times_us, np.concatenate(near))
        rows = np.flatnonzero(mask)
        times = column.times_us[rows]
        if len(rows):
            taken.append(times)
        texts = None if column.texts is None else [column.texts[row] for row in rows.tolist()]
        return Column(column.signal, times, column.values[rows], texts)

    def _affords(self, index: int, batch: Packed) -> bool:
        spent, day, size = self.spent[index], batch.first_us // DAY_US, len(batch.payload)
        fits = spent.sent[day] + size <= self._plans[index].budget_bytes
        (spent.sent if fits else spent.cut)[day] += size
        (spent.samples if fits else spent.cut_samples)[day] += batch.samples
        return fits
