"""Quarantine: what the guards refused, kept encrypted for seven days so that someone can look into it.

Rules:
* The same payload refused twice for the same cause is one entry.
* One car fills no more than its share: beyond `LIMIT_A_MINUTE` entries a minute, its refusals are only counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from carcloud.backends.records import Records
from carcloud.backends.records_tables import QuarantineEntry, quarantine_id
from carcloud.safety.seal import Seal
from carcloud.stream.intake import Refusal
from carcloud.vehicle.batch import Batch, BatchError, JsonBatch, decode, decode_json

LIMIT_A_MINUTE = 64
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHOWN_ROWS = 100


class Quarantine:
    """Keeps refused payloads in the records, sealed under the zone's key."""

    def __init__(self, records: Records, seal: Seal) -> None:
        self._records, self._seal = records, seal
        self._minute, self._kept = 0, Counter[str]()

    def keep(self, refusals: Iterable[Refusal]) -> None:
        """Store the refusals' payloads, all at once."""
        self._records.put_quarantine([self._entry(refusal) for refusal in refusals if self._within_share(refusal)])

    def trim(self) -> None:
        """Drop what is older than seven days or beyond the store's size."""
        self._records.trim_quarantine(datetime.now(UTC))

    def payload(self, entry: QuarantineEntry) -> bytes:
        """Return an entry's payload as the car sent it."""
        return self._seal.open(entry.sealed or b"", entry.id)

    def _within_share(self, refusal: Refusal) -> bool:
        minute = refusal.received_us // 60_000_000
        if minute > self._minute:
            self._minute, self._kept = minute, Counter()
        self._kept[refusal.origin.vehicle] += 1
        return self._kept[refusal.origin.vehicle] <= LIMIT_A_MINUTE

    def _entry(self, refusal: Refusal) -> QuarantineEntry:
        name = quarantine_id(refusal.origin.vehicle, refusal.cause, refusal.payload)
        at = EPOCH + timedelta(microseconds=refusal.received_us)
        sealed = self._seal.seal(refusal.payload, name)
        fields = (refusal.origin.vehicle, refusal.cause, refusal.detail, len(refusal.payload))
        return QuarantineEntry(name, at, *fields, sealed)


def readable(payload: bytes) -> dict[str, Any] | None:
    """Return what can be read of a refused payload, None where nothing can."""
    try:
        batch = decode_json(payload) if payload[:1] == b"{" else decode(payload)
    except BatchError:
        return None
    return _json_rows(batch) if isinstance(batch, JsonBatch) else _column_rows(batch)


def _json_rows(batch: JsonBatch) -> dict[str, Any]:
    rows = [[sample.signal, sample.time_us, sample.value] for sample in batch.samples[:SHOWN_ROWS]]
    return _shown("json", batch, len(batch.samples), rows)


def _column_rows(batch: Batch) -> dict[str, Any]:
    signals = batch.signals.repeat(batch.counts)[:SHOWN_ROWS].tolist()
    times, values = batch.times[:SHOWN_ROWS].tolist(), batch.values[:SHOWN_ROWS].tolist()
    rows = [
        [signal, batch.base_us + time, batch.texts.get(row, value if value == value else None)]
        for row, (signal, time, value) in enumerate(zip(signals, times, values, strict=True))
    ]
    return _shown("columns", batch, len(batch), rows) | {"table": batch.table.hex()}


def _shown(codec: str, batch: Batch | JsonBatch, samples: int, rows: list[list[Any]]) -> dict[str, Any]:
    header = {"codec": codec, "queue": f"{batch.queue:016x}", "number": batch.number}
    return header | {"provenance": batch.provenance.name.lower(), "samples": samples, "rows": rows}
