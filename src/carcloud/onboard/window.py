"""What goes on the wire next: the agent's decisions, without clock and without network.

Rules:
* At most 64 batches or 4 MiB are in flight; at most 400 batches a second leave.
* After a reconnect, or after 10 s without progress, everything from the first unacknowledged number is sent again,
  in order (go-back-N). Without progress the patience doubles up to 60 s, so that a dead zone is not flooded.
* An acknowledgement is for every number up to its own. One that is older, repeated or from nowhere changes nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from carcloud.onboard.queue import Numbered

LIMIT_BATCHES = 64
LIMIT_BYTES = 4 * 1024 * 1024
PATIENCE_S = 10.0
LONGEST_PATIENCE_S = 60.0
PACE_PER_S = 400.0
BURST = 64.0


class Window:
    """Batches in flight. `now` is any clock in seconds that does not go back."""

    def __init__(self, in_flight: Iterable[Numbered]) -> None:
        self._batches = deque(in_flight)
        self._bytes = sum(len(batch.payload) for batch in self._batches)
        self._next = 0  # index of the first batch that is not on this connection's wire
        self._connected = False
        self._progress_at = 0.0
        self._patience_s = PATIENCE_S
        self._allowance, self._allowance_at = BURST, 0.0
        self.resent = 0

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def room(self) -> tuple[int, int]:
        """Return how many more batches and bytes may get a number now; none while not connected."""
        if not self._connected or self._next < len(self._batches):
            return 0, 0
        return max(0, LIMIT_BATCHES - len(self._batches)), max(0, LIMIT_BYTES - self._bytes)

    def add(self, batches: Iterable[Numbered]) -> None:
        """Take newly numbered batches in."""
        for batch in batches:
            self._batches.append(batch)
            self._bytes += len(batch.payload)

    def connected(self, now: float) -> None:
        """Note a new connection: all that is unacknowledged is to be sent again."""
        self._connected = True
        self._go_back(now)

    def disconnected(self) -> None:
        """Note that the connection is gone."""
        self._connected = False

    def acknowledge(self, number: int, now: float) -> bool:
        """Forget what is acknowledged; say whether that was news."""
        before = len(self._batches)
        if not before or number > self._batches[-1].number:
            return False
        while self._batches and self._batches[0].number <= number:
            self._bytes -= len(self._batches.popleft().payload)
            self._next = max(0, self._next - 1)
        if len(self._batches) == before:
            return False
        self._progress_at, self._patience_s = now, PATIENCE_S
        return True

    def stalled(self, now: float) -> bool:
        """Say whether patience is over; if so, everything is to be sent again, and the zone greeted anew."""
        if not self._connected or not self._next or now - self._progress_at < self._patience_s:
            return False
        self._patience_s = min(LONGEST_PATIENCE_S, self._patience_s * 2)
        self._go_back(now)
        return True

    def _go_back(self, now: float) -> None:
        self.resent += self._next
        self._next, self._progress_at = 0, now

    def due(self, now: float) -> list[Numbered]:
        """Return the batches to send now; they count as sent."""
        if not self._connected:
            return []
        self._allowance = min(BURST, self._allowance + (now - self._allowance_at) * PACE_PER_S)
        self._allowance_at = now
        end = min(len(self._batches), self._next + int(self._allowance))
        batches = [self._batches[index] for index in range(self._next, end)]
        if batches and not self._next:
            self._progress_at = now  # patience begins when the first of the window leaves
        self._allowance -= len(batches)
        self._next = end
        return batches
