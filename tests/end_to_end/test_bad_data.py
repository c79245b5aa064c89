"""Bad data, each kind with its stated answer: what the lake holds, what is counted, kept and told to the car."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator

import google_crc32c
import psutil
import pytest
import zstandard

from tests.end_to_end.wire import SPEED, STATE, TABLE, UNKNOWN, WireCar, now_us, wire
from tests.zone import RunningZone, carcloud, running_zone, until

YEAR_US = 365 * 86_400_000_000
FLOOD = 300


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    """Give a zone without other cars, so that its counters are the test's."""
    config = f"[governor.flood]\nmessages_per_s = {FLOOD}\n[lake]\nrhythm_s = 0.2\n"
    with running_zone(tmp_path_factory.mktemp("bad") / "data", config=config) as zone:
        yield zone


@pytest.fixture
def car(quiet: RunningZone, request: pytest.FixtureRequest) -> Iterator[WireCar]:
    with WireCar(quiet, request.node.name[:60]) as one:
        yield one


def test_clock_years_behind_keeps_the_rows_out_and_in_quarantine(car: WireCar) -> None:
    past, now = now_us() - 10 * YEAR_US, now_us()
    car.send(1, [(SPEED, past, 1.0), (SPEED, past + 1, 2.0)])
    car.send(2, [(SPEED, now, 3.0)])
    car.until_acked(2)
    car.until_refused(time_past=2)
    assert car.lake(1) == [["Vehicle.Speed", now, 3.0, None]]
    assert car.quarantined() == ["time_past"]


def test_clock_years_ahead_keeps_only_the_rows_of_today(car: WireCar) -> None:
    now = now_us()
    car.send(1, [(SPEED, now, 1.0), (SPEED, now + 1_000_000_000, 2.0)])
    car.send(2, [(SPEED, now + 10 * YEAR_US, 3.0)])
    car.until_acked(2)
    car.until_refused(time_future=2)
    assert car.lake(1) == [["Vehicle.Speed", now, 1.0, None]]
    assert car.quarantined() == ["time_future", "time_future"]


def test_recording_of_years_ago_is_welcome_as_replay(car: WireCar) -> None:
    past = now_us() - 10 * YEAR_US
    car.send(1, [(SPEED, past, 1.0)], provenance=1)
    car.until_acked(1)
    assert car.lake(1) == [["Vehicle.Speed", past, 1.0, None]]


def test_number_sent_twice_is_stored_once_and_acknowledged_again(car: WireCar) -> None:
    now = now_us()
    car.send(1, [(SPEED, now, 1.0)])
    car.until_acked(1)
    heard = len(car.acks)
    car.send(1, [(SPEED, now, 1.0)])
    until(lambda: len(car.acks) > heard, "the second is not answered")
    car.until_refused(duplicate=1)
    assert car.acks[-1]["number"] == 1
    assert car.lake(1)
    assert car.quarantined() == []


def test_numbers_out_of_order_wait_for_those_before_them(car: WireCar) -> None:
    now = now_us()
    car.send(3, [(SPEED, now + 2, 3.0)])
    until(lambda: car.acks and car.acks[-1]["number"] == 0, "the third is not answered")
    car.send(1, [(SPEED, now, 1.0)])
    car.until_acked(1)
    car.send(2, [(SPEED, now + 1, 2.0)])
    car.until_acked(3)
    assert [row[2] for row in car.lake(3)] == [1.0, 2.0, 3.0]
    assert car.told() == {}


def test_truncated_batch_uses_up_its_number_and_is_kept(car: WireCar) -> None:
    now = now_us()
    car.publish("batch", car.payload(1, [(SPEED, now, 1.0)])[:-5])
    car.send(2, [(SPEED, now, 2.0)])
    car.until_acked(2)
    car.until_refused(bad_body=1)
    assert [row[2] for row in car.lake(1)] == [2.0]
    assert car.quarantined() == ["bad_body"]


def test_truncated_header_has_no_number_so_the_queue_waits(car: WireCar) -> None:
    whole = car.payload(1, [(SPEED, now_us(), 1.0)])
    car.publish("batch", whole[:40])
    car.until_refused(unreadable=1)
    assert car.acked() == 0
    assert car.quarantined() == ["unreadable"]
    car.publish("batch", whole)
    car.until_acked(1)
    car.lake(1)


