"""The imports of a zone, one after another, each in a process of its own that can be killed.

Rules:
* What was cut off goes on: an import whose process dies is begun again, also after the zone itself died.
* A process that has more memory or takes longer than an import may is ended, and the recording refused; so is one that
  dies `LIMIT_TRIES` times. The zone and the other recordings are not touched by it.
* What is not possible now (the disk is full, a store is away) is tried again after a while, for ever.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from carcloud.backends.processes import memory_of
from carcloud.backends.records import Records
from carcloud.backends.records.recordings import Recording
from carcloud.errors import TryLaterError
from carcloud.research.recordings import Desk
from carcloud.research.settings import ResearchSettings
from carcloud.research.watching import watched

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.5
WATCH_EVERY_S = 0.1
AGAIN_AFTER_S = 5.0
TIDY_EVERY_S = 3600.0
LIMIT_TRIES = 3
HEADROOM_BYTES = 512 << 20
"""What the process has beside what its import may take: libraries, and code that is compiled."""
TRY_LATER = 75


class Imports:
    """Runs the imports.

    Args:
        command: returns the command that imports a recording; given a reason, that refuses it.
        output: takes what the processes print.
    """

    def __init__(
        self,
        records: Records,
        desk: Desk,
        settings: ResearchSettings,
        command: Callable[[Recording, str | None], Sequence[str]],
        output: Path,
    ) -> None:
        self._records, self._desk, self._settings = records, desk, settings
        self._command, self._output = command, output
        self._tries: Counter[str] = Counter()
        self._tidied = 0.0
        self.done = 0
        self.importing = ""

    async def run(self) -> None:
        """Import what waits, until cancelled."""
        while True:
            try:
                await self._tidy()
                found = await asyncio.to_thread(self._records.recordings.next)
                if found is None:
                    await asyncio.sleep(LOOK_EVERY_S)
                    continue
                await self._import(found)
            except TryLaterError as error:
                log.warning("imports wait", extra={"reason": str(error)})
                await asyncio.sleep(AGAIN_AFTER_S)

    async def _import(self, found: Recording) -> None:
        self.importing = found.id
        try:
            code, why = await self._watched(self._command(found, None))
        finally:
            self.importing = ""
        if code == 0:
            self._tries.pop(found.id, None)
            self.done += 1
        elif code == TRY_LATER:
            await asyncio.sleep(AGAIN_AFTER_S)
        else:
            await self._died(found, code, why)

    async def _died(self, found: Recording, code: int, why: str) -> None:
        log.warning("an import ended", extra={"recording": found.id, "code": code, "why": why})
        self._tries[found.id] += 1
        if not why and self._tries[found.id] < LIMIT_TRIES:
            return
        why = why or self._silent(code)
        await self._watched(self._command(found, why))
        self._tries.pop(found.id, None)

    def _silent(self, code: int) -> str:
        limit = self._settings.import_memory_bytes >> 20
        said = f"Its import ended {LIMIT_TRIES} times without a word (code {code}); see {self._output.name}."
        return f"{said} It may need more memory than {limit} MiB." if code < 0 else said

    async def _watched(self, command: Sequence[str]) -> tuple[int, str]:
        return await watched(command, self._output, self._too_much, WATCH_EVERY_S)

    async def _too_much(self, pid: int, took_s: float) -> str:
        if took_s > self._settings.import_s:
            return f"Its import took longer than {self._settings.import_s:g} s."
        limit = self._settings.import_memory_bytes + HEADROOM_BYTES
        if memory_of(pid) > limit:
            return f"Its import needs more memory than {limit >> 20} MiB."
        return ""

    async def _tidy(self) -> None:
        if self._tidied and time.monotonic() - self._tidied < TIDY_EVERY_S:
            return
        self._tidied = time.monotonic()
        gone = await asyncio.to_thread(self._desk.tidy, "process:research", datetime.now(UTC))
        if gone:
            log.info("uploads that nobody ended were forgotten", extra={"uploads": gone})
