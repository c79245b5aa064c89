"""Letting rows expire, once an hour and at the start, beside whoever else replaces files of the lake."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from carcloud.backends.delta import Table
from carcloud.backends.records import Entry, Records
from carcloud.errors import CarcloudError
from carcloud.lake.retention import Pass, Retention
from carcloud.safety.governance.days import DaysOf, day_of, days_by
from carcloud.safety.governance.policy import Policy

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
    """

    def __init__(
        self,
        records: Records,
        retention: Retention,
        governance: Callable[[], Policy],
        opened: Callable[[], Table],
        replacing: threading.Lock,
        patience_s: float,
    ) -> None:
        self._records, self._retention, self._governance = records, retention, governance
        self._opened, self._replacing, self._patience_s = opened, replacing, patience_s
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
        done = await asyncio.to_thread(self._remove, days_by(policy), day_of(now))
        if done.steps:
            await asyncio.sleep(self._patience_s)
            await asyncio.to_thread(self._conclude, done, policy.hash)

    def _remove(self, days_of: DaysOf, today: int) -> Pass:
        with self._replacing:
            return self._retention.expire(self._opened(), days_of, today)

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
