"""Recordings that are kept no longer: the governance's `days` for `Vehicle.Recording`, from the day they were made.

Rules:
* A recording expires as a whole, with its UTC day, as rows of samples do. One that is being imported expires when that
  is done.
* What the tables hold of a recording that the records do not know goes too: else no erasure would reach it. A restored
  zone may have such, of an import that was done while the backup was taken.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from carcloud.backends.records import Records
from carcloud.backends.records.recordings import Recording
from carcloud.lake.recorded import FOLDER
from carcloud.research.lawful import RECORDING
from carcloud.safety.governance.days import days_by
from carcloud.safety.governance.policy import Policy


def expired(records: Records, policy: Policy, now: datetime) -> list[Recording]:
    """Return the recordings that have expired at a moment, the oldest first."""
    days = days_by(policy)(RECORDING)
    if days is None:
        return []
    begin = datetime.combine(now.astimezone(UTC), time.min, UTC) - timedelta(days=days)
    return [one for one in records.recordings.made_before(begin) if one.state != "importing"]


def strays(records: Records, lake: Path) -> Mapping[str, frozenset[str]]:
    """Return the recordings that have files in the tables and are none of the records', by tenant."""
    there: dict[str, set[str]] = {}
    for folder in (lake / FOLDER).glob("*/tenant=*/recording=*"):  # looked at first: the records know of one before
        if any(folder.iterdir()):
            tenant, recording = (part.partition("=")[2] for part in folder.parts[-2:])
            there.setdefault(tenant, set()).add(recording)
    unknown = {tenant: frozenset(found) - records.recordings.ids(tenant) for tenant, found in there.items()}
    return {tenant: found for tenant, found in unknown.items() if found}
