"""Tenants in the records: on both databases."""

from datetime import UTC, datetime

import pytest

from carcloud.backends.records import Entry, Quotas, Records, Tenant, Use, Vehicle
from carcloud.errors import ConflictError, MissingError

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
ACME = Tenant("acme", "active", AT, "Acme", "#1a2b3c", "AC", "", Quotas(vehicles=2, lake_bytes=1 << 40))
NOTED = Entry("machine", "changeTenants", "tenant:acme", tenant="default")


def car(number: int, tenant: str = "acme") -> Vehicle:
    return Vehicle(f"car{number}", tenant, f"WVWZZZ1JZXW00000{number}", None, "active", AT)


def test_a_tenant_is_kept_as_it_was_made_and_its_making_is_noted(records: Records) -> None:
    records.tenants.add(ACME, NOTED)
    assert records.tenants.get("acme") == records.tenants.find("acme") == ACME
    assert records.tenants.all() == [ACME]
    assert [entry.action for entry in records.audit.pending(9)] == ["changeTenants"]
    with pytest.raises(ConflictError, match="already"):
        records.tenants.add(ACME, NOTED)
    assert len(records.audit.pending(9)) == 1


def test_the_home_tenant_is_made_once_and_left_as_it_is(records: Records) -> None:
    records.tenants.ensure("acme", AT)
    records.tenants.set_quotas("acme", Quotas(streams=3))
    records.tenants.ensure("acme", AT)
    assert records.tenants.get("acme").quotas == Quotas(streams=3)


def test_suspending_and_resuming_change_the_state_once_each(records: Records) -> None:
    records.tenants.add(ACME)
    assert records.tenants.stands("acme")
    assert records.tenants.set_state("acme", "suspended", NOTED).state == "suspended"
    assert not records.tenants.stands("acme")
    with pytest.raises(ConflictError, match="suspended already"):
        records.tenants.set_state("acme", "suspended", NOTED)
    assert records.tenants.set_state("acme", "active", NOTED) == ACME
    assert len(records.audit.pending(9)) == 2
    for change in (
        lambda: records.tenants.set_state("none", "suspended"),
        lambda: records.tenants.set_quotas("none", Quotas(), NOTED),
        lambda: records.tenants.get("none"),
    ):
        with pytest.raises(MissingError, match="No tenant"):
            change()
    assert len(records.audit.pending(9)) == 2


def test_a_tenant_has_no_more_cars_than_its_quota(records: Records) -> None:
    records.tenants.add(ACME)
    for number in (1, 2):
        records.add_vehicle(car(number))
    with pytest.raises(ConflictError, match="2 cars that its quota allows"):
        records.add_vehicle(car(3))
    records.add_vehicle(car(4, "default"))
    records.life.change("car1", "revoke", AT)
    records.add_vehicle(car(3))
    assert records.tenants.counts() == {"acme": 2, "default": 1}


def test_a_suspended_tenant_gets_no_car_and_its_cars_are_outside(records: Records) -> None:
    records.tenants.add(ACME)
    records.add_vehicle(car(1))
    records.add_vehicle(car(2, "default"))
    records.tenants.set_state("acme", "suspended")
    with pytest.raises(ConflictError, match="suspended"):
        records.add_vehicle(car(3))
    assert records.life.outside() == {"car1"}
    assert records.life.tenants({"car1", "car2", "none"}) == {"car1": "acme", "car2": "default"}


def test_what_tenants_take_is_replaced(records: Records) -> None:
    records.tenants.set_uses({"acme": Use(10, 1), "beta": Use(20, 2)})
    records.tenants.set_uses({"acme": Use(30, 3)})
    assert records.tenants.uses() == {"acme": Use(30, 3), "beta": Use(20, 2)}