def test_flipped_bit_in_the_body_uses_up_the_number(car: WireCar) -> None:
    flipped = bytearray(car.payload(1, [(SPEED, now_us(), 1.0)]))
    flipped[60] ^= 4
    car.publish("batch", bytes(flipped))
    car.until_acked(1)
    car.until_refused(bad_body=1)
    car.lake(0)
    assert car.quarantined() == ["bad_body"]


def test_flipped_bit_in_the_header_is_unreadable_whichever_it_is(car: WireCar) -> None:
    whole = car.payload(1, [(SPEED, now_us(), 1.0)])
    for place in range(0, 56, 5):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        car.publish("batch", bytes(flipped))
    car.until_refused(unreadable=12)
    assert car.acked() == 0
    assert car.quarantined() == ["unreadable"] * 12


@pytest.mark.parametrize(("declared", "cause"), [(True, "too_large"), (False, "bad_body")])
def test_zip_bomb_costs_no_memory(car: WireCar, declared: bool, cause: str) -> None:
    governor = psutil.Process(car.zone.children()["governor"])
    before = governor.memory_info().rss
    bomb = zstandard.ZstdCompressor(level=19, write_content_size=declared).compress(bytes(1 << 30))
    head = struct.pack("<4sBBH8sQQq", b"CCB1", 1, 0, 0, wire.table_hash(TABLE), car.queue, 1, now_us())
    head += struct.pack("<III", 1, 1, google_crc32c.value(bomb))
    car.publish("batch", head + struct.pack("<I", google_crc32c.value(head)) + bomb)
    car.until_acked(1)
    car.until_refused(**{cause: 1})
    car.lake(0)
    assert car.quarantined() == [cause]
    assert governor.memory_info().rss - before < 64 << 20


def test_unknown_signal_is_dropped_and_counted_and_not_kept(car: WireCar) -> None:
    now = now_us()
    car.send(1, [(SPEED, now, 1.0), (UNKNOWN, now, 9.9), (UNKNOWN, now + 1, 9.8)])
    car.until_acked(1)
    car.until_refused(unknown_signal=2)
    assert car.lake(1) == [["Vehicle.Speed", now, 1.0, None]]
    assert car.quarantined() == []


def test_text_for_a_number_and_a_number_for_a_text_are_wrong_types(car: WireCar) -> None:
    now = now_us()
    car.send(1, [(SPEED, now, "fast"), (SPEED, now + 1, 1.0), (STATE, now, 4.0), (STATE, now + 1, "ON")])
    car.until_acked(1)
    car.until_refused(wrong_type=2)
    assert car.lake(2) == [
        ["Vehicle.LowVoltageSystemState", now + 1, None, "ON"],
        ["Vehicle.Speed", now + 1, 1.0, None],
    ]
    assert car.quarantined() == ["wrong_type"]


def test_text_that_is_not_allowed_is_out_of_range(car: WireCar) -> None:
    car.send(1, [(STATE, now_us(), "SIDEWAYS")])
    car.until_acked(1)
    car.until_refused(out_of_range=1)
    car.lake(0)
    assert car.quarantined() == ["out_of_range"]


def test_nan_and_infinity_are_no_values(car: WireCar) -> None:
    now = now_us()
    car.send(
        1, [(SPEED, now, math.nan), (SPEED, now + 1, math.inf), (SPEED, now + 2, -math.inf), (SPEED, now + 3, 1.0)]
    )
    car.until_acked(1)
    car.until_refused(not_finite=3)
    assert [row[2] for row in car.lake(1)] == [1.0]
    assert car.quarantined() == ["not_finite"]


def test_another_unit_than_the_catalogue_is_refused(car: WireCar) -> None:
    table = {"signals": [["Vehicle.Speed", "m/s"]]}
    car.hello(table)
    car.publish("batch", car.payload(1, [(SPEED, now_us(), 1.0)], table))
    car.until_acked(1)
    car.until_refused(wrong_unit=1)
    car.lake(0)
    assert car.quarantined() == ["wrong_unit"]


def test_empty_batch_uses_up_its_number_and_is_no_fault(car: WireCar) -> None:
    car.send(1, [])
    car.send(2, [(SPEED, now_us(), 1.0)])
    car.until_acked(2)
    car.lake(1)
    assert car.told() == {}


