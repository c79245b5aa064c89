"""Times as six bytes: year since 2000, month, day, hour, minute, second, in UTC+8."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.layout import StructureError

AHEAD = timedelta(hours=8)
CHINA = timezone(AHEAD)
TIME_BYTES = 6


def read_time(data: bytes) -> datetime:
    """Return a time of six bytes. Raise StructureError where it is none."""
    try:
        year, month, day, hour, minute, second = data
        if year > 99:
            raise ValueError
        return datetime(2000 + year, month, day, hour, minute, second, 0, UTC) - AHEAD
    except ValueError:
        raise StructureError(f"{data.hex()} is no time") from None


def write_time(at: datetime) -> bytes:
    """Return a time as six bytes, its fraction of a second cut. Raise InputError for one outside 2000 to 2099."""
    local = at.astimezone(CHINA)
    if not 2000 <= local.year < 2100:
        raise InputError(f"{at.isoformat()} cannot be said in six bytes.", "Use a time from 2000 to 2099.")
    return bytes((local.year - 2000, local.month, local.day, local.hour, local.minute, local.second))
