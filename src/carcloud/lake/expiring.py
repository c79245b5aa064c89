"""Letting rows expire, once an hour and at the start, beside whoever else replaces files of the lake."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from carcloud.backends.delta import Table
from carcloud.backends.records import Entry, Records
from carcloud.errors import CarcloudError
from carcloud.lake.receipts import Receipts
from carcloud.lake.retention import Pass, Retention
from carcloud.safety.governance.days import DaysOf, day_of, days_by, expired
from carcloud.safety.governance.policy import Policy
from carcloud.stream.receipts import DAY_US

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 3600.0
EXPIRE_AGAIN_S = 5.0
"""After a failure."""


class Expiring:
    """Lets rows expire.

    Args:
        records: where it is noted for the audit log.
        retention: what removes rows.
        governance: returns the one in force.
        opened: opens the lake's table anew.
        replacing: held by whoever replaces files of it.
        patience_s: how long a query may still read a file that was replaced.
        folder: the lake's. partition: the writer's.
    """

    def __init__(
        self,
        records: Records,
        retention: Retention,
        governance: Callable[[], Policy],
        opened: Callable[[], Table],
        replacing: threading.Lock,
        patience_s: float,
        folder: Path,
        partition: int = 0,
    ) -> None:
        self._records, self._retention, self._governance = records, retention, governance
        self._opened, self._replacing, self._patience_s = opened, replacing, patience_s
        self._folder, self._application = folder, f"lake/{partition}"
        self.alarm: dict[str, str] | None = None

    async def run(self) -> None:
        """Let rows expire until cancelled."""
        while True:
            pause_s = EXPIRE_EVERY_S
            try:
                await self.expire(datetime.now(UTC))
                self.alarm = None
            except CarcloudError as error:
                pause_s = EXPIRE_AGAIN_S
                if self.alarm is None:
                    log.warning("expired rows stay for now", extra={"reason": str(error)})
                    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
                    said = {"message": error.message, "do": error.do, "since": since}
                    self.alarm = {"code": "retention_waits"} | said
            await asyncio.sleep(pause_s)

    async def expire(self, now: datetime) -> None:
        """Remove what the governance in force keeps no longer, and note it, once for each tenant that had rows.

        Raises:
            TryLaterError: the signer is away, or the disk is full.
            ConflictError: a file is damaged, the table moved meanwhile, or the governance was changed in secret.
        """
        policy = await asyncio.to_thread(self._governance)
        days_of, today = days_by(policy), day_of(now)
        position, done = await asyncio.to_thread(self._remove, days_of, today)
        if done.steps:
            await asyncio.sleep(self._patience_s)
            await asyncio.to_thread(self._conclude, done, policy.hash)
        await asyncio.to_thread(self._forget_keys, position, days_of, today)

    def _remove(self, days_of: DaysOf, today: int) -> tuple[int, Pass]:
        """Remove what expired; return up to which chunk nothing of it is left, and what was removed."""
        with self._replacing:
            table = self._opened()
            position = table.position(self._application)
            return position, self._retention.expire(table, days_of, today)

    def _forget_keys(self, position: int, days_of: DaysOf, today: int) -> None:
        """Delete the keys of days that expired: then nobody can find by trying what stood in their receipts.

        That only for days before the one in which the lake's last chunk was made: the governor keeps the key of its
        day in mind, and a chunk that the lake has not yet may have rows of it.
        """
        receipt = Receipts(self._folder, {position}).get(position)
        if receipt is not None:
            keys, made = self._records.digest_keys, int(receipt["statement"]["at_us"]) // DAY_US
            old = [about for about in keys.days(made, position) if expired([about[1]], about[2], days_of, today)]
            if old:
                keys.forget(old, position)

    def _conclude(self, done: Pass, policy: str) -> None:
        with self._replacing:
            table = self._opened()
            table.delete([step.file for step in done.steps])
            table.checkpoint()
        noted = {tenant: facts | {"policy": policy} for tenant, facts in done.facts().items()}
        acts = [Entry("process:lake", "expire", "lake", facts=facts, tenant=name) for name, facts in noted.items()]
        self._records.audit.add(*acts)
        self._retention.finish()
        log.info("expired rows left the lake", extra={"facts": noted})
