"""Putting together who takes recordings in, and who imports them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from importlib import import_module
from typing import Any, cast

from carcloud.backends.objects import Objects
from carcloud.backends.objects_files import FileObjects
from carcloud.backends.records import Erasure, Records
from carcloud.backends.records.recordings import Recording
from carcloud.errors import InputError, TryLaterError
from carcloud.research.expiring import expired, strays
from carcloud.research.recordings import Desk
from carcloud.safety.grants.grant import Ground, ground_of
from carcloud.settings import Folder, Settings, catalogue_in_force, governance_in_force

QUERY_PATIENCE_S = 1.0
"""How long a query may go on to open files of rows that are forgotten."""


def open_objects(settings: Settings, folder: Folder) -> Objects:
    """Return where the zone keeps objects.

    Raises:
        InputError: the settings name no bucket, or the client for it is not installed.
    """
    if not settings.objects.url:
        return FileObjects(folder.objects)
    try:
        s3 = import_module("carcloud.backends.objects_s3")
    except ModuleNotFoundError:
        raise InputError("S3 needs its client.", "Install it: pip install 'carcloud[s3]'.") from None
    return cast(Objects, s3.S3Objects(settings.objects))


def ground_in_force(settings: Settings, folder: Folder) -> Ground:
    """Return what grants and recordings stand on now."""
    return ground_of(settings.zone, governance_in_force(settings, folder), catalogue_in_force(settings, folder))


def desk_of(settings: Settings, folder: Folder, records: Records) -> Desk:
    """Return where recordings are taken in; raise as `open_objects`."""
    ground = partial(ground_in_force, settings, folder)
    return Desk(records, open_objects(settings, folder), ground, settings.research.recording_bytes)


def forget_recording(settings: Settings, folder: Folder, records: Records, recording: Recording, actor: str) -> int:
    """Take out all there is of a recording; return how many rows it had. Waits for disk."""
    forgetting = import_module("carcloud.research.forgetting")  # what the tables stand on: for this act only
    objects, at = open_objects(settings, folder), datetime.now(UTC)
    where = objects, folder.lake, folder.scratch
    return int(forgetting.forget(records, *where, recording, actor, at, QUERY_PATIENCE_S))


def forget_car(settings: Settings, folder: Folder, erasure: Erasure, patience_s: float) -> dict[str, Any]:
    """Take out all that an erased car recorded; return how much it was, nothing where it recorded nothing.

    Raises:
        TryLaterError: where the recordings lie is away.
    """
    if not erasure.recordings:
        return {}
    try:
        objects = open_objects(settings, folder)
    except InputError as error:
        raise TryLaterError(error.message, error.do) from None
    forgetting = import_module("carcloud.research.forgetting")
    about = erasure.tenant, erasure.recordings
    return {"recordings": forgetting.take_out(objects, folder.lake, folder.scratch, *about, patience_s)}


def expire_recordings(settings: Settings, folder: Folder, records: Records, actor: str) -> int:
    """Take out the recordings that the governance in force keeps no longer, and what is of none; return how many."""
    now = datetime.now(UTC)
    due, unknown = expired(records, governance_in_force(settings, folder), now), strays(records, folder.lake)
    if not due and not unknown:
        return 0
    forgetting = import_module("carcloud.research.forgetting")
    where = open_objects(settings, folder), folder.lake, folder.scratch
    for one in due:
        forgetting.forget(records, *where, one, actor, now, QUERY_PATIENCE_S)
    for tenant, found in unknown.items():
        forgetting.take_out(*where, tenant, found, QUERY_PATIENCE_S)
    return len(due) + sum(map(len, unknown.values()))
