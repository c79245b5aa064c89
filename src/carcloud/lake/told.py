"""What a dry run found, as JSON: for the API, the console, and the command line."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from carcloud.lake.tally import CarTried, Day, PlanTried, Result

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def told(result: Result) -> dict[str, Any]:
    """Return what was found. Times are RFC 3339 in UTC, days ISO dates, shares from 0 to 1."""
    return {
        "cars": result.cars,
        "elapsed_s": round(result.elapsed_s, 3),
        "plans": [_plan(one) for one in result.plans],
    }


def _plan(tried: PlanTried) -> dict[str, Any]:
    plan = tried.plan
    return {
        "plan": plan.name,
        "version": plan.version,
        "digest": plan.digest,
        "budget_bytes": plan.budget_bytes,
        "firings": tried.firings,
        "cars_fired": tried.cars_fired,
        "known_share": None if tried.known_share is None else round(tried.known_share, 6),
        "most_bytes_a_day": tried.most_bytes,
        "moments": [{"vehicle": car, "time": _time(at)} for car, at in tried.moments],
        "moments_left_out": tried.firings - len(tried.moments),
        "days": [_day(day, found) for day, found in tried.days.items()],
        "cars": [_car(one) for one in tried.cars],
        "unknown": [{"signal": path, "why": why} for path, why in tried.unknown.items()],
    }


def _day(day: int, found: Day) -> dict[str, Any]:
    return {"day": f"{EPOCH + timedelta(days=day):%Y-%m-%d}"} | vars(found)


def _car(one: CarTried) -> dict[str, Any]:
    share = round(one.known_us / one.span_us, 6) if one.span_us else None
    said = {name: getattr(one, name) for name in ("vehicle", "firings", "bytes", "cut_bytes")}
    return said | {"known_share": share}


def _time(us: int) -> str:
    return (EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")
