from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from carcloud.backends.records.tables import Instant, quarantine_id

DIALECT = sqlite.dialect()


@given(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))
def test_instant_is_kept_to_the_microsecond(at: datetime) -> None:
    kept = Instant().process_bind_param(at, DIALECT)
    assert Instant().process_result_value(kept, DIALECT) == at


def test_instant_of_another_zone_is_the_same_instant_in_utc() -> None:
    at = datetime(2026, 11, 23, 16, 0, tzinfo=timezone(timedelta(hours=8)))
    back = Instant().process_result_value(Instant().process_bind_param(at, DIALECT), DIALECT)
    assert back == at
    assert back.tzinfo is UTC


def test_quarantine_id_tells_vehicle_cause_and_payload_apart() -> None:
    ids = {
        quarantine_id(*parts) for parts in (("ab", "c", b"d"), ("a", "bc", b"d"), ("ab", "", b"cd"), ("", "abc", b"d"))
    }
    assert len(ids) == 4
    assert quarantine_id("ab", "c", b"d") == quarantine_id("ab", "c", b"d")
