"""Consents on both databases: every change is a version, noted for the audit log."""

from datetime import UTC, datetime

import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.errors import MissingError

CAR, OTHER = "aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"


def enrolled(records: Records, *cars: str) -> None:
    for number, car in enumerate(cars):
        at = datetime(2026, 3, 1, tzinfo=UTC)
        records.add_vehicle(Vehicle(car, "acme", f"WVWZZZ1JZXW00000{number}", None, "active", at))


def noted(records: Records) -> list[tuple[str, str, str]]:
    with records.transaction() as db:
        rows = db.exec_driver_sql("SELECT actor, action, object FROM audit_pending ORDER BY id").all()
    return [tuple(row) for row in rows]


def test_the_newest_version_stands_and_all_are_kept(records: Records) -> None:
    enrolled(records, CAR, OTHER)
    for given in (True, False, True):
        records.consents.change(CAR, "research", given, "person:a", "hash")
    records.consents.change(CAR, "marketing", True, "machine", "hash")
    records.consents.change(OTHER, "research", True, "machine", "hash")
    records.consents.change(OTHER, "research", False, "machine", "hash")
    assert records.consents.standing() == {CAR: {"research", "marketing"}}
    assert records.consents.standing([OTHER]) == {}
    assert records.consents.standing([CAR, OTHER]) == {CAR: {"research", "marketing"}}
    versions = [
        (consent.version, consent.given) for consent in records.consents.of(CAR) if consent.purpose == "research"
    ]
    assert versions == [(3, True), (2, False), (1, True)]
    assert [row[1] for row in noted(records)] == [
        *("giveConsent", "withdrawConsent", "giveConsent", "giveConsent", "giveConsent", "withdrawConsent")
    ]


def test_what_stands_already_is_not_written_again_unless_the_governance_is_another(records: Records) -> None:
    enrolled(records, CAR)
    first = records.consents.change(CAR, "research", True, "person:a", "one")
    assert records.consents.change(CAR, "research", True, "person:b", "one") == first
    assert records.consents.change(CAR, "research", True, "person:b", "two").version == 2
    assert len(noted(records)) == 2
    assert records.consents.of(OTHER) == []


def test_it_is_noted_for_the_cars_own_tenant_and_no_car_no_consent(records: Records) -> None:
    enrolled(records, CAR)
    records.consents.change(CAR, "research", True, "person:a", "one")
    with records.transaction() as db:
        assert db.exec_driver_sql("SELECT tenant FROM audit_pending").scalar_one() == "acme"
    records.erasures.begin(CAR, "machine")
    for car in (CAR, OTHER):
        with pytest.raises(MissingError):
            records.consents.change(car, "research", True, "person:a", "one")
    assert records.consents.of(CAR) == []
