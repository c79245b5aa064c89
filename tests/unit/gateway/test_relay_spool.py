"""The relay's spool: what waits, in which order, how long, and what a crash leaves."""

import sqlite3

import pyarrow as pa
import pytest

from carcloud.errors import ConflictError
from carcloud.gateway.relay.reports import Said, chosen, known_signals, said
from carcloud.gateway.relay.spool import KEPT_S, Spool
from carcloud.stream.chunk import SCHEMA
from carcloud.vehicle.batch import Provenance

NOW = 1_800_000_000
SPEED, GEAR = "Vehicle.Speed", "Vehicle.GBT32960.Gear"


@pytest.fixture
def spool(tmp_path):
    spool = Spool(tmp_path / "relay" / "spool.sqlite")
    yield spool
    spool.close()


def taken(spool, chunk, *rows, relay="city", now=NOW):
    spool.take(chunk, [(relay, Said(car, second, values)) for car, second, values in rows], now)


def test_content_and_position_of_a_chunk_are_kept_together(spool, tmp_path):
    taken(spool, 7, ("a", 1, {SPEED: 1.0}))
    spool.close()
    again = Spool(tmp_path / "relay" / "spool.sqlite")
    assert (again.position, again.waiting("city")) == (7, (1, NOW, 1))
    again.close()


def test_what_a_later_chunk_says_of_the_same_second_goes_into_the_same_report(spool):
    taken(spool, 1, ("a", 5, {SPEED: 1.0}))
    taken(spool, 2, ("a", 5, {GEAR: 3.0, SPEED: 2.0}), ("a", 6, {SPEED: 3.0}))
    assert [one.values for one in spool.due("city", NOW, 9)] == [{SPEED: 2.0, GEAR: 3.0}, {SPEED: 3.0}]


def test_what_is_on_its_way_does_not_change_any_more(spool):
    taken(spool, 1, ("a", 5, {SPEED: 1.0}))
    spool.tried([spool.due("city", NOW, 1)[0].id])
    taken(spool, 2, ("a", 5, {GEAR: 3.0}))
    assert [one.values for one in spool.due("city", NOW, 9)] == [{GEAR: 3.0}, {SPEED: 1.0}]


def test_live_reports_go_first_and_stored_ones_in_the_order_of_time(spool):
    taken(spool, 1, ("a", 9, {SPEED: 1.0}), ("b", 3, {SPEED: 1.0}), now=NOW - 50)
    spool.cut("city")
    taken(spool, 2, ("a", 20, {SPEED: 1.0}))
    assert [(one.second, one.fresh) for one in spool.due("city", NOW, 9)] == [(20, True), (3, False), (9, False)]
    assert [one.second for one in spool.due("city", NOW - 1, 9)] == [3, 9], "what came just now waits for its second"
    assert [one.second for one in spool.due("city", NOW, 9, cars=["a"])] == [3]


def test_what_is_answered_is_gone_and_counted(spool):
    taken(spool, 1, ("a", 1, {SPEED: 1.0}), ("a", 2, {SPEED: 1.0}))
    first, second = spool.due("city", NOW, 9)
    spool.done("city", [first.id])
    spool.done("city", [second.id], "refused")
    assert spool.waiting("city") == (0, None, 0)
    assert (spool.counts("city")["accepted"], spool.counts("city")["refused"]) == (1, 1)


def test_what_waits_for_more_than_seven_days_is_dropped_and_counted(spool):
    taken(spool, 1, ("a", 1, {SPEED: 1.0}))
    taken(spool, 2, ("a", 2, {SPEED: 1.0}), now=NOW + 60)
    assert spool.expire("city", NOW + KEPT_S) == 0
    assert spool.expire("city", NOW + KEPT_S + 30) == 1
    assert (spool.waiting("city")[0], spool.counts("city")["expired"]) == (1, 1)


def test_erased_car_is_gone_from_the_file(spool, tmp_path):
    taken(spool, 1, ("car-to-forget", 1, {"Vehicle.GBT32960.Oem": "secret words"}), ("b", 1, {SPEED: 1.0}))
    assert spool.forget("car-to-forget", "city") == 1
    assert spool.vehicles("city") == {"b"}
    assert spool.counts("city")["dropped"] == 1
    spool.close()
    content = b"".join(file.read_bytes() for file in (tmp_path / "relay").iterdir())
    assert b"secret words" not in content
    assert b"car-to-forget" not in content


def test_relay_that_is_declared_no_more_leaves_nothing(spool):
    taken(spool, 1, ("a", 1, {SPEED: 1.0}))
    taken(spool, 2, ("a", 1, {SPEED: 1.0}), relay="other")
    spool.keep_only({"other"})
    assert (spool.waiting("city")[0], spool.waiting("other")[0]) == (0, 1)


