"""The ring: the last samples of the signals that plans collect, in memory, within a bound.

Rules:
* It is memory: what it holds is gone when the agent dies.
* What no window can want any more is forgotten. Where the bound is reached all the same, the oldest samples go, and are
  counted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

import numpy as np

from carcloud.vehicle.batching import Column

LIMIT_BYTES = 32 * 1024 * 1024
SAMPLE_BYTES, PART_BYTES = 16, 512
SPARE = 8
"""A full ring makes room for an eighth of its size at once."""


class Ring:
    """One vehicle's ring. Columns name signals of the id table."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self.limit_bytes, self.bytes, self.lost = limit_bytes, 0, 0
        self._parts: dict[int, deque[Column]] = {}

    def take(self, column: Column) -> None:
        """Take samples of a signal in, in the order of time."""
        if len(column):
            self._parts.setdefault(column.signal, deque()).append(column)
            self.bytes += _size(column)

    def between(self, signal: int, start_us: int, end_us: int) -> Column | None:
        """Return a signal's samples of a stretch of time, both ends in it, in the order of time; None without any."""
        near = [
            part
            for part in self._parts.get(signal, ())
            if int(part.times_us[-1]) >= start_us and int(part.times_us[0]) <= end_us
        ]
        if not near:
            return None
        whole = near[0] if len(near) == 1 else _joined(near)
        start, end = np.searchsorted(whole.times_us, [start_us, end_us + 1]).tolist()
        return whole.part(start, end) if end > start else None

    def next(self, signals: Iterable[int], from_us: int) -> int | None:
        """Return the time of the first sample of some signals from a time on, None without any."""
        found = [
            int(part.times_us[np.searchsorted(part.times_us, from_us)])
            for signal in signals
            for part in self._parts.get(signal, ())
            if int(part.times_us[-1]) >= from_us
        ]
        return min(found, default=None)

    def keep(self, from_us: Mapping[int, int]) -> None:
        """Forget what is older than wanted: signal → the oldest time. Signals that are not named are forgotten."""
        for signal in list(self._parts):
            oldest = from_us.get(signal)
            if oldest is None:
                self.bytes -= sum(map(_size, self._parts.pop(signal)))
            else:
                self._forget(signal, oldest)

    def shrink(self) -> None:
        """Let the oldest samples go where there are too many."""
        if self.bytes <= self.limit_bytes:
            return
        ends = sorted((int(part.times_us[-1]), _size(part)) for parts in self._parts.values() for part in parts)
        excess, cut_us = self.bytes - self.limit_bytes + self.limit_bytes // SPARE, 0
        for end_us, size in ends:
            if excess <= 0:
                break
            excess, cut_us = excess - size, end_us
        for signal in list(self._parts):
            self.lost += self._forget(signal, cut_us + 1)

    def clear(self) -> None:
        """Forget everything."""
        self._parts, self.bytes = {}, 0

    def _forget(self, signal: int, before_us: int) -> int:
        """Forget the parts of a signal that end before a time; return how many samples that were."""
        parts, count = self._parts[signal], 0
        while parts and int(parts[0].times_us[-1]) < before_us:
            part = parts.popleft()
            self.bytes -= _size(part)
            count += len(part)
        if not parts:
            del self._parts[signal]
            return count
        first = parts[0]
        start = int(np.searchsorted(first.times_us, before_us))
        if start * 2 > len(first):  # most of it is old: keep the rest alone
            rest = first.part(start, len(first))
            left = Column(rest.signal, rest.times_us.copy(), rest.values.copy(), rest.texts)
            self.bytes += _size(left) - _size(first)
            count += start
            parts[0] = left
        return count


def _size(column: Column) -> int:
    texts = sum(map(len, column.texts)) * 4 if column.texts is not None else 0
    return PART_BYTES + SAMPLE_BYTES * len(column) + texts


def ordered(column: Column) -> Column:
    """Return a column in the order of time; of one time, as they came."""
    if not (column.times_us[1:] < column.times_us[:-1]).any():
        return column
    order = np.argsort(column.times_us, kind="stable")
    texts = [column.texts[row] for row in order.tolist()] if column.texts is not None else None
    return Column(column.signal, column.times_us[order], column.values[order], texts)


def _joined(parts: list[Column]) -> Column:
    texts = [text for part in parts for text in part.texts or []] if parts[0].texts is not None else None
    times = np.concatenate([part.times_us for part in parts])
    return ordered(Column(parts[0].signal, times, np.concatenate([part.values for part in parts]), texts))
