"""The intake: whose message it is, whose turn, what waits, and what is refused as a whole."""

import json

import numpy as np
import pytest

from carcloud.stream import intake as rooms
from carcloud.stream.guards import UNKNOWN_SIGNAL
from carcloud.stream.intake import LIMIT_TABLES, LIMIT_WAITING, Intake, Quota
from carcloud.stream.marks import Marks
from carcloud.stream.settings import FloodLimits
from carcloud.vehicle.batch import IdTable, decode, encode, tombstone, weight
from tests.stream import CAR, CATALOGUE, NOW_US, OTHER, TABLE, batch, hello, up

ROWS = [("Vehicle.Speed", NOW_US, 50.0)]


def new(marks: Marks | None = None, tables=(TABLE,), flood: FloodLimits | None = None, tenants=None) -> Intake:
    known = {CAR: "default", OTHER: "default"} if tenants is None else tenants
    tables = {table.hash: table for table in tables}
    return Intake(CATALOGUE, marks or Marks(), tables, known.get, flood or FloodLimits())


def causes(intake: Intake) -> list[str]:
    return [refusal.cause for refusal in intake.refusals]


def answers(intake: Intake) -> dict[int, tuple[int, str]]:
    return {queue: (intake.marks.mark(who.vehicle, queue), want) for (who, queue), want in intake.answers.items()}


def test_a_batch_in_its_turn_is_taken_and_answered():
    intake = new()
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    assert [arrival.number for arrival in intake.arrivals] == [1]
    assert intake.moved == {(CAR, 7): 1}
    assert answers(intake) == {7: (1, "")}
    assert intake.needs_chunk


def test_a_later_batch_waits_for_the_one_before_it():
    intake = new()
    for number in (3, 2):
        intake.take(up(), batch(ROWS, 7, number), NOW_US)
    assert (intake.arrivals, intake.waiting) == ([], 2)
    assert answers(intake) == {7: (0, "")}
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    assert [arrival.number for arrival in intake.arrivals] == [1, 2, 3]
    assert (intake.waiting, answers(intake)) == (0, {7: (3, "")})


def test_an_earlier_batch_is_a_duplicate_and_is_answered_again():
    intake = new()
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    intake.clear()
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    assert (causes(intake), intake.arrivals) == (["duplicate"], [])
    assert answers(intake) == {7: (1, "")}


def test_a_batch_of_an_unknown_table_waits_until_the_table_comes():
    intake = new(tables=())
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    assert answers(intake) == {7: (0, TABLE.hash.hex())}
    intake.take(up(kind="event"), hello(7), NOW_US)
    assert [arrival.number for arrival in intake.arrivals] == [1]
    assert set(intake.new_tables) == {TABLE.hash}
    assert set(answers(intake).values()) == {(1, "")}


def test_a_known_table_is_not_new():
    intake = new()
    intake.take(up(kind="event"), hello(7), NOW_US)
    assert intake.new_tables == {}
    assert answers(intake) == {7: (0, "")}
    assert not intake.needs_chunk


def test_one_car_announces_no_more_tables_than_its_share():
    intake = new()
    for number in range(LIMIT_TABLES + 2):
        intake.take(up(kind="event"), hello(7, IdTable(((f"Vehicle.S{number}", None),))), NOW_US)
    assert len(intake.new_tables) == LIMIT_TABLES
    assert causes(intake) == ["unknown_table"] * 2
    intake.take(up(OTHER, "event"), hello(7, IdTable((("Vehicle.Other", None),))), NOW_US)
    assert len(intake.new_tables) == LIMIT_TABLES + 1


def test_a_queue_waits_with_a_bounded_number_of_batches():
    intake = new()
    for number in range(2, LIMIT_WAITING + 10):
        intake.take(up(), batch(ROWS, 7, number), NOW_US)
    assert intake.waiting == LIMIT_WAITING
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    assert intake.marks.mark(CAR, 7) == LIMIT_WAITING + 1


