"""Quarantine: what was refused is kept sealed, once, and one car fills no more than its share."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from carcloud.backends.records import Records
from carcloud.safety.seal import Seals
from carcloud.stream.intake import Refusal
from carcloud.stream.quarantine import LIMIT_A_MINUTE, LIMIT_SHOWN, Quarantine, read
from carcloud.stream.subjects import Origin
from tests.stream import CAR, NOW_US, OTHER, TABLE, batch

MINUTE_US = 60_000_000
START_US = NOW_US // MINUTE_US * MINUTE_US


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = Records.open(f"sqlite:///{tmp_path}/records.db")
    yield opened
    opened.close()


@pytest.fixture
def quarantine(records: Records, tmp_path: Path) -> Quarantine:
    return Quarantine(records, Seals(tmp_path / "keys", "default"))


def refusal(number: int, vehicle: str = CAR, at_us: int = START_US) -> Refusal:
    return Refusal(Origin("default", vehicle, "batch"), "bad_body", 1, "cut", b"payload %d" % number, at_us)


def test_a_payload_is_kept_sealed_and_comes_back(quarantine, records):
    quarantine.keep([refusal(1)])
    (entry,) = records.quarantine_entries(10)
    assert (entry.vehicle, entry.cause, entry.detail, entry.size) == (CAR, "bad_body", "cut", 9)
    whole = records.quarantine_entry(entry.id)
    assert b"payload" not in whole.sealed
    assert quarantine.payload(whole) == b"payload 1"


def test_the_same_payload_for_the_same_cause_is_one_entry(quarantine, records):
    quarantine.keep([refusal(1), refusal(1)])
    quarantine.keep([refusal(1), refusal(2)])
    assert len(records.quarantine_entries(10)) == 2


def test_one_car_keeps_no_more_than_its_share_a_minute_and_others_keep_theirs(quarantine, records):
    quarantine.keep([refusal(number) for number in range(LIMIT_A_MINUTE + 5)])
    quarantine.keep([refusal(number, OTHER) for number in range(3)])
    assert len(records.quarantine_entries(1000)) == LIMIT_A_MINUTE + 3
    quarantine.keep([refusal(1000, at_us=START_US + MINUTE_US - 1)])
    assert len(records.quarantine_entries(1000)) == LIMIT_A_MINUTE + 3
    quarantine.keep([refusal(1001, at_us=START_US + MINUTE_US)])
    assert len(records.quarantine_entries(1000)) == LIMIT_A_MINUTE + 4


def test_a_batch_that_waited_over_a_minute_does_not_renew_the_share(quarantine, records):
    quarantine.keep([refusal(number, at_us=START_US + MINUTE_US) for number in range(LIMIT_A_MINUTE)])
    quarantine.keep([refusal(1000, at_us=START_US), refusal(1001, at_us=START_US + MINUTE_US)])
    assert len(records.quarantine_entries(1000)) == LIMIT_A_MINUTE


def test_a_readable_payload_is_shown_in_rows(records: Records) -> None:
    rows = [("Vehicle.Speed", NOW_US + at, float(at)) for at in range(LIMIT_SHOWN + 5)]
    payload = batch([*rows, ("Vehicle.Name", NOW_US, "x")], 255, 3, 1)
    shown = read(payload, records)
    assert (shown["queue"], shown["number"], shown["samples"]) == (f"{255:016x}", 3, LIMIT_SHOWN + 6)
    assert (len(shown["shown"]), shown["table"]) == (LIMIT_SHOWN, TABLE.hash.hex())
    assert shown["shown"][1][::2] == ["#0", 1.0]
    records.put_table(TABLE.hash.hex(), TABLE.canonical().decode())
    assert read(payload, records)["shown"][1][0] == TABLE.signals[0][0]
    body = {"samples": [{"signal": "A.b", "value": "x", "time": 5}]}
    assert read(json.dumps(body).encode(), records) == body


def test_nan_and_a_text_can_be_shown_and_nonsense_is_none(records: Records) -> None:
    shown = read(batch([("Vehicle.Name", NOW_US, "x"), ("Vehicle.Free", NOW_US, float("nan"))]), records)
    assert [row[2] for row in shown["shown"]] == ["x", None]
    for payload in (b"", b"{", b"nonsense", batch([])[:-1]):
        assert read(payload, records) is None
