"""The terminals of GB/T 32960 in the records, on both databases."""

from datetime import UTC, datetime

import pytest

from carcloud.backends.records import Entry, Records, Vehicle
from carcloud.backends.records.terminals import Platform
from carcloud.errors import ConflictError, MissingError

AT = datetime(2026, 3, 1, tzinfo=UTC)
VIN = "LSVAA4182E2123456"
ENTRY = Entry("machine", "addTerminal", "vehicle:a")


def car(id_: str, vin: str = VIN, tenant: str = "default") -> Vehicle:
    return Vehicle(id_, tenant, vin, None, "active", AT)


def test_a_terminal_is_found_by_its_vin_until_it_is_removed(records: Records) -> None:
    assert records.terminals.find(VIN) is None
    records.add_vehicle(car("a"), entries=[ENTRY], terminal=True)
    found = records.terminals.find(VIN)
    assert found is not None
    assert found.vehicle == car("a")
    assert found.key is None
    assert records.terminals.all("default") == [found]
    assert records.terminals.all("other") == []
    assert records.terminals.among({"a", "b"}) == {"a"}
    records.terminals.remove("a")
    assert records.terminals.find(VIN) is None
    assert records.terminals.get("a") is None
    with pytest.raises(MissingError):
        records.terminals.remove("a")


def test_an_enrolled_car_becomes_a_terminal_once(records: Records) -> None:
    records.add_vehicle(car("a"))
    records.terminals.mark(records.vehicle("a"), AT, ENTRY)
    with pytest.raises(ConflictError):
        records.terminals.mark(records.vehicle("a"), AT)
    with pytest.raises(MissingError):
        records.terminals.mark(car("b", "LSVAA4182E2123457"), AT)


def test_a_vin_is_a_terminal_of_one_tenant_only(records: Records) -> None:
    records.add_vehicle(car("a"), terminal=True)
    with pytest.raises(ConflictError, match="comes in by GB/T 32960 already"):
        records.add_vehicle(car("b", tenant="other"), terminal=True)
    with pytest.raises(MissingError):
        records.vehicle("b")


def test_a_revoked_car_is_no_terminal_and_its_vin_may_come_anew(records: Records) -> None:
    records.add_vehicle(car("a"), terminal=True)
    records.life.change("a", "revoke", AT)
    assert records.terminals.find(VIN) is None
    assert records.terminals.among({"a"}) == set()
    records.add_vehicle(car("b"), terminal=True)
    found = records.terminals.find(VIN)
    assert found is not None
    assert found.vehicle.id == "b"


def test_a_terminal_activates_with_one_chip_and_key(records: Records) -> None:
    records.add_vehicle(car("a"), terminal=True)
    records.add_vehicle(car("b", "LSVAA4182E2123457"), terminal=True)
    assert records.terminals.activate("a", "00ff", b"key", AT, ENTRY)
    assert records.terminals.activate("a", "00ff", b"key", AT)
    assert not records.terminals.activate("a", "00ff", b"other", AT)
    assert not records.terminals.activate("b", "00ff", b"key", AT), "the chip is another car's"
    assert not records.terminals.activate("c", "11ff", b"key", AT)
    found = records.terminals.get("a")
    assert found is not None
    assert (found.chip, found.key, found.activated_at) == ("00ff", b"key", AT)


def test_a_platforms_name_is_given_once(records: Records) -> None:
    platform = Platform("authority", "default", "hash", AT)
    records.terminals.add_platform(platform, ENTRY)
    with pytest.raises(ConflictError):
        records.terminals.add_platform(Platform("authority", "other", "hash", AT))
    assert records.terminals.platform("authority") == platform
    assert records.terminals.platform("none") is None
    assert records.terminals.platforms("other") == []
    with pytest.raises(MissingError):
        records.terminals.remove_platform("authority", "other")
    records.terminals.remove_platform("authority", "default")
    assert records.terminals.platforms() == []
