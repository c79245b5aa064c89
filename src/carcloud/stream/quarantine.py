"""Quarantine: what the guards refused, kept encrypted for seven days so that someone can look into it.

Rules:
* The same payload refused twice for the same cause is one entry.
* One car fills no more than its share: beyond `LIMIT_A_MINUTE` entries a minute, its refusals are only counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from carcloud.backends.records import Records
from carcloud.backends.records.tables import QuarantineEntry, quarantine_id
from carcloud.safety.seal import Seals
from carcloud.stream.intake import Refusal
from carcloud.vehicle.batch import Batch, BatchError, IdTable, decode

LIMIT_A_MINUTE = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LIMIT_SHOWN = 200


class Quarantine:
    """Keeps refused payloads in the records, sealed under their tenant's key."""

    def __init__(self, records: Records, seals: Seals) -> None:
        self._records, self._seals = records, seals
        self._minute, self._kept = 0, Counter[str]()

    def keep(self, refusals: Iterable[Refusal]) -> None:
        """Store the refusals' payloads, all at once."""
        self._records.put_quarantine([self._entry(refusal) for refusal in refusals if self._within_share(refusal)])

    def trim(self) -> None:
        """Drop what is older than seven days or beyond the store's size."""
        self._records.trim_quarantine(datetime.now(UTC))

    def payload(self, entry: QuarantineEntry) -> bytes:
        """Return an entry's payload as the car sent it."""
        return self._seals.of(entry.tenant).open(entry.sealed or b"", entry.id)

    def _within_share(self, refusal: Refusal) -> bool:
        minute = refusal.received_us // 60_000_000
        if minute > self._minute:
            self._minute, self._kept = minute, Counter()
        self._kept[refusal.origin.vehicle] += 1
        return self._kept[refusal.origin.vehicle] <= LIMIT_A_MINUTE

    def _entry(self, refusal: Refusal) -> QuarantineEntry:
        name = quarantine_id(refusal.origin.vehicle, refusal.cause, refusal.payload)
        at = EPOCH + timedelta(microseconds=refusal.received_us)
        sealed = self._seals.of(refusal.origin.tenant).seal(refusal.payload, name)
        fields = (refusal.origin.vehicle, refusal.cause, refusal.detail, len(refusal.payload))
        return QuarantineEntry(name, at, *fields, sealed, refusal.origin.tenant)


def read(payload: bytes, records: Records) -> dict[str, Any] | None:
    """Return what a refused payload says, as far as it can be read."""
    try:
        if payload.lstrip()[:1] == b"{":
            return dict(orjson.loads(payload))
        batch = decode(payload)
        known = records.table(batch.table.hex())
        return _batch(batch, IdTable.parse(orjson.loads(known)) if known else None)
    except (BatchError, ValueError):
        return None


def _batch(batch: Batch, table: IdTable | None) -> dict[str, Any]:
    rows: list[list[Any]] = []
    at = 0
    for index, count in zip(batch.signals.tolist(), batch.counts.tolist(), strict=True):
        for row in range(at, min(at + count, LIMIT_SHOWN)):
            time_us = batch.base_us + int(batch.times[row])
            value = float(batch.values[row])
            shown = batch.texts.get(row, value if math.isfinite(value) else None)
            rows.append([_name(index, table), _time(time_us), shown])
        at += count
    return {
        "queue": f"{batch.queue:016x}",
        "number": batch.number,
        "table": batch.table.hex(),
        "samples": len(batch),
        "shown": rows,
    }


def _name(index: int, table: IdTable | None) -> str:
    return table.signals[index][0] if table and index < len(table.signals) else f"#{index}"


def _time(time_us: int) -> str:
    try:
        return (EPOCH + timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return f"{time_us} µs"
