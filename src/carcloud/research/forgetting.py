"""Forgetting recordings: their rows leave the lake, their bytes the object store, and their records name
nobody any more.

Rules:
* What a planner did in their scenarios goes with them. The rows go last: they say which scenarios those were.
* An import that is under way brings nothing any more: the store remembers what left it.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from carcloud.backends.objects import Objects
from carcloud.backends.records import Records
from carcloud.backends.records.recordings import Recording, key_of
from carcloud.errors import ConflictError
from carcloud.research.runs import results
from carcloud.research.store import Store

GOING = "It is being forgotten."


def forget(
    records: Records,
    objects: Objects,
    lake: Path,
    scratch: Path,
    recording: Recording,
    actor: str,
    at: datetime,
    patience_s: float = 0.0,
) -> int:
    """Take out all there is of a recording; return how many rows it had. May be repeated after any failure.

    Args:
        lake, scratch, patience_s: as in `take_out`.

    Raises:
        ConflictError: it is being imported, or changed meanwhile.
    """
    if recording.state == "importing":
        raise ConflictError(f"Recording {recording.id} is being imported.", "Wait until it is done.")
    if recording.state in ("uploading", "waiting"):  # from now on nobody imports it
        recording = records.recordings.move(recording, "refused", actor, at, error=GOING)
    gone = take_out(objects, lake, scratch, recording.tenant, [recording.id], patience_s)
    records.recordings.erase(recording, actor, at)
    return gone["rows"]


def take_out(
    objects: Objects, lake: Path, scratch: Path, tenant: str, recordings: Collection[str], patience_s: float
) -> dict[str, int]:
    """Take what recordings brought out of lake, runs and object store; may be repeated after any failure.

    Args:
        lake: the lake's folder. scratch: where imports lay files out.
        patience_s: how long a query may still read the files of their rows.

    Returns:
        How many recordings, rows of their tables, and rows of results in runs; of the last only those of this time.
    """
    store, wanted = Store(lake, tenant), frozenset(recordings)
    ids = [row.id for row in store.scenarios() if row.recording in wanted]
    left = results.forget(lake, tenant, ids)
    for id_ in wanted:
        objects.delete(key_of(tenant, id_))
        shutil.rmtree(scratch / id_, ignore_errors=True)
    return {"recordings": len(wanted), "rows": store.drop(wanted, patience_s), "results": left}
