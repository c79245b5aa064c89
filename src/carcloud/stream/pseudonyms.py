"""The names under which a chunk's rows go on that shall not say whose they are.

Rules:
* A name is on disk in the records before a row bears it; what was once read is remembered for the epoch.
* The epoch is that of the moment in which the broker received the batch: a car cannot choose its name by its clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from carcloud.backends.records import Records
from carcloud.safety.governance.table import Table
from carcloud.stream.intake import Arrival
from carcloud.vehicle.pseudonym import epoch_of

EPOCHS_REMEMBERED = 2
NONE: Sequence[str] = ()


class Pseudonyms:
    """Asks the records for cars' names, where the governance wants any."""

    def __init__(self, records: Records, table: Table) -> None:
        self._records, self._table = records, table
        self._known: dict[str, dict[str, str]] = {}

    async def of(self, arrivals: Sequence[Arrival]) -> Sequence[str]:
        """Return each arrival's name, empty where none of its signals needs one; nothing where no signal ever does.

        Raise TryLaterError while the records are away.
        """
        if not self._table.hides:
            return NONE
        epochs = [self._epoch(arrival) for arrival in arrivals]
        missing: dict[str, dict[str, str]] = {}
        for arrival, epoch in zip(arrivals, epochs, strict=True):
            if epoch and arrival.origin.vehicle not in self._known.get(epoch, {}):
                missing.setdefault(epoch, {})[arrival.origin.vehicle] = arrival.origin.tenant
        for epoch, tenants in sorted(missing.items()):
            found = await asyncio.to_thread(self._records.pseudonyms.of, tenants, epoch)
            self._known.setdefault(epoch, {}).update(found)
        names = [
            self._known[epoch][arrival.origin.vehicle] if epoch else ""
            for arrival, epoch in zip(arrivals, epochs, strict=True)
        ]
        for epoch in list(self._known)[:-EPOCHS_REMEMBERED]:
            del self._known[epoch]
        return names

    def forget(self, vehicle: str) -> None:
        """Forget the names of a car whose data are erased."""
        for names in self._known.values():
            names.pop(vehicle, None)

    def _epoch(self, arrival: Arrival) -> str:
        signals = arrival.signals[arrival.signals >= 0]
        hides = bool(np.any(self._table.pseudonym[signals]))
        return epoch_of(arrival.received_us, self._table.policy.epoch) if hides else ""
