"""How a piece of a plan's window becomes batches, and what a plan's budget of bytes lets through."""

from __future__ import annotations

from collections import Counter

from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import LONGEST_WINDOW_US, Batcher, Column, Packed

DAY_US = 86_400_000_000
LIMIT_DAYS = 8
"""A budget remembers so many days; a clock that jumps there and back finds what it had used."""


def packed(table: IdTable, provenance: Provenance, columns: list[Column], skipped: Counter[str]) -> list[Packed]:
    """Return a piece's samples as batches, as few as hold them."""
    batcher = Batcher(table, provenance, skipped, LONGEST_WINDOW_US)
    batcher.add(columns)
    return batcher.rest()


class Budget:
    """The bytes a plan may send, for each UTC day of the car's sample time.

    A batch that does not fit any more into the day of its first sample is cut; a smaller one after it may fit.
    """

    def __init__(self, limit_bytes: int | None, used: dict[int, int] | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.used: dict[int, int] = dict(used or {})
        """Day since 1970 → bytes."""

    def take(self, first_us: int, size_bytes: int) -> bool:
        """Count a batch in, if it fits; say whether it does."""
        day = first_us // DAY_US
        used = self.used.get(day, 0) + size_bytes
        if self.limit_bytes is not None and used > self.limit_bytes:
            return False
        self.used.pop(day, None)  # the days in use are the last ones
        self.used[day] = used
        while len(self.used) > LIMIT_DAYS:
            self.used.pop(next(iter(self.used)))
        return True

    def of(self, time_us: int) -> int:
        """Return the bytes used on the day of a time."""
        return self.used.get(time_us // DAY_US, 0)
