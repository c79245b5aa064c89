"""Imports one recording, in a process of its own: `python -m carcloud.assembly.importing DATA TENANT ID [CONFIG]`.

- The kernel bounds its memory (Linux): what is too much fails inside the import, and the recording is refused.
- It ends with 0 when the recording is done, imported or refused; with TRY_LATER when it waits on.
- With `--refuse REASON` it refuses the recording whose import was ended from outside.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from functools import partial
from pathlib import Path

import pyarrow as pa

from carcloud.assembly.recordings import ground_in_force, open_objects
from carcloud.assembly.records import open_records
from carcloud.backends.processes import bound_memory
from carcloud.backends.records import Records
from carcloud.errors import ConflictError, MissingError, TryLaterError
from carcloud.research.adapters.adapter import readers
from carcloud.research.importing import Importer
from carcloud.settings import Folder, Settings, settings_of

TRY_LATER = 75
"""EX_TEMPFAIL of sysexits.h."""

NICENESS = 5
"""Imports give way to what comes in."""

ACTOR = "process:research"


def importer_of(settings: Settings, folder: Folder, records: Records, actor: str) -> Importer:
    """Return who imports in this process."""
    return Importer(
        records,
        open_objects(settings, folder),
        folder.lake,
        folder.scratch,
        partial(ground_in_force, settings, folder),
        actor,
    )


def run(settings: Settings, folder: Folder, tenant: str, recording: str, refusal: str | None) -> int:
    """Import a recording, or refuse it; return the exit code."""
    try:
        with contextlib.closing(open_records(settings, folder)) as records:
            importer = importer_of(settings, folder, records, ACTOR)
            if refusal is not None:
                importer.refuse(tenant, recording, refusal)
            else:
                readers()  # what they stand on is there before memory is bounded
                bound_memory(settings.research.import_memory_bytes)
                importer.run(tenant, recording)
    except TryLaterError as error:
        print(error, file=sys.stderr)
        return TRY_LATER
    except (ConflictError, MissingError) as error:  # somebody else moved or erased it
        print(error, file=sys.stderr)
    return 0


if __name__ == "__main__":
    pa.set_memory_pool(pa.system_memory_pool())  # the other one maps a GiB at once
    os.nice(NICENESS)
    given = argparse.ArgumentParser()
    for name in ("data", "tenant", "recording"):
        given.add_argument(name)
    given.add_argument("config", nargs="?")
    given.add_argument("--refuse")
    said = given.parse_args()
    where = Folder(Path(said.data))
    found = settings_of(Path(said.config) if said.config else None, where)
    sys.exit(run(found, where, said.tenant, said.recording, said.refuse))
