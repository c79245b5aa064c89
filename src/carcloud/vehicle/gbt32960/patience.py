"""When a platform is tried again: after a minute, three times; then after half an hour, each time.

Rules:
* A clock that is set back makes nobody wait for longer than half an hour.

Source: GB/T 32960.3-2016, 6.3 and 6.4 (logins), as public implementations cite them.
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

    def failed(self, now: datetime, *, soon: bool = True) -> None:
        """Take in that a try failed, or that a session ended by itself; `soon` False: trying soon is no use."""
        self.failures += 1
        self.next_try = now + (SOON if soon and self.failures <= TRIES_SOON else LATER)

    def worked(self) -> None:
        """Take in that the platform answers as it should."""
        self.failures, self.next_try = 0, None

    def waits_s(self, now: datetime) -> float:
        """Return how long to wait still."""
        if self.next_try is None:
            return 0.0
        self.next_try = min(self.next_try, now + LATER)
        return max(0.0, (self.next_try - now).total_seconds())
