"""How far a fold is behind the broker: delays of the last minute, told as median and 99th percentile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

WINDOW_S = 60.0
LIMIT_KEPT = 2000


class Delays:
    """The newest delays of one fold, from the broker's receipt of a batch to where it can be read."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, float]] = deque(maxlen=LIMIT_KEPT)

    def note(self, received_us: Iterable[int], now_us: int | None = None) -> None:
        """Note that what the broker received at these moments (µs since 1970 UTC; 0: nothing) can be read now."""
        now_us = time.time_ns() // 1000 if now_us is None else now_us
        self._kept.extend((now_us / 1e6, (now_us - at_us) / 1e6) for at_us in received_us if at_us)

    def spread(self, now_us: int | None = None) -> dict[str, float | None]:
        """Return p50 and p99 of the last minute in seconds; None where nothing came."""
        now_s = (time.time_ns() // 1000 if now_us is None else now_us) / 1e6
        recent = sorted(delay for at, delay in self._kept if now_s - WINDOW_S < at <= now_s)
        parts = (("p50", 0.5), ("p99", 0.99))
        return {name: recent[int(len(recent) * part)] if recent else None for name, part in parts}
