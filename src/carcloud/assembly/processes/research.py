"""Imports what recordings wait, lets those go that are kept no longer, and carries errands out."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Sequence

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.recordings import desk_of, expire_recordings
from carcloud.assembly.records import records_of
from carcloud.backends.records.errands import Errand
from carcloud.backends.records.recordings import Recording
from carcloud.errors import ConflictError, TryLaterError
from carcloud.research.errands import Errands
from carcloud.research.imports import Imports

log = logging.getLogger(__name__)

ACTOR = "process:research"
EXPIRE_EVERY_S = 3600.0


async def run(context: Context) -> None:
    """Import recordings, one after another; carry out errands, one after another."""
    cloud, records, folder = await open_bus(context, "cloud"), records_of(context), context.folder

    def command(found: Recording, refusal: str | None) -> Sequence[str]:
        words = [sys.executable, "-m", "carcloud.assembly.importing", str(folder.path), found.tenant, found.id]
        words += [str(context.config)] if context.config else []
        return words if refusal is None else [*words, f"--refuse={refusal}"]

    part = Imports(
        records,
        desk_of(context.settings, folder, records),
        context.settings.research,
        command,
        folder.logs / f"{context.name}-imports.out",
    )

    def errand(found: Errand) -> Sequence[str]:
        words = [sys.executable, "-m", "carcloud.assembly.errand", str(folder.path), found.tenant, found.id]
        return [*words, str(context.config)] if context.config else words

    errands = Errands(records, errand, folder.logs / f"{context.name}-errands.out")

    async def let_expire() -> None:
        while True:
            try:
                gone = await asyncio.to_thread(expire_recordings, context.settings, folder, records, ACTOR)
            except (ConflictError, TryLaterError) as error:
                log.warning("expired recordings stay for now", extra={"reason": str(error)})
            else:
                if gone:
                    log.info("expired recordings left the lake", extra={"recordings": gone})
            await asyncio.sleep(EXPIRE_EVERY_S)

    def told() -> dict[str, dict[str, int]]:
        return {"imports": {"done": part.done}, "errands": {"done": errands.done}}

    await together(part.run(), errands.run(), let_expire(), tell(cloud, context.name, told))