def test_where_too_much_waits_the_queue_that_waited_longest_is_let_go(monkeypatch):
    intake, payload = new(), batch(ROWS, 7, 2)
    monkeypatch.setattr(rooms, "LIMIT_WAITING_BYTES", 2 * (len(payload) + rooms.ROW_BYTES))
    for vehicle, queue in ((CAR, 7), (OTHER, 8), (CAR, 9)):
        intake.take(up(vehicle), batch(ROWS, queue, 2), NOW_US)
    assert intake.waiting == 2
    for vehicle, queue in ((CAR, 7), (OTHER, 8), (CAR, 9)):
        intake.take(up(vehicle), batch(ROWS, queue, 1), NOW_US)
    assert [intake.marks.mark(*queue) for queue in ((CAR, 7), (OTHER, 8), (CAR, 9))] == [1, 2, 2]
    assert intake.waiting == 0


def test_what_was_let_go_makes_room_again(monkeypatch):
    intake, payload = new(), batch(ROWS, 7, 2)
    monkeypatch.setattr(rooms, "LIMIT_WAITING_BYTES", len(payload) + rooms.ROW_BYTES)
    for _ in range(3):
        for queue in (7, 8):
            intake.take(up(), batch(ROWS, queue, 2), NOW_US)
            assert intake.waiting == 1


def test_a_waiting_batch_that_comes_again_takes_no_more_room(monkeypatch):
    intake, payload = new(), batch(ROWS, 7, 2)
    monkeypatch.setattr(rooms, "LIMIT_WAITING_BYTES", 2 * (len(payload) + rooms.ROW_BYTES))
    for vehicle in (CAR, CAR, CAR, OTHER):
        intake.take(up(vehicle), payload, NOW_US)
    assert intake.waiting == 2


def test_what_was_released_makes_room_again(monkeypatch):
    intake, payload = new(), batch(ROWS, 7, 2)
    monkeypatch.setattr(rooms, "LIMIT_WAITING_BYTES", 2 * (len(payload) + rooms.ROW_BYTES))
    for number in (2, 4, 6):
        intake.take(up(OTHER), batch(ROWS, 9, 9), NOW_US)
        intake.take(up(), batch(ROWS, 7, number), NOW_US)
        assert intake.waiting == 2
        intake.take(up(), batch(ROWS, 7, number - 1), NOW_US)
        assert intake.marks.mark(CAR, 7) == number


def test_a_waiting_batch_whose_turn_has_come_still_waits_for_its_table():
    other = IdTable((("Vehicle.Gear", None),))
    intake = new()
    intake.take(up(), batch([("Vehicle.Gear", NOW_US, 1.0)], 7, 2, table=other), NOW_US)
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    assert (intake.marks.mark(CAR, 7), intake.waiting) == (1, 1)
    intake.take(up(kind="event"), hello(7, other), NOW_US)
    assert (intake.marks.mark(CAR, 7), intake.waiting) == (2, 0)


def test_a_small_payload_that_unpacks_to_much_counts_unpacked(monkeypatch):
    rows = [("Vehicle.Speed", NOW_US + at, 1.0) for at in range(10_000)]
    payload = batch(rows, 7, 2)
    assert len(payload) < 40_000
    monkeypatch.setattr(rooms, "LIMIT_WAITING_BYTES", 10 * len(payload))
    intake = new()
    for queue in range(1, 11):
        intake.take(up(), batch(rows, queue, 2), NOW_US)
    assert intake.waiting == 1


def test_a_full_chunk_takes_no_more_of_what_waited_until_the_next(monkeypatch):
    monkeypatch.setattr(rooms, "LIMIT_SIZE", 3 * rooms.ROW_BYTES)
    intake = new()
    for number in range(2, 9):
        intake.take(up(), batch(ROWS, 7, number), NOW_US)
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    chunks = []
    while intake.arrivals:
        chunks.append([arrival.number for arrival in intake.arrivals])
        assert intake.moved == {(CAR, 7): chunks[-1][-1]}
        intake.clear()
    assert chunks == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert (intake.waiting, intake.full) == (0, False)


