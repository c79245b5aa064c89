"""VINs in the records: sealed, found again, and closed to another key."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from carcloud.backends.records import Records, Vehicle
from carcloud.errors import ConflictError
from carcloud.safety.seal import NameVault

VIN = "WVWZZZ1JZXW000001"
CAR = Vehicle("aaaaaaaaaaaaaaaa", "default", VIN, "car", "active", datetime(2026, 3, 1, 12, tzinfo=UTC))


def lying(records: Records) -> list[str]:
    with records.transaction() as db:
        return [row[0] for row in db.execute(text("SELECT vin FROM vehicles")).all()]


def test_a_vin_lies_sealed_and_is_found_by_its_text(url: str, tmp_path: Path) -> None:
    records = Records.open(url, NameVault(tmp_path / "keys"))
    records.add_vehicle(CAR)
    (sealed,) = lying(records)
    assert VIN not in sealed
    assert sealed.startswith("default:")
    assert len(sealed) == len("default:") + 44
    assert records.vehicle(CAR.id) == records.vehicle_by_vin(VIN) == records.vehicles()[0] == CAR
    with pytest.raises(ConflictError, match="enrolled already"):
        records.add_vehicle(replace(CAR, id="bbbbbbbbbbbbbbbb", label="other"))
    records.close()
    again = Records.open(url, NameVault(tmp_path / "keys"))
    assert again.vehicle(CAR.id) == CAR
    again.close()


def test_another_key_opens_nothing_and_says_what_to_restore(url: str, tmp_path: Path) -> None:
    records = Records.open(url, NameVault(tmp_path / "keys"))
    records.add_vehicle(CAR)
    records.close()
    stranger = Records.open(url, NameVault(tmp_path / "other"))
    with pytest.raises(ConflictError, match="does not open under this key") as caught:
        stranger.vehicle(CAR.id)
    assert "names.key" in caught.value.do
    stranger.close()


def test_each_tenants_vins_lie_under_its_own_key(url: str, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    records = Records.open(url, NameVault(keys))
    records.add_vehicle(CAR)
    theirs = replace(CAR, id="bbbbbbbbbbbbbbbb", tenant="acme")
    records.add_vehicle(theirs)
    assert records.vehicle_by_vin(VIN, "acme") == theirs
    with pytest.raises(ConflictError, match="enrolled already"):
        records.add_vehicle(replace(theirs, id="cccccccccccccccc", label="other"))
    ours, other = sorted(lying(records), reverse=True)
    assert ours.removeprefix("default:") != other.removeprefix("acme:")
    records.close()
    (keys / "tenants" / "acme" / "names.key").unlink()
    again = Records.open(url, NameVault(keys))
    assert again.vehicle(CAR.id) == CAR
    with pytest.raises(ConflictError, match="does not open"):
        again.vehicle(theirs.id)
    assert not (keys / "tenants" / "acme" / "names.key").exists()
    with again.transaction(writing=True) as db:
        db.execute(text("UPDATE vehicles SET vin = '../../x:AAAA' WHERE tenant = 'acme'"))
    with pytest.raises(ConflictError, match="does not open"):
        again.vehicle(theirs.id)
    again.close()


def test_records_of_schema_1_are_sealed_when_they_are_opened(url: str, tmp_path: Path) -> None:
    older = Records.open(url)
    older.add_vehicle(CAR)
    with older.transaction(writing=True) as db:
        db.execute(text("UPDATE schema_version SET version = 1"))
    assert lying(older) == [VIN]
    older.close()
    records = Records.open(url, NameVault(tmp_path / "keys"))
    assert lying(records) != [VIN]
    assert records.vehicle_by_vin(VIN) == CAR
    records.close()
