from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.database import LATEST
from carcloud.backends.records.tables import Instant, quarantine_id
from carcloud.errors import InputError

DIALECT = sqlite.dialect()


@given(st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_instant_is_kept_to_the_microsecond(at: datetime) -> None:
    kept = Instant().process_bind_param(at, DIALECT)
    assert Instant().process_result_value(kept, DIALECT) == at


def test_instant_of_another_zone_is_the_same_instant_in_utc() -> None:
    at = datetime(2026, 11, 23, 16, 0, tzinfo=timezone(timedelta(hours=8)))
    back = Instant().process_result_value(Instant().process_bind_param(at, DIALECT), DIALECT)
    assert back == at
    assert back.tzinfo is UTC


FURTHEST = [
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-14))),
    datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    datetime(2200, 1, 1, 0, 0, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC),
]


@pytest.mark.parametrize("at", FURTHEST)
def test_an_instant_that_nobody_can_reckon_with_is_refused(at: datetime, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="before 1970"):
        Instant().process_bind_param(at, DIALECT)
    records = Records.open(f"sqlite:///{tmp_path / 'records.db'}")
    with pytest.raises(InputError, match="before 1970"):
        records.add_vehicle(Vehicle("a" * 16, "acme", "WVWZZZ1JZXW000001", None, "active", at))
    assert records.vehicles(tenant="acme") == []
    records.close()


@pytest.mark.parametrize("kept", [-(2**62), 2**62, 253_402_300_800_000_000, -1])
def test_an_instant_that_lies_there_all_the_same_is_read_as_the_nearest(kept: int) -> None:
    read = Instant().process_result_value(kept, DIALECT)
    assert read in (datetime(1970, 1, 1, tzinfo=UTC), LATEST)


def test_quarantine_id_tells_vehicle_cause_and_payload_apart() -> None:
    ids = {
        quarantine_id(*parts) for parts in (("ab", "c", b"d"), ("a", "bc", b"d"), ("ab", "", b"cd"), ("", "abc", b"d"))
    }
    assert len(ids) == 4
    assert quarantine_id("ab", "c", b"d") == quarantine_id("ab", "c", b"d")