def test_an_unreadable_header_uses_up_no_number():
    intake = new()
    intake.take(up(), batch(ROWS, 7, 1)[:40], NOW_US)
    assert (causes(intake), intake.moved) == (["unreadable"], {})
    assert intake.refusals[0].payload == batch(ROWS, 7, 1)[:40]


def test_a_broken_body_uses_up_its_number_and_lets_the_next_go_on():
    intake = new()
    intake.take(up(), batch(ROWS, 7, 2), NOW_US)
    intake.take(up(), batch(ROWS, 7, 1)[:-1], NOW_US)
    assert causes(intake) == ["bad_body"]
    assert [arrival.number for arrival in intake.arrivals] == [2]
    assert answers(intake) == {7: (2, "")}


def test_a_broken_batch_out_of_turn_uses_up_nothing():
    intake = new()
    intake.take(up(), batch(ROWS, 7, 5)[:-1], NOW_US)
    assert (causes(intake), intake.moved, answers(intake)) == (["bad_body"], {}, {7: (0, "")})


def test_a_broken_copy_of_a_waiting_batch_does_not_leave_it_waiting_for_ever():
    intake = new()
    intake.take(up(), batch(ROWS, 7, 2), NOW_US)
    intake.take(up(), batch(ROWS, 7, 1), NOW_US)
    intake.take(up(), batch(ROWS, 7, 2)[:-1], NOW_US)
    assert (intake.waiting, intake.marks.mark(CAR, 7)) == (0, 2)


def test_an_empty_batch_is_accepted_uses_up_its_number_and_needs_no_table():
    intake = new(tables=())
    intake.take(up(), tombstone(7, 1), NOW_US)
    assert (intake.arrivals, intake.refusals, intake.moved) == ([], [], {(CAR, 7): 1})
    assert intake.needs_chunk


def test_queues_are_remembered_in_the_order_of_last_use():
    intake = new()
    for queue, number in ((1, 1), (2, 1), (1, 2)):
        intake.take(up(), batch(ROWS, queue, number), NOW_US)
    assert list(intake.moved) == [(CAR, 2), (CAR, 1)]


@pytest.mark.parametrize(
    ("vehicle", "tenant", "cause"),
    [
        ("stranger", "default", "not_enrolled"),
        (CAR, "another", "not_enrolled"),
        ("a.b", "default", "wrong_vehicle"),
        ("*", "default", "wrong_vehicle"),
        ("", "default", "wrong_vehicle"),
        ("v" * 65, "default", "wrong_vehicle"),
    ],
)
def test_who_is_not_enrolled_is_not_heard(vehicle, tenant, cause):
    intake = new()
    intake.take(up(vehicle, tenant=tenant), batch(ROWS), NOW_US)
    assert (causes(intake), intake.arrivals, intake.answers) == ([cause], [], {})


def test_a_revoked_car_is_asked_for_again():
    tenants = {CAR: "default", OTHER: "default"}
    intake = new(tenants=tenants)
    for vehicle in (CAR, OTHER):
        intake.take(up(vehicle), batch(ROWS, 7, 1), NOW_US)
    del tenants[CAR], tenants[OTHER]
    intake.forget(CAR)
    for vehicle in (CAR, OTHER):
        intake.take(up(vehicle), batch(ROWS, 7, 2), NOW_US)
    assert causes(intake) == ["not_enrolled"]
    assert [arrival.origin.vehicle for arrival in intake.arrivals] == [CAR, OTHER, OTHER]


def test_a_car_may_send_so_many_messages_a_second_and_no_more():
    intake = new(flood=FloodLimits(messages_per_s=3))
    for number in range(1, 6):
        intake.take(up(), batch(ROWS, 7, number), NOW_US + number)
    intake.take(up(OTHER), batch(ROWS, 7, 1), NOW_US)
    assert len(intake.arrivals) == 4
    assert causes(intake) == ["flood"] * 2
    assert [origin.vehicle for origin in intake.flooding] == [CAR]


