"""What the twin says. Times are integer microseconds since 1970 UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Last:
    """The newest accepted value of one signal of one car; numbers, booleans, texts and arrays as themselves."""

    value: float | int | bool | str | list[Any]
    time_us: int
    provenance: str


@dataclass(frozen=True)
class Presence:
    """What the twin knows of a car as a whole.

    `clock_offset_s`: the newest sample's time minus the broker's when it came, so about the car's clock minus ours,
    less the age of the batch; None for a recording.
    """

    last_seen_us: int | None = None
    signals: int = 0
    provenance: str | None = None
    clock_offset_s: float | None = None


@dataclass(frozen=True)
class Change:
    """New values of one car, by path."""

    vehicle: str
    signals: Mapping[str, Last]
