"""The keys that the digests in receipts begin with: made for a chunk by the governor, and read by who checks the lake.

Rules:
* The governor remembers the keys of names, and of the day that is now. One of another day it asks for with each chunk,
  since retention may be about to delete it.
* Who checks asks once for each name and each day of a tenant. Where there is no key a random one stands for it, so that
  nothing is what was signed; it is counted in `missing`.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa

from carcloud.backends.records import Records
from carcloud.backends.records.digest_keys import KEY_BYTES, Day
from carcloud.stream.receipts import DAY_US, starts

LIMIT_NAMES = 200_000


class ChunkKeys:
    """The keys of one chunk."""

    def __init__(self, cars: Mapping[str, bytes], days: Mapping[Day, bytes]) -> None:
        self._cars, self._days = cars, days

    def car(self, name: str) -> bytes:
        """Return the key of a car's name."""
        return self._cars[name]

    def day(self, tenant: str, path: str, day: int) -> bytes:
        """Return the key of a signal's day."""
        return self._days[tenant, path, day]


class MakingKeys:
    """Asks the records for the keys of chunks, which are made there."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._cars: dict[str, bytes] = {}
        self._days: dict[Day, bytes] = {}
        self._today = 0

    async def of(
        self, rows: pa.RecordBatch, tenants: Mapping[str, Iterable[str]], number: int, at_us: int
    ) -> ChunkKeys:
        """Return the keys that the receipt of a chunk needs; raise TryLaterError while the records are away."""
        names, days = needed(rows, tenants)
        if at_us // DAY_US != self._today or len(self._cars) > LIMIT_NAMES:
            self._today, self._cars, self._days = at_us // DAY_US, {}, {}
        new = [name for name in names if name not in self._cars], [day for day in days if day not in self._days]
        if any(new):
            cars, asked = await asyncio.to_thread(self._records.digest_keys.made, *new, number)
            self._cars |= cars
            self._days |= {day: key for day, key in asked.items() if day[2] == self._today}
            return ChunkKeys(dict(self._cars), {**self._days, **asked})
        return ChunkKeys(self._cars, self._days)

    def forget(self, names: Iterable[str]) -> None:
        """Forget the keys of a car whose data are erased."""
        for name in names:
            self._cars.pop(name, None)


class StoredKeys:
    """The keys that the records have, for who checks the lake or lets rows leave it. `missing`: how many were not."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._cars: dict[str, bytes] = {}
        self._days: dict[Day, bytes] = {}
        self.missing = 0

    def car(self, name: str) -> bytes:
        """Return the key of a car's name."""
        if name not in self._cars:
            if len(self._cars) >= LIMIT_NAMES:
                self._cars.clear()
            self._cars[name] = self._records.digest_keys.cars([name]).get(name) or self._none()
        return self._cars[name]

    def day(self, tenant: str, path: str, day: int) -> bytes:
        """Return the key of a signal's day."""
        if (tenant, path, day) not in self._days:
            if len(self._days) >= LIMIT_NAMES:
                self._days.clear()
            self._days |= self._records.digest_keys.day(tenant, day)
            if (tenant, path, day) not in self._days:
                self._days[tenant, path, day] = self._none()
        return self._days[tenant, path, day]

    def _none(self) -> bytes:
        self.missing += 1
        return secrets.token_bytes(KEY_BYTES)


def needed(rows: pa.RecordBatch, tenants: Mapping[str, Iterable[str]]) -> tuple[list[str], set[Day]]:
    """Return of which names and days a chunk's receipt needs the keys."""
    if not rows.num_rows:
        return [], set()
    vehicle, signal = rows["vehicle"].indices.to_numpy(), rows["signal"].indices.to_numpy()
    time_us = rows["time"].cast(pa.int64()).to_numpy()
    one_day = time_us.min() // DAY_US == time_us.max() // DAY_US
    first = starts(vehicle, signal) if one_day else starts(vehicle, signal, time_us // DAY_US)
    names, paths = rows["vehicle"].dictionary.to_pylist(), rows["signal"].dictionary.to_pylist()
    tenant_of = {name: tenant for tenant, cars in tenants.items() for name in cars}
    known = sorted(tenants)
    place = np.array([known.index(tenant_of[name]) for name in names])[vehicle[first]] * len(paths) + signal[first]
    every = np.unique(np.stack([place, time_us[first] // DAY_US]), axis=1) if not one_day else None
    if every is None:
        several = np.unique(place)
        every = np.stack([several, np.full(len(several), time_us[0] // DAY_US)])
    found = {
        (known[at // len(paths)], paths[at % len(paths)], day)
        for at, day in zip(*(column.tolist() for column in every), strict=True)
    }
    return [names[car] for car in np.unique(vehicle).tolist()], found
