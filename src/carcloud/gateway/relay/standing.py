"""How a relay stands: up, waiting, ended; when it tries again, and why it has no session.

Rules:
* A login alone mends nothing: failures are over when the platform takes a report, or answers that the line is alive.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carcloud.errors import CarcloudError
from carcloud.safety.flows.flow import Flow
from carcloud.vehicle.gbt32960.patience import Patience

log = logging.getLogger(__name__)


class Standing:
    """Keeps a relay's state. `clock`: as the back-off is counted."""

    def __init__(self, flow: Flow, clock: Callable[[], datetime]) -> None:
        self._flow, self._clock = flow, clock
        self.patience = Patience()
        self.error = ""
        self._state, self._since = "waiting", clock()

    def become(self, state: str) -> None:
        """Take in a state; a try among others is none."""
        if state == "connecting" and self._state == "waiting" and self.patience.failures:
            return
        if state != self._state:
            self._state, self._since = state, self._clock()

    def failed(self, error: CarcloudError) -> None:
        """Take in that there is no session, and why."""
        self.patience.failed(self._clock())
        self.error = error.message
        self.become("waiting")
        log.warning("a relay has no session", extra={"relay": self._flow.name, "reason": error.message})

    def shown(self, counts: dict[str, int], waiting: tuple[int, int | None, int]) -> dict[str, Any]:
        """Return the state as it is shown to people, with what was counted and what waits."""
        number, oldest, _ = waiting
        next_try = self.patience.next_try
        return {
            "state": self._state,
            "since": _text(self._since),
            **counts,
            "waiting": number,
            "oldest_waiting": None if oldest is None else _text(datetime.fromtimestamp(oldest, UTC)),
            "next_try": None if next_try is None or self._state == "up" else _text(next_try),
            "last_error": self.error or None,
        }

    @property
    def alarms(self) -> list[dict[str, str]]:
        """Return an alarm where the platform was not reached for longer than a first few tries."""
        if self._state != "waiting" or self.patience.failures <= 1:
            return []
        message = f"Relay {self._flow.name}: {self.error}"
        do = "What cars report waits for seven days. Check the address, the line and the login."
        return [{"code": "relay_away", "message": message, "do": do, "since": _text(self._since)}]


class FaultError(CarcloudError):
    """A fault of ours. Says where it is and of which kind; not its words, which may hold what a car said."""

    def __init__(self, fault: Exception) -> None:
        trace = fault.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        file = "" if trace is None else Path(trace.tb_frame.f_code.co_filename).name
        where = f"{type(fault).__name__}, {file}:{0 if trace is None else trace.tb_lineno}"
        super().__init__(f"The relay has a fault ({where}).", "Report it.")


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")
