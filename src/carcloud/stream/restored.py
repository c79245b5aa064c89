"""What a restore means for queues: a car may have been told of numbers that the restored zone never had.

Rules:
* A car says in its hello up to which number the zone acknowledged. In a zone that was restored, and there alone, a
  queue whose mark is behind that goes on from there, once: what lies between is counted as lost, noted for the audit
  log before the mark moves, and said in an alarm. The car has deleted it and could only wait for ever.
* A queue that has moved since the restore is never moved so again, whatever its car says. So in normal life no hello
  can pass over a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from carcloud.backends.records import Entry
from carcloud.stream.chunk import Record
from carcloud.stream.marks import Marks
from carcloud.stream.subjects import Origin

KEY = "restored"
"""Under which the records know of the last restore: from which backup, at which chunk, and when."""

ALARM = "lost_after_restore"
ALARM_STAYS = timedelta(days=7)


@dataclass(frozen=True)
class Lost:
    """Numbers of a queue that were acknowledged before the restore and are gone: how many."""

    origin: Origin
    queue: int
    numbers: int

    def entry(self) -> Entry:
        """Return what is noted of it."""
        facts = {"queue": f"{self.queue:016x}", "numbers": self.numbers}
        object_, tenant = f"vehicle:{self.origin.vehicle}", self.origin.tenant
        return Entry("process:governor", "loseBatches", object_, "failed", facts=facts, tenant=tenant)


class Restored:
    """The last restore of a zone; none, where it never was. `said`: what the records know; `dumped`: by `dump`."""

    def __init__(self, said: str | None = None, dumped: Mapping[str, Any] | None = None) -> None:
        about = orjson.loads(said) if said else {}
        self.backup, self._chunk = str(about.get("backup", "")), int(about.get("chunk", 0))
        self._at = datetime.fromisoformat(about["at"]) if about else None
        mine = dumped if dumped and self._at and dumped["at"] == self._at.isoformat() else {"moved": []}
        self._moved = {(vehicle, int(queue, 16)) for vehicle, queue in mine["moved"]}

    def lost(self, marks: Marks, sender: Origin, queue: int, acked: int) -> Lost | None:
        """Return what is lost of a queue whose car was told of numbers up to `acked`; None where nothing is."""
        behind = acked - marks.mark(sender.vehicle, queue)
        if self._at is None or behind <= 0 or (sender.vehicle, queue) in self._moved:
            return None
        return Lost(sender, queue, behind)

    def moved(self, vehicle: str, queue: int) -> None:
        """Note that a queue moves in the restored zone."""
        if self._at is not None:
            self._moved.add((vehicle, queue))

    def fold(self, record: Record) -> None:
        """Note which queues a chunk has moved, unless it comes from the backup."""
        if record.number > self._chunk:
            for vehicle, queue, _ in record.marks:
                self.moved(vehicle, int(queue, 16))

    def forget(self, vehicle: str) -> None:
        """Drop what is known of a car whose data are erased."""
        self._moved = {key for key in self._moved if key[0] != vehicle}

    def dump(self) -> dict[str, Any] | None:
        """Return what is to be kept, ready for JSON."""
        if self._at is None:
            return None
        return {"at": self._at.isoformat(), "moved": [[vehicle, f"{queue:016x}"] for vehicle, queue in self._moved]}

    def alarm(self, numbers: int) -> tuple[str, str] | None:
        """Return what to say and what to do of so many lost batches, for a while after the restore."""
        if not numbers or self._at is None or datetime.now(UTC) - self._at > ALARM_STAYS:
            return None
        message = f"Gone with the restore of {self.backup}: {numbers} batches that cars were told were stored."
        return message, "Which cars' they were: carcloud audit --action loseBatches. The alarm goes after 7 days."
