"""What every car's person consented to, as the governor judges by it: read whole at the start, changed by notices.

Rules:
* A consent counts while it holds: in its time, and while the governance says of its purpose what it said when it was
  given. One that ends by itself ends here by the clock, without anybody telling.
* One whose record cannot be read counts for nothing; an alarm says so, and the others count.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from carcloud.backends.records import Held, Records
from carcloud.safety.governance.table import Table
from carcloud.safety.grants.grant import ZONE, Ground, consents
from carcloud.safety.grants.reach import next_change

READ_EVERY_S = 10.0
"""The whole is read again so often, should a notice have been lost."""


def _now() -> datetime:
    return datetime.now(UTC)


class Standing:
    """The consents that stand, as bits of a table's purposes by vehicle."""

    def __init__(self, records: Records, table: Table, ground: Ground, clock: Callable[[], datetime] = _now) -> None:
        self._records, self._table, self._ground, self._clock = records, table, ground, clock
        self._read_at, self._reading = 0.0, asyncio.Lock()
        self._held: dict[str, list[Held]] = {}
        self._bits: dict[str, int] = {}
        self._change: datetime | None = None
        self.alarms: list[dict[str, str]] = []

    def now(self) -> Mapping[str, int]:
        """Return what stands at this moment: vehicle → bits of its purposes."""
        at = self._clock()
        if self._change is not None and at >= self._change:
            self._work_out(at)
        return self._bits

    async def read(self) -> None:
        """Read all. Raise TryLaterError while the records are away."""
        if self._table.asks:
            async with self._reading:
                unread: list[str] = []
                held = await asyncio.to_thread(self._records.grants.held, self._clock(), [ZONE], unread=unread)
                self._tell(unread)
                self._held, self._bits, self._change = {}, {}, None
                self._take(held)
        self._read_at = time.monotonic()

    async def refresh(self) -> None:
        """Read all, where that was some time ago."""
        if time.monotonic() - self._read_at > READ_EVERY_S:
            await self.read()

    async def changed(self, _: str, vehicle: bytes) -> None:
        """Take in the change of one car; until it is known, the car consented to nothing."""
        name = vehicle.decode()
        self.forget(name)
        if self._table.asks:
            async with self._reading:  # an answer from before the change must not come after this one
                self.forget(name)
                self._take(await asyncio.to_thread(self._records.grants.held, self._clock(), [ZONE], [name]))

    def forget(self, vehicle: str) -> None:
        """Count a car as one that consented to nothing."""
        self._held.pop(vehicle, None)
        self._bits.pop(vehicle, None)

    def _tell(self, unread: list[str]) -> None:
        """Raise the alarm of consents that cannot be read, or end it."""
        if not unread:
            self.alarms = []
        elif not self.alarms:
            message = f"{len(unread)} consents cannot be read, and count for nothing: {', '.join(sorted(unread)[:8])}."
            do = "Revoke them with `carcloud grant revoke`, or restore the records from a backup."
            self.alarms = [{"code": "consents_unread", "message": message, "do": do, "since": _now().isoformat()}]

    def _take(self, held: list[Held]) -> None:
        for one in held:
            self._held.setdefault(one.grant.vehicle, []).append(one)
        at = self._clock()
        self._bits |= self._bits_of(held, at)
        edges = [edge for edge in (self._change, next_change(held, at)) if edge is not None]
        self._change = min(edges, default=None)

    def _work_out(self, at: datetime) -> None:
        every = [one for held in self._held.values() for one in held]
        self._bits, self._change = self._bits_of(every, at), next_change(every, at)

    def _bits_of(self, held: list[Held], at: datetime) -> dict[str, int]:
        return {car: self._table.bits(purposes) for car, purposes in consents(held, self._ground, at).items()}
