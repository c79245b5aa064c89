"""The export meter on both databases: exact, whole, and never past its stop."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from carcloud.backends.records import Records
from carcloud.errors import InputError
from carcloud.safety.flows.flow import Flows, parse
from carcloud.safety.flows.meter import ExportStoppedError, Meter
from carcloud.safety.flows.names import Names
from carcloud.safety.flows.tokens import make_token

NOW = datetime(2026, 12, 31, 12, tzinfo=UTC)
FLOWS = parse(
    """
calendar: "+08:00"
limits: {personal: 15}
stop_at: 1
flows:
"""
    + "".join(
        f"""
  {name}:
    to: eu
    purpose: research
    why: So it is.
    classes: [personal, operational]
    signals: [{{paths: [Vehicle.Speed]}}]
    limits: {{personal: 10}}
    stop_at: 0.8
"""
        for name in ("one", "two")
    ),
    "flows",
)
ONE, TWO = FLOWS.flows["one"], FLOWS.flows["two"]


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(records: Records, tmp_path: Path, clock: Clock) -> Meter:
    return Meter(records, Names(tmp_path), clock)


def cars(*numbers: int) -> dict[str, set[str]]:
    return {"personal": {f"car-{number}" for number in numbers}}


def audited(records: Records) -> list[tuple[str, str]]:
    with records.transaction() as db:
        return [tuple(row) for row in db.execute(text("SELECT outcome, facts FROM audit_pending ORDER BY id"))]


def counts(meter: Meter, flows: Flows = FLOWS) -> dict[tuple[str, str], int]:
    return {(reading.flow, reading.kind): reading.people for reading in meter.readings(flows)}


def test_a_person_is_counted_once_a_flow_and_class(meter: Meter, records: Records) -> None:
    for numbers in ((1, 2, 3), (3, 4), (1,)):
        meter.let_out(FLOWS, ONE, cars(*numbers), 9, "token:x", "default")
    meter.let_out(FLOWS, TWO, cars(4, 5), 9, "token:x", "default")
    meter.let_out(FLOWS, ONE, {"operational": {"car-9"}}, 1, "token:x", "default")
    assert counts(meter) == {
        ("one", "personal"): 4,
        ("one", "operational"): 1,
        ("two", "personal"): 2,
        ("two", "operational"): 0,
        ("", "personal"): 5,
    }
    outcomes = audited(records)
    assert [outcome for outcome, _ in outcomes] == ["done"] * 5
    assert '"persons":{"personal":{"new":1,"total":4}}' in outcomes[1][1]
    assert all("car-" not in facts for _, facts in outcomes)


def test_a_read_that_would_pass_the_stop_is_refused_whole_and_stays_so(
    meter: Meter, records: Records, url: str, tmp_path: Path, clock: Clock
) -> None:
    meter.let_out(FLOWS, ONE, cars(1, 2, 3, 4, 5, 6), 9, "token:x", "default")
    for again in (meter, Meter(Records.open(url), Names(tmp_path), clock)):
        with pytest.raises(ExportStoppedError, match="8 people in 2026"):
            again.let_out(FLOWS, ONE, cars(6, 7, 8, 9) | {"operational": {"car-1"}}, 9, "token:x", "default")
        assert counts(again)["one", "personal"] == 6
        assert counts(again)["one", "operational"] == 0
        assert [alarm["code"] for alarm in again.alarms(FLOWS)] == ["export_stopped"]
    assert [outcome for outcome, _ in audited(records)] == ["done", "denied", "denied"]
    meter.let_out(FLOWS, ONE, cars(7, 8), 9, "token:x", "default")
    meter.let_out(FLOWS, ONE, cars(1, 8), 9, "token:x", "default")  # of whom was told before, more may be told
    with pytest.raises(ExportStoppedError):
        meter.let_out(FLOWS, ONE, cars(9), 1, "token:x", "default")


def test_flows_together_have_a_limit_of_their_own(meter: Meter) -> None:
    meter.let_out(FLOWS, ONE, cars(*range(8)), 9, "token:x", "default")
    meter.let_out(FLOWS, TWO, cars(*range(4, 12)), 9, "token:x", "default")
    assert counts(meter)["", "personal"] == 12
    third = parse(FLOWS.text.replace("  two:", "  three:"), "flows")
    meter.let_out(third, third.flows["three"], cars(12, 13, 14), 9, "token:x", "default")
    with pytest.raises(ExportStoppedError, match="All flows together"):
        meter.let_out(third, third.flows["three"], cars(15), 9, "token:x", "default")


def test_a_new_calendar_year_begins_at_zero_where_the_zone_says(meter: Meter, clock: Clock) -> None:
    meter.let_out(FLOWS, ONE, cars(*range(8)), 9, "token:x", "default")
    clock.at = datetime(2026, 12, 31, 15, 59, 59, 999999, tzinfo=UTC)
    with pytest.raises(ExportStoppedError):
        meter.let_out(FLOWS, ONE, cars(99), 1, "token:x", "default")
    clock.at += timedelta(microseconds=1)
    assert counts(meter)["one", "personal"] == 0
    assert list(meter.alarms(FLOWS)) == []
    meter.let_out(FLOWS, ONE, cars(99), 1, "token:x", "default")
    assert counts(meter)["one", "personal"] == 1


def test_the_alarm_goes_when_the_limit_is_raised_not_before(meter: Meter) -> None:
    with pytest.raises(ExportStoppedError):
        meter.let_out(FLOWS, ONE, cars(*range(9)), 9, "token:x", "default")
    lower, higher = (parse(FLOWS.text.replace("{personal: 10}", f"{{personal: {limit}}}"), "f") for limit in (9, 12))
    assert len(list(meter.alarms(lower))) == 1
    assert list(meter.alarms(higher)) == []
    meter.let_out(higher, higher.flows["one"], cars(*range(9)), 9, "token:x", "default")


def test_two_reads_at_the_same_moment_do_not_slip_under_the_limit_together(
    meter: Meter, url: str, tmp_path: Path, clock: Clock
) -> None:
    def read(number: int) -> int:
        own = Records.open(url)
        try:
            Meter(own, Names(tmp_path), clock).let_out(
                FLOWS, ONE, cars(2 * number, 2 * number + 1), 2, "t:x", "default"
            )
        except ExportStoppedError:
            return 0
        finally:
            own.close()
        return 1

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(read, range(12))) == 4
    assert counts(meter)["one", "personal"] == 8


def test_the_records_hold_no_id_of_whom_was_counted(meter: Meter, records: Records) -> None:
    meter.let_out(FLOWS, ONE, {"personal": {"0123456789abcdef"}}, 1, "token:x", "default")
    with records.transaction() as db:
        rows = db.execute(text("SELECT * FROM exported")).all()
    assert len(rows) == 1
    assert "0123456789abcdef" not in str(rows)


def test_a_flows_token_holds_for_its_flow_and_zone_until_it_ends(records: Records) -> None:
    token, secret = make_token(records, ONE, "default", 30, "machine", NOW)
    assert secret.startswith("cct_")
    assert records.exports.readers("one", "eu", NOW) == {token.id}
    assert records.exports.readers("two", "eu", NOW) == set()
    assert records.exports.readers("one", "us", NOW) == set()
    assert records.exports.readers("one", "eu", NOW + timedelta(days=31)) == set()
    with records.transaction(writing=True) as db:
        records.passes.revoke_token(db, token.id, NOW)
    assert records.exports.readers("one", "eu", NOW) == set()
    with pytest.raises(InputError):
        make_token(records, ONE, "default", 100_000, "machine", NOW)
