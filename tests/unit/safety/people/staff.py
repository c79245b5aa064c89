"""People of a zone, a clock that goes when told to, and what was noted."""

from datetime import UTC, datetime, timedelta

from carcloud.backends.records import Person, Records
from carcloud.safety.people import secrets


class Clock:
    """Goes only when told to."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 23, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.at

    def go(self, **by: float) -> None:
        self.at += timedelta(**by)


def person(records: Records, login: str, *roles: str) -> Person:
    """Add a person."""
    made = Person(secrets.new_id(), "default", login, login.title(), "active", Clock().at, roles=frozenset(roles))
    with records.transaction(writing=True) as db:
        records.people.add(db, made)
    return made


def audited(records: Records) -> list[tuple[str, str, str]]:
    """Return actor, action and outcome of all that was noted, with nothing of the details."""
    with records.transaction() as db:
        return [
            tuple(row) for row in db.exec_driver_sql("SELECT actor, action, outcome FROM audit_pending ORDER BY id")
        ]
