"""Refusals, noted for the audit log: each one, until there are so many that they are noise.

Rules:
* Of one actor at most 30 a minute are written, of all together 300; the next one that is written says how many were
  left out. So nobody can fill the disk with what they may not do.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from carcloud.backends.records import Entry, Records

MINUTE_S = 60.0
OF_ONE, OF_ALL = 30, 300


class Denials:
    """Notes refusals, a bounded number a minute."""

    def __init__(self, records: Records, clock: Callable[[], float] = time.monotonic) -> None:
        self._records, self._clock = records, clock
        self._lock = threading.Lock()
        self._minute, self._written, self._left_out = clock(), Counter[str](), 0

    def note(self, entry: Entry) -> None:
        """Note a refusal, or count it where there are too many."""
        with self._lock:
            now = self._clock()
            if now - self._minute >= MINUTE_S:
                self._minute, self._written = now, Counter()
            if self._written[entry.actor] >= OF_ONE or self._written.total() >= OF_ALL:
                self._left_out += 1
                return
            self._written[entry.actor] += 1
            left_out, self._left_out = self._left_out, 0
        if left_out:
            entry = replace(entry, facts={**entry.facts, "left_out_before": left_out})
        self._records.audit.add(entry)
