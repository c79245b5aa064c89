"""The errands of a zone, one after another, each in a process of its own that can be killed.

Rules:
* What was cut off goes on, also after the zone itself died: a run drives only what is missing of it.
* An errand that is stopped, or takes longer than one may, is ended; one whose process dies `LIMIT_TRIES` times failed.
* What is not possible now (a store or the signer is away) is tried again after a while.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from carcloud.backends.records import Records
from carcloud.backends.records.errands import OPEN, Errand
from carcloud.errors import MissingError, TryLaterError
from carcloud.research.watching import watched

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
WATCH_EVERY_S = 0.5
AGAIN_AFTER_S = 5.0
LIMIT_TRIES = 3
LIMIT_S = 6 * 3600.0
"""How long one errand may take."""
TRY_LATER = 75
STOPPED = "It was stopped."


class Errands:
    """Carries errands out.

    Args:
        command: returns the command that carries an errand out. output: takes what the processes print.
    """

    def __init__(self, records: Records, command: Callable[[Errand], Sequence[str]], output: Path) -> None:
        self._records, self._command, self._output = records, command, output
        self._tries: Counter[str] = Counter()
        self.done = 0

    async def run(self) -> None:
        """Carry out what waits, until cancelled."""
        while True:
            try:
                found = await asyncio.to_thread(self._records.errands.next)
                if found is None:
                    await asyncio.sleep(LOOK_EVERY_S)
                else:
                    await self._carry_out(found)
            except TryLaterError as error:
                log.warning("errands wait", extra={"reason": str(error)})
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _carry_out(self, found: Errand) -> None:
        async def why(_: int, took_s: float) -> str:
            if took_s > LIMIT_S:
                return f"It took longer than {LIMIT_S / 3600:g} hours."
            return STOPPED if not await asyncio.to_thread(self._is_open, found) else ""

        code, ended = await watched(self._command(found), self._output, why, WATCH_EVERY_S)
        if code == 0:
            self._tries.pop(found.id, None)
            self.done += 1
        elif code == TRY_LATER:
            await asyncio.sleep(AGAIN_AFTER_S)
        elif ended != STOPPED:
            await self._died(found, code, ended)

    async def _died(self, found: Errand, code: int, why: str) -> None:
        log.warning("an errand ended", extra={"errand": found.id, "code": code, "why": why})
        self._tries[found.id] += 1
        if why or self._tries[found.id] >= LIMIT_TRIES:
            told = why or f"It ended {LIMIT_TRIES} times without a word (code {code}); see {self._output.name}."
            await asyncio.to_thread(self._records.errands.move, found, "failed", datetime.now(UTC), error=told)
            self._tries.pop(found.id, None)

    def _is_open(self, found: Errand) -> bool:
        try:
            return self._records.errands.get(found.tenant, found.id).state in OPEN
        except MissingError:
            return False
        except TryLaterError:  # the records are away: it goes on
            return True
