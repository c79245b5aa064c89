"""How long rows are kept: a governance's `days`, in UTC days.

Rules:
* A row expires with its UTC day: on the day after `day + days` all rows of its signal and day go. Only a rule with
  `days` lets rows expire. What no rule keeps any more stays, unless the rule that drops it says `days`: a slip in a
  governance file shall not delete a lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime

from carcloud.safety.governance.policy import Policy

EPOCH = date(1970, 1, 1)

DaysOf = Callable[[str], int | None]
"""Signal → how many days its rows are kept; None: as long as the car is not erased."""


def days_by(policy: Policy) -> DaysOf:
    """Return how long rows of a signal are kept by a governance."""
    known: dict[str, int | None] = {}

    def days_of(path: str) -> int | None:
        if path not in known:
            rule = policy.rule_of(path)
            known[path] = rule.days if rule else None
        return known[path]

    return days_of


def expired(signals: Iterable[str], day: int, days_of: DaysOf, today: int) -> frozenset[str]:
    """Return the signals whose rows of a day have expired. `day`, `today`: UTC days since 1970."""
    return frozenset(path for path in signals if (days := days_of(path)) is not None and day + days < today)


def day_number(day: str) -> int:
    """Return a day, YYYY-MM-DD, as days since 1970."""
    return (date.fromisoformat(day) - EPOCH).days


def day_of(now: datetime) -> int:
    """Return the UTC day of a time as days since 1970."""
    return (now.astimezone(UTC).date() - EPOCH).days
