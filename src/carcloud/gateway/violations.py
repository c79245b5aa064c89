"""Counting what the broker itself refuses: a car that publishes or listens outside its own topics.

The broker drops such a message before any guard sees it and says so only in its log, so the log is read as it grows.

Source: nats-server 2.15, log lines "Publish Violation" and "Subscription Violation".
"""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

_LINE = re.compile(rb'\[ERR\] \S+ - mid:\d+ - "([A-Za-z0-9_-]{1,64})" - (Publish|Subscription) Violation - ')
LIMIT_READ_BYTES = 4 * 1024 * 1024


class Violations:
    """Reads the broker's log from where it stands now; goes on with the new file when the log is turned over."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._file, self._position = self._now()
        self.by_vehicle: Counter[str] = Counter()
        self._rest = b""

    def read(self) -> int:
        """Count what was written since the last call; return all there were."""
        file, size = self._now()
        if file != self._file or size < self._position:
            self._file, self._position, self._rest = file, 0, b""
        if size > self._position:
            with self._log.open("rb") as log:
                log.seek(self._position)
                data = log.read(LIMIT_READ_BYTES)
            self._position += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.by_vehicle.update(match[1].decode() for line in lines if (match := _LINE.search(line)))
        return self.by_vehicle.total()

    def _now(self) -> tuple[int, int]:
        try:
            state = os.stat(self._log)
        except FileNotFoundError:
            return 0, 0
        return state.st_ino, state.st_size
