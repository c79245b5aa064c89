"""A car that has logged in by GB/T 32960, and what is known of its session."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from carcloud.backends.records.terminals import Terminal
from carcloud.gateway.gbt32960.delivery import Lane
from carcloud.vehicle.gbt32960.frames import Edition, Frame
from carcloud.vehicle.gbt32960.sealing import Keys
from carcloud.vehicle.gbt32960.signature import PublicKey


@dataclass
class Car:
    """One logged-in car. Times are seconds since 1970 UTC.

    `keys` open what it seals, `key` verifies what it signs. `counted`: the faults of its connection. `asked`: what was
    sent down and is not answered yet. `gone`: its session has ended. `heard`: when it spoke last, of a clock that does
    not go back.
    """

    terminal: Terminal
    vin: str
    edition: Edition
    lane: Lane
    since: float
    keys: Keys
    key: PublicKey | None = None
    platform: str | None = None
    gone: bool = False
    heard: float = field(default_factory=time.monotonic)
    frames: int = 0
    last_at: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    asked: dict[int, asyncio.Future[Frame]] = field(default_factory=dict)

    def count(self, cause: str, many: int = 1) -> None:
        """Count faults, of the car and of its connection."""
        self.faults[cause] += many
        self.counted[cause] += many

    @property
    def activated(self) -> bool:
        """Tell whether it has shown a key, now or ever."""
        return self.key is not None or self.terminal.key is not None

    @property
    def vehicle(self) -> str:
        """Return the vehicle's id."""
        return self.terminal.vehicle.id

    @property
    def tenant(self) -> str:
        """Return whose it is."""
        return self.terminal.vehicle.tenant

    def shown(self) -> dict[str, Any]:
        """Return the session as it is shown to people: no VIN."""
        return {
            "vehicle": self.vehicle,
            "label": self.terminal.vehicle.label,
            "edition": self.edition.year,
            "since": self.since,
            "frames": self.frames,
            "last_at": self.last_at or None,
            "faults": sum(self.faults.values()),
            "causes": {str(cause): count for cause, count in self.faults.items()},
            "platform": self.platform,
        }
