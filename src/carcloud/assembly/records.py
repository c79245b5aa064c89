"""Opening the records as every process of a zone does."""

from __future__ import annotations

from carcloud.assembly.context import Context
from carcloud.backends.records import Records
from carcloud.safety.seal import NameVault
from carcloud.settings import Folder, Settings


def open_records(settings: Settings, folder: Folder) -> Records:
    """Open the zone's records, the names in them sealed under the zone's own key.

    Raises:
        InputError: the settings name no database of ours.
        ConflictError: a newer carcloud wrote the records.
        TryLaterError: the database is locked or away.
    """
    return Records.open(folder.records(settings), NameVault(folder.keys))


def records_of(context: Context) -> Records:
    """Open the records of a process's zone; raise as `open_records`."""
    return open_records(context.settings, context.folder)
