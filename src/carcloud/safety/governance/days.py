"""How long rows are kept: a governance's `days`, in UTC days.

Rules:
* A row expires with its UTC day: on the day after `day + days` all rows of its signal and day go. Only a rule with
  `days` lets rows expire. What no rule keeps any more stays, unless the rule that drops it says `days`: a slip in a
  governance file shall not delete a lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from carcloud.safety.governance.policy import Policy

EPOCH = date(1970, 1, 1)

COUNTS = "SELECT signal, day, count(*)::BIGINT AS rows FROM samples GROUP BY signal, day"
"""What to ask the lake for `kept_by_signal`."""

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


@dataclass(frozen=True)
class Kept:
    """What is kept of one signal. `kind`: the class its rule gives it, "" where none names it.

    days: how long rows are kept, None: until the car is erased. oldest: the oldest UTC day there are rows of.
    next: the day on which the oldest go, None where they do not. due: rows that have expired and are still there.
    """

    signal: str
    kind: str
    days: int | None
    rows: int
    oldest: date
    next: date | None
    due: int


def kept_by_signal(policy: Policy, counts: Iterable[tuple[str, str, int]], today: int) -> list[Kept]:
    """Return what is kept of each signal, in the order of their names.

    Args:
        policy: the governance in force.
        counts: signal, day as YYYY-MM-DD, and how many rows there are.
        today: the UTC day as days since 1970.
    """
    by_signal: dict[str, dict[int, int]] = {}
    for signal, day, rows in counts:
        by_signal.setdefault(signal, {})[day_number(day)] = rows
    found = []
    for signal, by_day in sorted(by_signal.items()):
        rule, oldest = policy.rule_of(signal), min(by_day)
        days = rule.days if rule else None
        due = 0 if days is None else sum(rows for day, rows in by_day.items() if day + days < today)
        then = None if days is None else EPOCH + timedelta(oldest + days + 1)
        about = (rule.kind if rule else "", days, sum(by_day.values()), EPOCH + timedelta(oldest), then, due)
        found.append(Kept(signal, *about))
    return found