def test_the_next_second_begins_anew_and_the_refused_batch_may_come_again():
    intake = new(flood=FloodLimits(messages_per_s=1))
    second = NOW_US // 1_000_000 * 1_000_000
    for number, at in ((1, second), (2, second + 999_999), (2, second + 1_000_000)):
        intake.take(up(), batch(ROWS, 7, number), at)
    assert causes(intake) == ["flood"]
    assert intake.marks.mark(CAR, 7) == 2


def test_a_car_may_send_so_many_bytes_a_second_and_no_more():
    intake = new(flood=FloodLimits(bytes_per_s=1000))
    payload = json.dumps({"samples": [{"signal": "Vehicle.Name", "value": "x" * 1000}]}).encode()
    for _ in range(3):
        intake.take(up(), payload, NOW_US)
    assert len(intake.arrivals) == 1
    assert causes(intake) == ["flood"] * 2


def test_a_second_whose_bytes_are_used_up_exactly_takes_no_more():
    payload = batch(ROWS, 7, 1)
    intake = new(flood=FloodLimits(bytes_per_s=weight(payload)))
    for number in (1, 2):
        intake.take(up(), batch(ROWS, 7, number), NOW_US)
    assert causes(intake) == ["flood"]


@pytest.mark.parametrize(
    "event",
    [
        *(b"", b"{", b"\xff", b"[]", b"3", b'{"event":"bye"}', b'{"event":"hello","queue":"7"}', b"[" * 100_000),
        *(b'{"event":"hello","table":{}}', b'{"event":"hello","queue":null}', b'{"event":"hello","table":[]}'),
    ],
)
def test_what_is_no_event_is_refused(event):
    intake = new()
    intake.take(up(kind="event"), event, NOW_US)
    assert causes(intake) == ["bad_json"]
    assert (intake.answers, intake.new_tables) == ({}, {})


def test_a_hello_without_a_queue_only_brings_its_table():
    intake = new(tables=())
    event = {"event": "hello", "table": json.loads(TABLE.canonical())}
    intake.take(up(kind="event"), json.dumps(event).encode(), NOW_US)
    assert (set(intake.tables), intake.answers, causes(intake)) == ({TABLE.hash}, {}, [])


def test_json_rows_become_sorted_runs_with_the_brokers_time_where_none_is_given():
    samples = [
        {"signal": "Vehicle.Speed", "value": 3, "time": NOW_US + 5},
        {"signal": "Vehicle.Name", "value": "a"},
        {"signal": "Vehicle.Speed", "value": 2},
        {"signal": "Vehicle.Speed", "value": 1, "unit": "km/h", "time": NOW_US - 5},
        {"signal": "Vehicle.Speed", "value": 1, "unit": "m/s"},
        {"signal": "Vehicle.Nope", "value": True},
        {"signal": "Vehicle.Tags", "value": ["x", 1]},
    ]
    intake = new()
    intake.take(up(), json.dumps({"samples": samples, "provenance": "simulated"}).encode(), NOW_US)
    (arrival,) = intake.arrivals
    index = CATALOGUE.index
    assert (arrival.number, arrival.provenance) == (0, 2)
    speed = index["Vehicle.Speed"]
    assert arrival.signals.tolist() == [index["Vehicle.Name"], -1, speed, speed, -2, index["Vehicle.Tags"]]
    assert arrival.counts.tolist() == [1, 1, 2, 1, 1, 1]
    assert arrival.times_us.tolist() == [NOW_US, NOW_US, NOW_US, NOW_US + 5, NOW_US - 5, NOW_US, NOW_US]
    assert arrival.texts == {0: "a", 6: '["x",1]'}
    np.testing.assert_array_equal(arrival.values, [np.nan, 1, 2, 3, 1, 1, np.nan])


def test_json_without_a_number_is_never_a_duplicate_and_gets_no_ack():
    intake = new()
    payload = json.dumps({"samples": [{"signal": "Vehicle.Speed", "value": 1}]}).encode()
    for _ in range(2):
        intake.take(up(), payload, NOW_US)
    assert len(intake.arrivals) == 2
    assert (intake.answers, intake.moved) == ({}, {})


