"""What every car's person consented to, as the governor judges by it: read whole at the start, changed by notices."""

from __future__ import annotations

import asyncio
import time

from carcloud.backends.records import Records
from carcloud.safety.governance.table import Table

READ_EVERY_S = 10.0
"""The whole is read again so often, should a notice have been lost."""


class Standing:
    """The consents that stand, as bits of a table's purposes by vehicle."""

    def __init__(self, records: Records, table: Table) -> None:
        self._records, self._table = records, table
        self._read_at, self._reading = 0.0, asyncio.Lock()
        self.bits: dict[str, int] = {}

    async def read(self) -> None:
        """Read all. Raise TryLaterError while the records are away."""
        if self._table.asks:
            async with self._reading:
                found = await asyncio.to_thread(self._records.consents.standing)
                self.bits = {vehicle: self._table.bits(purposes) for vehicle, purposes in found.items()}
        self._read_at = time.monotonic()

    async def refresh(self) -> None:
        """Read all, where that was some time ago."""
        if time.monotonic() - self._read_at > READ_EVERY_S:
            await self.read()

    async def changed(self, _: str, vehicle: bytes) -> None:
        """Take in the change of one car; until it is known, the car consented to nothing."""
        name = vehicle.decode()
        self.bits.pop(name, None)
        async with self._reading:  # an answer from before the change must not come after this one
            self.bits.pop(name, None)
            found = await asyncio.to_thread(self._records.consents.standing, [name])
            if purposes := found.get(name):
                self.bits[name] = self._table.bits(purposes)
