"""Which months' backups a zone has keys to, and which of them hold what the governance would have let go.

Rules:
* A backup of a month may hold what was received up to its last day. From so many days after that on all of it is
  beyond a rule's `days`: the month is outlived.
* The zone remembers where the keys are and of which months, since their folder may be away; the path is written into
  no log.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path

import orjson

from carcloud.backends.records import Entry, Records
from carcloud.backends.records.noted import put_noted
from carcloud.safety.backup.periods import Periods
from carcloud.safety.governance.policy import Policy

KEYS = "backup_keys"


def lifetimes(policy: Policy) -> tuple[int, int] | None:
    """Return the shortest and the longest `days` of the rules that keep something; None where none has any."""
    days = [rule.days for rule in policy.rules if rule.keep and rule.days is not None]
    return (min(days), max(days)) if days else None


def outlived(months: Iterable[str], days: int, today: date) -> list[str]:
    """Return the months, such as 2026-11, all of whose data are older than so many days, the oldest first."""
    return sorted(month for month in months if _next(month) + timedelta(days=days) <= today)


def know_keys(records: Records, periods: Periods) -> None:
    """Let the zone know a folder of keys, and of which months it has some."""
    known = _remembered(records) | {str(periods.folder.absolute()): periods.all()}
    records.put_meta(KEYS, orjson.dumps(known).decode())


def months_known(records: Records) -> list[str]:
    """Return the months whose keys lie in a folder that the zone knows; as remembered, where it is away."""
    found = set[str]()
    for path, months in _remembered(records).items():
        found.update(Periods(Path(path)).all() if Path(path).is_dir() else months)
    return sorted(found)


def destroy_noted(records: Records, periods: Periods, period: str, tenant: str) -> None:
    """Destroy a month's key, and note it for the audit log; raise as `Periods.destroy`."""
    path, known = str(periods.folder.absolute()), _remembered(records)
    if path in known:
        known[path] = [month for month in known[path] if month != period]
    entry = Entry("machine", "destroyBackupKey", "zone", facts={"period": period}, tenant=tenant)
    put_noted(records, KEYS, orjson.dumps(known).decode(), entry, lambda: periods.destroy(period))


def _remembered(records: Records) -> dict[str, list[str]]:
    found: dict[str, list[str]] = orjson.loads(records.get_meta(KEYS) or "{}")
    return found


def _next(month: str) -> date:
    """Return the first day of the month behind."""
    year, number = map(int, month.split("-"))
    return date(year + number // 12, number % 12 + 1, 1)