def test_numbered_json_and_columns_share_one_queue():
    intake = new()
    body = {"samples": [{"signal": "Vehicle.Speed", "value": 1}], "queue": f"{7:016x}", "number": 1}
    intake.take(up(), batch(ROWS, 7, 2), NOW_US)
    intake.take(up(), json.dumps(body).encode(), NOW_US)
    assert [arrival.number for arrival in intake.arrivals] == [1, 2]


def test_an_index_beyond_the_table_is_an_unknown_signal():
    small = IdTable((("Vehicle.Speed", "km/h"),))
    payload = decode(batch([("Vehicle.Gear", NOW_US, 1.0), ("Vehicle.Speed", NOW_US, 1.0)], 7, 1))
    intake = new(tables=(small,))
    intake.take(up(), encode(payload.__class__(**{**vars(payload), "table": small.hash})), NOW_US)
    assert intake.arrivals[0].signals.tolist() == [CATALOGUE.index["Vehicle.Speed"], -1]


def test_another_unit_than_the_catalogues_is_wrong_and_none_is_taken_as_its_own():
    units = IdTable((("Vehicle.Speed", "m/s"), ("Vehicle.Free", "km"), ("Vehicle.Gear", None)))
    intake = new(tables=(units,))
    rows = [(path, NOW_US, 1.0) for path, _ in units.signals]
    intake.take(up(), batch(rows, 7, 1, table=units), NOW_US)
    assert intake.arrivals[0].signals.tolist() == [-2, -2, CATALOGUE.index["Vehicle.Gear"]]


@pytest.mark.parametrize("base", [2**63 - 1, -(2**63), 2**62 + 7])
def test_a_base_time_at_the_edge_of_64_bits_does_not_wrap_around(base):
    payload = decode(batch([("Vehicle.Speed", NOW_US, 1.0), ("Vehicle.Speed", NOW_US + 2**31 - 1, 1.0)], 7, 1))
    intake = new()
    intake.take(up(), encode(payload.__class__(**{**vars(payload), "base_us": base})), NOW_US)
    times = intake.arrivals[0].times_us
    assert times[0] < times[1]
    assert (times > 2**61).all() if base > 0 else (times < -(2**61)).all()


def test_a_refusal_alone_is_worth_a_chunk():
    intake = new()
    intake.take(up("stranger"), batch(ROWS), NOW_US)
    assert (intake.arrivals, intake.moved, intake.needs_chunk) == ([], {}, True)


OTHER_TABLE = IdTable((("Vehicle.Gear", None),))


def test_the_wish_for_a_table_is_not_forgotten_over_what_comes_after_it():
    intake = new()
    intake.take(up(), batch([("Vehicle.Gear", NOW_US, 1.0)], 7, 1, table=OTHER_TABLE), NOW_US)
    for payload in (batch(ROWS, 7, 2), batch(ROWS, 7, 9)[:-1]):
        intake.take(up(), payload, NOW_US)
        assert answers(intake) == {7: (0, OTHER_TABLE.hash.hex())}


def test_a_queue_that_waits_anew_has_not_waited_longest(monkeypatch):
    intake, payload = new(), batch(ROWS, 7, 2)
    monkeypatch.setattr(rooms, "LIMIT_WAITING_BYTES", 2 * (len(payload) + rooms.ROW_BYTES))
    for vehicle, number in ((CAR, 2), (CAR, 1)):  # waits, and is released
        intake.take(up(vehicle), batch(ROWS, 7, number), NOW_US)
    for vehicle, queue, number in ((OTHER, 8, 2), (CAR, 7, 4), (OTHER, 9, 2)):
        intake.take(up(vehicle), batch(ROWS, queue, number), NOW_US)
    for vehicle, queue, number in ((OTHER, 8, 1), (CAR, 7, 3), (OTHER, 9, 1)):
        intake.take(up(vehicle), batch(ROWS, queue, number), NOW_US)
    assert [intake.marks.mark(*queue) for queue in ((OTHER, 8), (CAR, 7), (OTHER, 9))] == [1, 4, 2]


