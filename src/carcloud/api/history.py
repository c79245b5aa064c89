"""The last quarter of an hour of the zone, one point a second, in memory."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

POINTS = 15 * 60


@dataclass(frozen=True)
class Point:
    """One second: counters as they stood, delays in seconds."""

    at: datetime
    samples_in: int
    samples_kept: int
    refused: int
    twin_delay_s: float | None
    lake_delay_s: float | None
    lake_rows: int


class History:
    """A ring of the newest points; rates are worked out when read."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=POINTS + 1)

    def record(self, status: Mapping[str, Any]) -> None:
        """Add a point from what `GET /v1/status` shows; a status no newer than the last is passed over."""
        at = datetime.fromisoformat(status["at"])
        if self._points and at <= self._points[-1].at:
            return
        stream, delay = status.get("stream", {}), status.get("delay", {})
        self._points.append(
            Point(
                at,
                stream.get("samples_in", 0),
                stream.get("samples_kept", 0),
                sum(stream.get("refused", {}).values()),
                delay.get("twin_s", {}).get("p50"),
                delay.get("lake_s", {}).get("p50"),
                status.get("lake", {}).get("rows", 0),
            )
        )

    def columns(self) -> dict[str, list[Any]]:
        """Return the points as columns: rates per second, None where a process began anew."""
        points = list(self._points)
        pairs = list(pairwise(points))
        return {
            "at": [now.at for _, now in pairs],
            "samples_in_s": [_rate(then, now, "samples_in") for then, now in pairs],
            "samples_kept_s": [_rate(then, now, "samples_kept") for then, now in pairs],
            "refused_s": [_rate(then, now, "refused") for then, now in pairs],
            "twin_delay_s": [now.twin_delay_s for _, now in pairs],
            "lake_delay_s": [now.lake_delay_s for _, now in pairs],
            "lake_rows": [now.lake_rows for _, now in pairs],
        }


def _rate(then: Point, now: Point, counter: str) -> float | None:
    grown = getattr(now, counter) - getattr(then, counter)
    seconds = (now.at - then.at).total_seconds()
    return grown / seconds if grown >= 0 else None
