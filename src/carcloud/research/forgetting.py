"""Forgetting a recording: its rows leave the lake, its bytes the object store, and its records name nobody any more."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from carcloud.backends.objects import Objects
from carcloud.backends.records import Records
from carcloud.backends.records.recordings import Recording
from carcloud.errors import ConflictError
from carcloud.research.store import Store

GOING = "It is being forgotten."


def forget(
    records: Records,
    objects: Objects,
    lake: Path,
    recording: Recording,
    actor: str,
    at: datetime,
    patience_s: float = 0.0,
) -> int:
    """Take out all there is of a recording; return how many rows it had. May be repeated after any failure.

    Args:
        lake: the lake's folder.
        patience_s: how long a query may still read the files of its rows.

    Raises:
        ConflictError: it is being imported, or changed meanwhile.
    """
    if recording.state == "importing":
        raise ConflictError(f"Recording {recording.id} is being imported.", "Wait until it is done.")
    if recording.state in ("uploading", "waiting"):  # from now on nobody imports it
        recording = records.recordings.move(recording, "refused", actor, at, error=GOING)
    rows = Store(lake, recording.tenant).drop([recording.id], patience_s)
    objects.delete(recording.key)
    records.recordings.erase(recording, actor, at)
    return rows
