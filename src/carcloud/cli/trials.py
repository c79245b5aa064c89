"""What a dry run found, for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from carcloud.lake.tally import PlanTried, Result

LIMIT_LINES = 50
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def lines_of(result: Result) -> Iterator[str]:
    """Yield what was found: each plan's firings, bytes a day, what its budget cuts, and what is not known."""
    yield f"{result.cars} cars have such samples; {result.elapsed_s:.1f} s"
    for tried in result.plans:
        yield ""
        yield from _plan(tried)


def _plan(tried: PlanTried) -> Iterator[str]:
    plan = tried.plan
    yield f"{plan.name}/{plan.version}"
    if plan.when is not None:
        yield f"  fires {tried.firings} times in {tried.cars_fired} cars"
        known = "no history" if tried.known_share is None else f"known {tried.known_share:.1%} of the time"
        yield f"  the condition is {known}" if tried.known_share is not None else f"  {known}"
    cut = sum(day.cut_bytes for day in tried.days.values())
    cuts = f"cuts {_size(cut)}" if cut else "cuts nothing"
    yield f"  a car's fullest day has {_size(tried.most_bytes)}; the budget of {_size(plan.budget_bytes)} {cuts}"
    for path, why in tried.unknown.items():
        yield f"  unknown for {path}: {'; '.join(why)}"
    if tried.days:
        yield "  day         firings   cars  samples       sent        cut"
    for day, found in list(tried.days.items())[-LIMIT_LINES:]:
        counts = f"{found.firings:9}  {found.cars:5}  {found.samples:7}"
        date = EPOCH + timedelta(days=day)
        yield f"  {date:%Y-%m-%d}  {counts}  {_size(found.bytes):>9}  {_size(found.cut_bytes):>9}"
    for car, at in tried.moments[:LIMIT_LINES]:
        yield f"  {(EPOCH + timedelta(microseconds=at)).isoformat(timespec='milliseconds')}  {car}"
    if tried.firings > LIMIT_LINES:
        yield f"  … and {tried.firings - min(len(tried.moments), LIMIT_LINES)} more; --json has up to a thousand"


def _size(count: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            return f"{count / factor:.1f} {unit}"
    return f"{count} B"