def test_a_time_of_zero_is_a_time():
    intake = new()
    intake.take(up(), b'{"samples":[{"signal":"Vehicle.Speed","value":1,"time":0}]}', NOW_US)
    assert intake.arrivals[0].times_us.tolist() == [0]


def test_json_that_waits_counts_with_what_its_rows_take(monkeypatch):
    body = {"samples": [{"signal": "Vehicle.Speed", "value": 1}] * 50, "number": 2}
    payloads = [json.dumps(body | {"queue": f"{queue:016x}"}).encode() for queue in (7, 8)]
    monkeypatch.setattr(rooms, "LIMIT_WAITING_BYTES", 20 * len(payloads[0]))
    intake = new()
    for payload in payloads:
        intake.take(up(), payload, NOW_US)
    assert intake.waiting == 1


def test_rows_and_texts_fill_a_chunk_by_what_they_take_unpacked():
    intake = new()
    intake.take(up(), batch([*ROWS, ("Vehicle.Name", NOW_US, "x" * 100)], 7, 1), NOW_US)
    assert (intake.samples, intake.size) == (2, 2 * rooms.ROW_BYTES + 4 * 100)


def test_offsets_before_the_earliest_base_do_not_wrap_around_into_the_future():
    payload = decode(batch([("Vehicle.Speed", NOW_US, 1.0)], 7, 1))
    early = {"base_us": -(2**63), "times": np.array([-5], np.int32)}
    intake = new()
    intake.take(up(), encode(payload.__class__(**{**vars(payload), **early})), NOW_US)
    assert (intake.arrivals[0].times_us < 0).all()


def quoted(quota: Quota | None, hidden: frozenset[str] = frozenset()) -> Intake:
    known = {CAR: "acme", OTHER: "beta"}
    limits = {"acme": quota}
    about = known.get, FloodLimits(), None, limits.get, lambda tenant: hidden if tenant == "acme" else frozenset()
    return Intake(CATALOGUE, Marks(), {TABLE.hash: TABLE}, *about)


@pytest.mark.parametrize("quota", [Quota(messages_per_s=1), Quota(bytes_per_s=1), Quota(full=True)])
def test_beyond_a_tenants_quota_a_message_is_left_undecoded_and_open_and_others_go_on(quota: Quota) -> None:
    intake = quoted(quota)
    if not quota.full:
        intake.take(up(tenant="acme"), batch(ROWS, 7, 1), NOW_US)
    taken = len(intake.arrivals)
    intake.take(up(tenant="acme"), b"nothing that could be decoded", NOW_US)
    intake.take(up(tenant="acme"), batch(ROWS, 7, taken + 1), NOW_US)
    intake.take(up(OTHER, tenant="beta"), batch(ROWS, 7, 1), NOW_US)
    assert causes(intake) == ["quota", "quota"]
    assert intake.marks.mark(CAR, 7) == taken
    assert [arrival.origin.tenant for arrival in intake.arrivals] == ["acme"] * taken + ["beta"]
    intake.take(up(kind="event", tenant="acme"), hello(7), NOW_US)
    assert len(causes(intake)) == 2  # a hello is always heard, so that a car knows where it stands
    if not quota.full:
        intake.take(up(tenant="acme"), batch(ROWS, 7, 2), NOW_US + 1_000_000)
        assert intake.marks.mark(CAR, 7) == 2


def test_signals_of_others_are_unknown_to_a_tenant() -> None:
    intake = quoted(None, hidden=frozenset({"Vehicle.Speed"}))
    rows = [("Vehicle.Speed", NOW_US, 1.0)]
    intake.take(up(tenant="acme"), batch(rows, 7, 1), NOW_US)
    intake.take(up(OTHER, tenant="beta"), batch(rows, 7, 1), NOW_US)
    mine, others = (arrival.signals.tolist() for arrival in intake.arrivals)
    assert (mine, others) == ([UNKNOWN_SIGNAL], [CATALOGUE.index["Vehicle.Speed"]])
