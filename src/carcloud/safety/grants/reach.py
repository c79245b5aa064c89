"""What a caller reaches: compiled from grants, and asked by query, twin, live stream and order alike.

Rules:
* A part is what one grant opens of one car: signals, times, how exactly, commands. A value is in reach while one part
  holds it; where several do, the most exact one counts.
* No list of parts is no limit within the tenant; an empty one reaches nothing.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """What one grant opens of one car. Times are microseconds since 1970 UTC; None is without an end.

    paths: globs of signals. commands: what the car may be told.
    """

    vehicle: str
    paths: tuple[str, ...]
    commands: frozenset[str] = frozenset()
    from_us: int | None = None
    until_us: int | None = None


@dataclass(frozen=True)
class Reach:
    """What a caller may see and do of a tenant's cars; parts None: all of them."""

    tenant: str
    parts: tuple[Part, ...] | None = None