def test_empty_batch_without_a_number_is_counted(car: WireCar) -> None:
    car.publish("batch", {"samples": []})
    car.until_refused(empty=1)
    car.lake(0)
    assert car.quarantined() == []


def test_unknown_table_parks_the_batch_until_the_table_comes(quiet: RunningZone) -> None:
    table = {"signals": [["Vehicle.AverageSpeed", "km/h"]]}
    with WireCar(quiet, "table later", hello=False) as car:
        now = now_us()
        car.publish("batch", car.payload(1, [(SPEED, now, 1.5)], table))
        until(lambda: any("want" in ack for ack in car.acks), "no table is wanted")
        assert car.acks[-1] == {
            "queue": f"{car.queue:016x}",
            "number": 0,
            "want": wire.table_hash(table).hex(),
        }
        car.hello(table)
        car.until_acked(1)
        assert car.lake(1) == [["Vehicle.AverageSpeed", now, 1.5, None]]
        assert car.told() == {}


def test_json_without_a_number_is_stored_and_not_acknowledged(car: WireCar) -> None:
    heard = until(lambda: len(car.acks), "hello is not answered")
    car.publish("batch", {"samples": [{"signal": "Vehicle.Speed", "value": 12.5}]})
    until(lambda: car.zone.sql("select 1 from samples where vehicle = $vehicle", vehicle=car.vehicle), "no row")
    assert [row[2] for row in car.lake(1)] == [12.5]
    assert len(car.acks) == heard


def test_text_that_is_no_json_is_refused_with_the_reason(car: WireCar) -> None:
    car.publish("batch", b'{"samples": [')
    car.until_refused(bad_json=1)
    assert car.quarantined() == ["bad_json"]


def test_payload_beyond_128_kib_is_refused_and_the_car_goes_on(car: WireCar) -> None:
    car.publish("batch", b"{" + bytes(128 * 1024))
    car.send(1, [(SPEED, now_us(), 1.0)])
    car.until_acked(1)
    car.until_refused(too_large=1)
    assert car.quarantined() == ["too_large"]
    car.lake(1)


def test_payload_beyond_what_the_broker_takes_ends_the_connection(car: WireCar) -> None:
    car.publish("batch", bytes(200 * 1024))
    until(lambda: not car.connected, "the broker takes it")
    car.lake(0)


def test_flood_of_one_car_ends_its_session_and_leaves_the_others_alone(quiet: RunningZone) -> None:
    with WireCar(quiet, "calm") as calm, WireCar(quiet, "flooding") as flooding:
        for _ in range(10 * FLOOD):
            flooding.publish("batch", {"samples": [{"signal": "Vehicle.Speed", "value": 1.0}]})
        calm.send(1, [(SPEED, now_us(), 1.0)])
        calm.until_acked(1)
        until(lambda: not flooding.connected, "the session stays open")
        until(lambda: quiet.status()["stream"]["refused"].get("flood", 0) > 0, "no flood is counted")
        assert flooding.quarantined() == []
        calm.lake(1)


def test_quarantine_is_listed_and_shown_decoded_by_the_command_line(car: WireCar) -> None:
    now = now_us()
    car.send(1, [(SPEED, now, math.inf), (SPEED, now + 1, 50.0)])
    car.until_acked(1)
    data = str(car.zone.data)
    listed = carcloud("quarantine", "list", "--data", data, "--cause", "not_finite")
    line = next(line for line in listed.stdout.splitlines() if car.vehicle in line)
    assert line.split()[2:] == [car.vehicle, "not_finite", "1", "of", "2", "rows"]
    shown = json.loads(carcloud("quarantine", "show", line.split()[0], "--data", data).stdout)
    assert shown["cause"] == "not_finite"
    assert shown["decoded"]["number"] == 1
    assert [row[2] for row in shown["decoded"]["shown"]] == [None, 50.0]


def test_after_all_that_the_lake_is_as_signed(quiet: RunningZone) -> None:
    until(quiet.lake_is_level, "the lake does not take the chunks that are there")
    verdict = carcloud("verify", "lake", "--data", str(quiet.data))
    assert verdict.returncode == 0, verdict.stdout
    assert quiet.health() == "ok"
