"""What the pieces of a car's plans bring in: samples chosen, each once, packed into batches, within each plan's budget.

The car and the dry run both go through here, so that a plan does on the road what it was tried to do.

Rules:
* Pieces are taken in the order in which they become final, the more important plan first: see `order`.
* A sample that several plans want travels with the first that takes it, and counts to that plan's budget only.
* A batch beyond its plan's budget is cut: it is counted, and neither sent nor had by another plan.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import LONGEST_WINDOW_US, Batcher, Column, Packed
from carcloud.vehicle.plans.plan import Plan
from carcloud.vehicle.plans.sampling import Sampler
from carcloud.vehicle.plans.windows import Piece

DAY_US = 86_400_000_000
LIMIT_DAYS = 8
"""A budget remembers so many days; a clock that jumps there and back finds what it had used."""


class Budget:
    """The bytes a plan may send, for each UTC day of the car's sample time.

    A batch that does not fit any more into the day of its first sample is cut; a smaller one after it may fit.
    """

    def __init__(self, limit_bytes: int, used: dict[int, int] | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used: dict[int, int] = dict(used or {})
        """Day since 1970 → bytes."""

    def take(self, first_us: int, size_bytes: int) -> bool:
        """Count a batch in, if it fits; say whether it does."""
        day = first_us // DAY_US
        used = self.used.get(day, 0) + size_bytes
        if used > self.limit_bytes:
            return False
        self.used.pop(day, None)  # the days in use are the last ones
        self.used[day] = used
        while len(self.used) > LIMIT_DAYS:
            self.used.pop(next(iter(self.used)))
        return True

    def of(self, time_us: int) -> int:
        """Return the bytes used on the day of a time."""
        return self.used.get(time_us // DAY_US, 0)


class Yield(NamedTuple):
    """What a piece gave: the batches that go, and those that the budget cut."""

    sent: list[Packed]
    cut: list[Packed]


def order(plan: Plan, index: int, piece: Piece) -> tuple[int, int, int]:
    """Return by what pieces that are final are sorted before they are taken."""
    return piece.end_us + (plan.before_us if plan.when is not None else 0), plan.priority, index


class Harvest:
    """What the plans of one car bring in. An `index` is a plan's place among `plans`.

    Args:
        table: the signals that columns name. budgets: what of each plan's was used already, by day since 1970.
    """

    def __init__(
        self,
        plans: Sequence[Plan],
        table: IdTable,
        provenance: Provenance,
        skipped: Counter[str],
        used: Sequence[dict[int, int]] = (),
    ) -> None:
        self._plans, self._table, self._provenance, self._skipped = tuple(plans), table, provenance, skipped
        places = {path: at for at, (path, _) in enumerate(table.signals)}
        self.wanted = [{places[one.path]: one for one in plan.signals if one.path in places} for plan in plans]
        """For each plan: signal of the table → how it is wanted."""
        known = [*used, *({} for _ in self._plans)]
        self.budgets = [Budget(plan.budget_bytes, known[at]) for at, plan in enumerate(self._plans)]
        self._samplers: list[dict[int, Sampler]] = [{} for _ in plans]
        self._taken: dict[int, list[NDArray[np.int64]]] = {}

    def take(self, index: int, piece: Piece, columns: Iterable[Column]) -> Yield:
        """Take a plan's piece: any columns of the car, each cut to the piece."""
        if piece.first:
            self._samplers[index] = {}
        chosen = [self._choose(index, column) for column in columns if column.signal in self.wanted[index]]
        batcher = Batcher(self._table, self._provenance, self._skipped, LONGEST_WINDOW_US)
        batcher.add([one for one in chosen if len(one)])
        found = Yield([], [])
        for batch in batcher.rest():
            fits = self.budgets[index].take(batch.first_us, len(batch.payload))
            (found.sent if fits else found.cut).append(batch)
        return found

    def follow(self, before: Harvest, places: Mapping[int, int]) -> None:
        """Go on where a harvest with other plans stood. `places`: of plans that both have, the place here → there."""
        self._taken = before._taken
        for here, there in places.items():
            self.spent[here], self._samplers[here] = before.spent[there], before._samplers[there]

    def forget(self, before_us: int) -> None:
        """Forget which samples before this were taken: no piece to come has any of them."""
        for signal, parts in list(self._taken.items()):
            left = [part for part in parts if part[-1] >= before_us]
            if left:
                self._taken[signal] = left
            else:
                del self._taken[signal]

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
