"""When a platform is tried again: after a minute, three times; then after half an hour, each time.

Source: GB/T 32960.3-2016, 6.3 (platform login), as public implementations cite it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

SOON, LATER = timedelta(minutes=1), timedelta(minutes=30)
TRIES_SOON = 3


class Patience:
    """Counts failures, and says when the next try is due. `next_try` None: at once."""

    def __init__(self) -> None:
        self.failures = 0
        self.next_try: datetime | None = None

    def failed(self, now: datetime) -> None:
        """Take in that a try failed, or that a session ended by itself."""
        self.failures += 1
        self.next_try = now + (SOON if self.failures <= TRIES_SOON else LATER)

    def worked(self) -> None:
        """Take in that the platform let us in."""
        self.failures, self.next_try = 0, None

    def waits_s(self, now: datetime) -> float:
        """Return how long to wait still."""
        return 0.0 if self.next_try is None else max(0.0, (self.next_try - now).total_seconds())
