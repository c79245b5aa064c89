"""Imports what recordings wait."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from carcloud.assembly.bus import open_bus, tell
from carcloud.assembly.context import Context, together
from carcloud.assembly.recordings import desk_of
from carcloud.assembly.records import records_of
from carcloud.backends.records.recordings import Recording
from carcloud.research.imports import Imports


async def run(context: Context) -> None:
    """Import recordings, one after another."""
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
    await together(part.run(), tell(cloud, context.name, lambda: {"imports": {"done": part.done}}))