def test_erased_car_and_a_relay_dropped_leave_no_serial_and_no_count(spool):
    for relay in ("city", "other"):
        for vehicle in ("a", ""):
            spool.serial(relay, vehicle, 5, 9)
        spool.count(relay, "sent", 1)
        spool.summed(relay, 5)
    assert spool.vehicles("city") == {"a"}
    spool.forget("a", "city")
    spool.keep_only({"city"})
    rows = [row for table in ("serials", "counts", "places") for row in spool._db.execute(f"select * from {table}")]
    assert not any("a" in row or "other" in str(row) for row in rows)
    assert (spool.counts("city")["sent"], spool.sums("city", 5)) == (1, None)


def test_what_a_clock_ahead_took_counts_as_taken_now_when_it_is_set_back(spool):
    taken(spool, 1, ("a", 1, {SPEED: 1.0}), now=NOW + 30 * 86_400)
    assert spool.expire("city", NOW) == 0
    assert spool.waiting("city") == (1, NOW, 1)
    assert spool.expire("city", NOW + KEPT_S + 1) == 1


def test_full_spool_drops_the_oldest_and_counts_them(spool, monkeypatch):
    monkeypatch.setattr("carcloud.gateway.relay.spool.LIMIT_REPORTS", 2)
    taken(spool, 1, *[("a", second, {SPEED: 1.0}) for second in (7, 5, 6)])
    assert spool.expire("city", NOW) == 1
    assert [one.second for one in spool.due("city", NOW, 9)] == [6, 7]
    assert spool.counts("city")["expired"] == 1


def test_sum_of_a_day_is_what_was_counted_since_the_last(spool):
    spool.count("city", "sent", 5)
    assert spool.sums("city", 100)["sent"] == 5
    spool.summed("city", 100)
    spool.count("city", "sent", 2)
    assert spool.sums("city", 100) is None
    assert spool.sums("city", 101)["sent"] == 2


def test_serials_begin_anew_each_day_and_after_the_last(spool):
    assert [spool.serial("city", "x", 5, 3) for _ in range(4)] == [1, 2, 3, 1]
    assert (spool.serial("city", "y", 5, 3), spool.serial("city", "x", 6, 3)) == (1, 1)


def test_second_process_is_refused(spool, tmp_path):
    with pytest.raises(ConflictError, match="cannot be taken"):
        Spool(tmp_path / "relay" / "spool.sqlite")


def test_damaged_file_is_said(tmp_path):
    (tmp_path / "spool.sqlite").write_bytes(b"no database" * 1000)
    with pytest.raises(ConflictError, match="cannot be taken"):
        Spool(tmp_path / "spool.sqlite")


def test_a_write_that_fails_changes_nothing(spool):
    taken(spool, 1, ("a", 1, {SPEED: 1.0}))
    with pytest.raises(TypeError):
        taken(spool, 2, ("a", 2, {SPEED: 1.0}), ("a", 3, {SPEED: object()}))
    assert (spool.position, spool.waiting("city")[0]) == (1, 1)
    assert isinstance(spool._db, sqlite3.Connection)


def rows(*given):
    cars, signals, times, values, texts, kinds = zip(*given, strict=True)
    columns = [
        pa.array(cars).dictionary_encode(),
        pa.array(signals).dictionary_encode(),
        pa.array(times, pa.timestamp("us", "UTC")),
        pa.array(values, pa.float64()),
        pa.array(texts, pa.string()),
        pa.array([int(kind) for kind in kinds], pa.uint8()),
    ]
    return pa.record_batch(columns, schema=SCHEMA)


def test_report_has_the_last_values_of_one_car_and_second_and_only_what_was_measured():
    measured = Provenance.MEASURED
    found = rows(
        ("a", SPEED, 1_900_000, 2.0, None, measured),
        ("a", SPEED, 1_100_000, 1.0, None, measured),
        ("a", GEAR, 1_000_000, None, "text", measured),
        ("a", SPEED, 2_000_000, 3.0, None, measured),
        ("b", SPEED, 2_000_000, 4.0, None, measured),
        ("b", SPEED, 3_000_000, 5.0, None, Provenance.SIMULATED),
        ("b", SPEED, 4_000_000, 5.0, None, Provenance.REPLAY),
        ("c", SPEED, 2_000_000, 6.0, None, measured),
        ("b", "Vehicle.Cabin.X", 2_000_000, 7.0, None, measured),
    )
    reports = list(said(chosen(found, {"a", "b"}, {SPEED, GEAR})))
    assert reports == [
        Said("a", 1, {GEAR: "text", SPEED: 2.0}),
        Said("a", 2, {SPEED: 3.0}),
        Said("b", 2, {SPEED: 4.0}),
    ]
    assert list(said(chosen(found, {"nobody"}, {SPEED}))) == []


def test_signals_of_reports_are_those_of_the_mapping():
    assert {SPEED, GEAR, "Vehicle.GBT32960.Pack1.CellVoltages"} <= known_signals()
    assert "Vehicle.Cabin.HVAC.Power" not in known_signals()
