"""A condition: what its text says, and how it is told where it becomes true.

Source: docs/conditions.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from carcloud.errors import InputError
from carcloud.vehicle.conditions.tree import Aggregate, Always, Changed, Falling, Held, Node, Once, Rate, Rising

Truth = bool | None
IN_TIME = (Rate, Aggregate, Changed, Rising, Falling, Always, Once)
LIMIT_KEPT = 100_000
"""Samples that one condition keeps, its windows together; about 15 MB."""
STALE_US = 60_000_000
"""How long a value holds where the condition does not say `stale after`."""


class Change(NamedTuple):
    """What a condition is at an instant, and after it until its next change; microseconds since 1970 UTC."""

    time_us: int
    now: Truth
    after: Truth


class ConditionError(InputError):
    """A text that is no condition. `at`, `length`: where in it, in characters."""

    def __init__(self, message: str, do: str, at: int, length: int) -> None:
        super().__init__(message, do)
        self.at, self.length = at, length


@dataclass(frozen=True)
class Condition:
    """A condition that was read and checked. Two of the same text and catalogue are equal.

    initial: what it is before any sample.
    """

    text: str
    tree: Node
    stale_us: int
    initial: Truth

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Return the signals it asks about, sorted."""
        return tuple(sorted({n.path for n in self.tree.all() if isinstance(n, Held | Rate | Aggregate | Changed)}))

    @cached_property
    def windows(self) -> frozenset[tuple[str, str, int]]:
        """Return the windows over which it keeps samples: kind, path and length in µs."""
        found = {(node.kind, node.path, node.us) for node in self.tree.all() if isinstance(node, Aggregate)}
        spreads = [node for node in self.tree.all() if isinstance(node, Changed)]
        return frozenset(found | {(kind, x.path, x.us) for x in spreads if x.us is not None for kind in ("max", "min")})

    @cached_property
    def share(self) -> int:
        """Return how many samples each of its windows may keep."""
        return LIMIT_KEPT // max(1, len(self.windows))

    @cached_property
    def is_timeless(self) -> bool:
        """Tell whether the values that the signals hold at one time decide it, and nothing that was before."""
        return not any(isinstance(node, IN_TIME) for node in self.tree.all())


def firings(changes: Iterable[Change], initial: Truth, min_interval_us: int = 0) -> list[int]:
    """Return when a condition becomes true, in µs; what comes sooner after a firing than the interval is left out."""
    fired: list[int] = []
    before = initial
    for change in changes:
        becomes = (change.now and not before) or (change.after and not change.now)
        if becomes and (not fired or change.time_us - fired[-1] >= min_interval_us):
            fired.append(change.time_us)
        before = change.after
    return fired
