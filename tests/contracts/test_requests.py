"""Requests of people on both databases: taken down, closed once, and kept when their car is erased."""

from datetime import UTC, date, datetime

import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.requests import Request
from carcloud.errors import ConflictError, MissingError

CAR = "aaaaaaaaaaaaaaaa"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def wanted(kind: str = "access", about: str | None = None, due: date = date(2026, 12, 7)) -> Request:
    return Request("acme", kind, about, "file 7", date(2026, 11, 23), due, NOW)  # type: ignore[arg-type]


def noted(records: Records) -> list[tuple[str, str]]:
    with records.transaction() as db:
        rows = db.exec_driver_sql("SELECT action, facts FROM audit_pending ORDER BY id").all()
    return [tuple(row) for row in rows]


def test_requests_come_the_first_due_first_and_only_the_tenants_own(records: Records) -> None:
    late, soon = wanted(due=date(2027, 1, 1)), wanted("erasure")
    for one in (late, soon):
        records.requests.add(one, "machine")
    assert records.requests.all("acme") == [soon, late]
    assert records.requests.all("other") == []
    assert [action for action, _ in noted(records)] == ["addRequest", "addRequest"]
    assert not any("file 7" in facts for _, facts in noted(records))


def test_request_is_closed_once_by_its_own_tenant_and_the_reason_stays_out_of_the_log(records: Records) -> None:
    one = wanted()
    records.requests.add(one, "machine")
    with pytest.raises(MissingError):
        records.requests.close("other", one.id, "done", "machine", NOW)
    closed = records.requests.close("acme", one.id, "refused", "machine", NOW, "not the keeper, Ann Example")
    assert (closed.outcome, closed.closed_at) == ("refused", NOW)
    assert records.requests.all() == [closed]
    with pytest.raises(ConflictError):
        records.requests.close("acme", one.id, "done", "machine", NOW)
    assert "Ann" not in noted(records)[-1][1]


def test_request_names_a_car_the_tenant_has_or_had(records: Records) -> None:
    records.add_vehicle(Vehicle(CAR, "acme", "WVWZZZ1JZXW000001", None, "active", NOW))
    records.requests.add(wanted("erasure", CAR), "machine")
    records.erasures.begin(CAR, "machine")
    records.requests.add(wanted("access", CAR), "machine")
    assert [one.about for one in records.requests.all("acme")] == [CAR, CAR]
    with pytest.raises(MissingError):
        records.requests.add(wanted("access", "b" * 16), "machine")


@pytest.mark.parametrize(
    ("closed", "today", "late"),
    [
        (None, date(2026, 12, 7), False),
        (None, date(2026, 12, 8), True),
        (datetime(2026, 12, 7, 23, 59, tzinfo=UTC), date(2027, 1, 1), False),
        (datetime(2026, 12, 8, tzinfo=UTC), date(2027, 1, 1), True),
    ],
)
def test_last_day_is_still_in_time(closed: datetime | None, today: date, late: bool) -> None:
    one = Request("acme", "access", None, "", date(2026, 11, 23), date(2026, 12, 7), NOW, closed_at=closed)
    assert one.late(today) == late
