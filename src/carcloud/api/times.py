"""Times as the API writes them: RFC 3339, UTC, with Z."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer


def now() -> datetime:
    """Return this moment."""
    return datetime.now(UTC)


def from_us(time_us: int) -> datetime:
    """Return the moment that many microseconds after 1970 UTC."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(microsecond=time_us % 1_000_000)


def text(at: datetime) -> str:
    """Write a moment."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


Time = Annotated[datetime, AfterValidator(lambda at: at.astimezone(UTC)), PlainSerializer(text, return_type=str)]
