"""Recordings that are kept no longer: the governance's `days` for `Vehicle.Recording`, from the day they were made.

Rules:
* A recording expires as a whole, with its UTC day, as rows of samples do.
* One that is being imported expires when that is done.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from carcloud.backends.objects import Objects
from carcloud.backends.records import Records
from carcloud.research.forgetting import forget
from carcloud.research.lawful import RECORDING
from carcloud.safety.governance.days import days_by
from carcloud.safety.governance.policy import Policy


def expire(
    records: Records,
    objects: Objects,
    lake: Path,
    scratch: Path,
    policy: Policy,
    actor: str,
    now: datetime,
    patience_s: float,
) -> int:
    """Take out what has expired at a moment; return how many recordings it was. Args as of `forgetting.take_out`."""
    days = days_by(policy)(RECORDING)
    if days is None:
        return 0
    begin = datetime.combine(now.astimezone(UTC), time.min, UTC) - timedelta(days=days)
    old = [one for one in records.recordings.made_before(begin) if one.state != "importing"]
    for one in old:
        forget(records, objects, lake, scratch, one, actor, now, patience_s)
    return len(old)
