"""The twin's state: newest first, whatever comes when."""

import pytest

from carcloud.errors import InputError
from carcloud.twin.state import TwinState
from carcloud.twin.values import Last, Presence
from tests.stream import CAR, NOW_US, OTHER, chunk

SPEED = "Vehicle.Speed"


def state_of(*rows_of_chunks) -> TwinState:
    state = TwinState()
    for number, rows in enumerate(rows_of_chunks, 1):
        state.apply(chunk(number, rows, NOW_US + number))
    return state


def test_an_older_time_stamp_never_overwrites_a_newer_one():
    state = state_of([(CAR, SPEED, NOW_US, 1.0, 0)], [(CAR, SPEED, NOW_US - 1, 2.0, 0)])
    assert state.values(CAR) == {SPEED: Last(1.0, NOW_US, "measured")}


def test_at_the_same_time_stamp_the_later_arrival_stands():
    state = state_of([(CAR, SPEED, NOW_US, 1.0, 0)], [(CAR, SPEED, NOW_US, 2.0, 1)])
    assert state.values(CAR) == {SPEED: Last(2.0, NOW_US, "replay")}


def test_a_car_that_only_sends_old_samples_is_heard_all_the_same():
    state = state_of([(CAR, SPEED, NOW_US, 1.0, 0)], [(CAR, SPEED, NOW_US - 1, 2.0, 0)])
    assert state.presence(CAR) == Presence(NOW_US + 2, 1, "measured", -2e-06)
    assert state.reporting(NOW_US + 2) == {"default": 1}
    assert state.reporting(NOW_US + 3) == {}


def test_a_number_takes_the_place_of_a_text_and_the_other_way_round():
    rows = [[(CAR, SPEED, NOW_US + at, value, 0)] for at, value in enumerate(["a", 1.0, "", 2.0, "b"])]
    for end in range(1, 6):
        assert state_of(*rows[:end]).values(CAR)[SPEED].value == rows[end - 1][0][3]


def test_unknown_cars_and_paths_have_no_values():
    state = state_of([(CAR, SPEED, NOW_US, 1.0, 0)], [(OTHER, "Vehicle.Gear", NOW_US, 1.0, 0)])
    assert state.values("nobody") == {}
    assert state.presence("nobody") is None
    assert state.values(CAR, ["Vehicle.Gear", "Vehicle.None"]) == {}
    assert list(state.values(CAR, [SPEED])) == [SPEED]


def test_a_recording_says_nothing_of_a_cars_clock():
    state = state_of([(CAR, SPEED, NOW_US + 1_000_001, 1.0, 2)], [(OTHER, SPEED, NOW_US, 1.0, 1)])
    assert state.presence(CAR).clock_offset_s == 1.0
    assert state.presence(OTHER).clock_offset_s is None


def test_changes_are_chosen_by_cars_and_paths():
    state = TwinState()
    cells = state.apply(chunk(1, [(car, path, NOW_US, 1.0, 0) for car in (CAR, OTHER) for path in ("A.b", "A.c")]))
    assert state.changes(state.chosen(cells, {CAR}, None)).keys() == {CAR}
    assert state.changes(state.chosen(cells, None, {"A.c", "A.none"}))[OTHER].keys() == {"A.c"}
    assert len(state.chosen(cells, {"nobody"}, None)[0]) == len(state.chosen(cells, None, set())[0]) == 0
    assert len(state.chosen(cells, None, None)[0]) == 4


def test_the_table_grows_with_cars_and_signals_and_keeps_what_it_had():
    rows = [
        (f"car{car:04}", f"Vehicle.S{signal:02}", NOW_US, car + signal / 100, 0)
        for car in range(600)
        for signal in (0, 40)
    ]
    more = [("car0000", f"Vehicle.S{signal:02}", NOW_US, float(signal), 0) for signal in range(1, 40)]
    state = state_of(rows, more)
    assert len(state.vehicles) == 600
    assert len(state.values("car0000")) == 41
    assert state.values("car0599")["Vehicle.S40"].value == 599.4
    assert state.reporting(NOW_US) == {"default": 600}


def test_an_empty_chunk_moves_only_the_position():
    state = state_of([(CAR, SPEED, NOW_US, 1.0, 0)], [])
    assert state.chunk == 2
    assert state.presence(CAR).last_seen_us == NOW_US + 1


def test_no_file_is_a_new_state_and_a_damaged_one_is_said(tmp_path):
    assert TwinState.load(tmp_path / "none").chunk == 0
    file = tmp_path / "state.arrow"
    whole = state_of([(CAR, SPEED, NOW_US, 1.0, 0)]).dump()
    for damaged in (b"", whole[:50], b"\0\0\0\x80", whole.replace(b"vehicles", b"vehikles")):
        file.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged"):
            TwinState.load(file)


def test_rows_under_a_pseudonym_are_no_cars():
    hidden = "p-aaaaaaaaaaaaaaaaaaaa"
    rows = [(hidden, SPEED, NOW_US, 3.0, 0), (OTHER, SPEED, NOW_US, 2.0, 0), (CAR, SPEED, NOW_US, 1.0, 0)]
    state = state_of(rows, [(hidden, SPEED, NOW_US + 1, 4.0, 0)])
    assert state.chunk == 2
    assert sorted(state.vehicles) == [CAR, OTHER]
    assert [state.values(car)[SPEED].value for car in (CAR, OTHER)] == [1.0, 2.0]
    assert state.values(hidden) == {}


def test_columns_say_of_each_car_what_its_values_say():
    state = state_of(
        [(CAR, SPEED, NOW_US, 1.0, 0), (CAR, "Vehicle.Name", NOW_US + 1, "", 0)], [(OTHER, SPEED, NOW_US + 2, 2.0, 0)]
    )
    rows = state.columns([OTHER, CAR], [SPEED, "Vehicle.Name", "Vehicle.None"]).to_pylist()
    nothing = {"value_2": None, "text_2": None, "time_2": None}
    assert rows == [
        {"vehicle": OTHER, "value_0": 2.0, "text_0": None, "time_0": NOW_US + 2}
        | {"value_1": None, "text_1": None, "time_1": None}
        | nothing,
        {"vehicle": CAR, "value_0": 1.0, "text_0": None, "time_0": NOW_US}
        | {"value_1": None, "text_1": "", "time_1": NOW_US + 1}
        | nothing,
    ]
