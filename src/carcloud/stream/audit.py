"""The audit log's process: acts that wait in the records and receipts of the governed stream become leaves.

Rules:
* A fold of the stream: its position stands in the records, set with the leaves' index; GOVERNED is kept for it.
* A checkpoint is made at most every second, or as soon as 1,000 leaves wait.
* Chunks that were purged before they came into the log are noted in the log itself, as an act of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from carcloud.backends.nats import Bus
from carcloud.backends.records import Entry, Records
from carcloud.backends.records.audit import FOLD
from carcloud.errors import CarcloudError, ConflictError, InputError, TryLaterError
from carcloud.safety.audit.leaf import chunk_leaf
from carcloud.safety.audit.log import AuditLog
from carcloud.stream.follower import Follower
from carcloud.stream.genuine import FORGED, ForgedError, Verify

log = logging.getLogger(__name__)

RHYTHM_S = 1.0
ALARM_STAYS_S = 3.0
LIMIT_LEAVES = 1000
LIMIT_WAITING = 500
ACTOR = "process:audit"


@dataclass(frozen=True)
class _Gap:
    """Chunks that are gone, first and last."""

    first: int
    last: int


class AuditKeeper:
    """Follows the stream and the records, and writes the log. `alarms` are others of its process.

    `signed(statement, signature)` tells whether the governor's key made the signature.
    """

    def __init__(
        self,
        cloud: Bus,
        records: Records,
        audit: AuditLog,
        alarms: Callable[[], list[dict[str, str]]],
        signed: Verify,
        tenant: str,
    ) -> None:
        self._cloud, self._records, self._log, self._signed, self._tenant = cloud, records, audit, signed, tenant
        self._other_alarms = alarms
        self._alarm: dict[str, str] | None = None
        self._receipts: asyncio.Queue[bytes | _Gap] = asyncio.Queue(LIMIT_WAITING)
        self._gap: _Gap | None = None
        self._follower = Follower(cloud, signed)
        self._waiting = 0

    async def run(self) -> None:
        """Write until cancelled; after any failure see first where the log stands."""
        while True:
            try:
                await asyncio.to_thread(self._log.recover)
                await self._begin()
                await self._write_forever()
            except ConflictError as error:
                self._raise_alarm(FORGED if isinstance(error, ForgedError) else "audit_conflict", error)
            except (TryLaterError, InputError) as error:
                self._raise_alarm("audit_stopped", error)
            await asyncio.sleep(1.0)

    def metrics(self) -> dict[str, Any]:
        """Return how long the log is and what waits, for the bus."""
        alarms = [*([self._alarm] if self._alarm else []), *self._other_alarms()]
        return {"audit": {"leaves": self._log.checkpoint.size, "waiting": self._waiting}, "alarms": alarms}

    async def _begin(self) -> None:
        if self._log.checkpoint.size == 0 and not await asyncio.to_thread(self._records.audit.waiting):
            entry = Entry(ACTOR, "beginLog", "zone", facts={"format": 1}, tenant=self._tenant)
            await asyncio.to_thread(self._records.audit.add, entry)

    async def _write_forever(self) -> None:
        positions = await asyncio.to_thread(self._records.positions)
        self._receipts, self._gap = asyncio.Queue(LIMIT_WAITING), None
        reading = asyncio.create_task(self._read(positions.get((FOLD, 0), 0)))
        started = time.monotonic()
        try:
            while True:
                began = time.monotonic()
                full = await self._write()
                if reading.done():
                    reading.result()
                if began - started > ALARM_STAYS_S:
                    self._alarm = None
                if not full:
                    await asyncio.sleep(max(0.0, began + RHYTHM_S - time.monotonic()))
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError, CarcloudError):
                await reading

    async def _write(self) -> bool:
        """Write what waits; return whether there is more."""
        receipts = await self._taken()
        acts = await asyncio.to_thread(self._records.audit.pending, LIMIT_LEAVES - len(receipts))
        self._waiting = len(acts) + len(receipts)
        if acts or receipts:
            await asyncio.to_thread(self._log.write, acts, receipts)
        else:
            await asyncio.to_thread(self._log.ask_again)
        full, self._waiting = self._waiting == LIMIT_LEAVES, 0
        return full

    async def _taken(self) -> list[bytes]:
        """Take receipts up to a gap; a gap is noted once all before it are in the log."""
        if self._gap is not None:
            entry = Entry(ACTOR, "missChunks", "stream", "failed", facts=asdict(self._gap), tenant=self._tenant)
            await asyncio.to_thread(self._records.audit.skip, self._gap.last, entry)
            self._gap = None
        receipts = list[bytes]()
        while not self._receipts.empty() and len(receipts) < LIMIT_LEAVES // 2:
            item = self._receipts.get_nowait()
            if isinstance(item, _Gap):
                self._gap = item
                break
            receipts.append(item)
        return receipts

    async def _read(self, position: int) -> None:
        """Queue the receipts of chunks behind a position; where some are gone, say so and go on behind them."""
        while True:
            try:
                async for chunk in self._follower.chunks(position):
                    await self._receipts.put(chunk_leaf(chunk.record.receipt, self._tenant))
                    position = chunk.record.number
            except ForgedError:
                raise
            except ConflictError:
                oldest = self._follower.oldest
                if oldest <= position + 1:
                    raise
                log.error("chunks are gone before they came into the audit log", extra={"first": position + 1})
                await self._receipts.put(_Gap(position + 1, oldest - 1))
                position = oldest - 1

    def _raise_alarm(self, code: str, error: CarcloudError) -> None:
        if self._alarm is None or self._alarm["message"] != error.message:
            log.error("the audit log waits", extra={"reason": error.message})
            since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            do = error.do or "Look into the log of the audit process."
            self._alarm = {"code": code, "message": error.message, "do": do, "since": since}
