"""The records as lines: every row comes back as it was, from either database into either."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import insert

from carcloud.backends.records import Certificate, Entry, QuarantineEntry, Records, Vehicle
from carcloud.backends.records.database import metadata
from carcloud.backends.records.dump import LEFT_OUT, check_empty, clear, load, snapshot
from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import ConflictError, InputError
from carcloud.safety.seal import NameVault

NOW = datetime(2026, 11, 23, 17, 30, 0, 123456, UTC)
VIN = "WVWZZZ1JZ3W386752"


@pytest.fixture
def filled(url: str, tmp_path: Path) -> Iterator[Records]:
    records = Records.open(url, NameVault(tmp_path / "keys"))
    records.add_vehicle(Vehicle("car", "default", VIN, None, "active", NOW), Certificate("01", "car", NOW, NOW))
    entries = [
        QuarantineEntry(f"{at:064}", NOW, "car", "bad_json", "no", 3, bytes([at % 256, 0, 255])) for at in range(1200)
    ]
    records.put_quarantine(entries)
    records.set_position("lake", 0, 1 << 40)
    records.put_meta("governance", "ü\n")
    for _ in range(3):
        records.audit.add(Entry("machine", "test", "zone", details={"a": 1}))
    records.plans.add(KeptPlan("default", "steering", 1, "a" * 64, b'{"plan":1}', NOW, "machine", NOW))
    requests = metadata.tables.get("requests")
    if requests is not None:
        row = {"id": "r", "tenant": "default", "kind": "access", "reference": "x", "noted_at": NOW}
        with records.transaction(writing=True) as db:
            db.execute(insert(requests).values(received=date(2026, 11, 1), due=date(2026, 12, 1), **row))
    yield records
    records.close()


def dumped(records: Records) -> list[bytes]:
    with snapshot(records) as view:
        return list(view.lines())


@pytest.fixture
def other(other_url: str, tmp_path: Path) -> Iterator[Records]:
    records = Records.open(other_url, NameVault(tmp_path / "keys"))
    yield records
    records.close()


def test_every_row_comes_back_as_it_was(filled: Records, other: Records) -> None:
    lines = dumped(filled)
    assert load(other, lines) == orjson.loads(lines[-1])["rows"] > 1200
    assert dumped(other)[1:] == lines[1:]
    assert other.vehicle("car").vin == VIN
    assert other.standing("01")[1].enrolled_at == NOW
    assert other.quarantine_entry(f"{7:064}").sealed == bytes([7, 0, 255])
    assert other.plans.get("default", "steering").document == b'{"plan":1}'
    assert VIN.encode() not in b"".join(lines)


def test_numbers_of_acts_go_on_behind_the_last_ever_given(filled: Records, other: Records) -> None:
    filled.audit.settle(0, [], [], [], [act.id for act in filled.audit.pending(10)])
    load(other, dumped(filled))
    other.audit.add(Entry("machine", "test", "zone"))
    assert [act.id for act in other.audit.pending(10)] == [5]


def test_records_that_were_cleared_are_empty_and_take_a_dump_again(filled: Records) -> None:
    lines = dumped(filled)
    clear(filled)
    check_empty(filled)
    assert load(filled, lines) == orjson.loads(lines[-1])["rows"]
    assert dumped(filled)[1:] == lines[1:]


def test_a_dump_sees_one_state_whatever_is_written_meanwhile(filled: Records) -> None:
    with snapshot(filled) as view:
        before, lines = view.leaves(), view.lines()
        first = next(lines)
        filled.put_meta("later", "1")
        rest = list(lines)
    assert before == 0
    assert b"later" not in b"".join([first, *rest])


def test_records_that_hold_something_are_not_written_over(filled: Records) -> None:
    with pytest.raises(ConflictError, match="not empty"):
        load(filled, dumped(filled))


def test_a_dump_that_was_cut_short_or_is_another_schemas_leaves_the_records_empty(
    filled: Records, other: Records
) -> None:
    lines = dumped(filled)
    newer = orjson.dumps(orjson.loads(lines[0]) | {"schema": 999})
    for broken in (lines[:-1], lines[:9] + lines[-1:], [newer, *lines[1:]], [], [b"{}"], [lines[0], b"[1]"]):
        with pytest.raises(InputError):
            load(other, broken)
    assert other.vehicles() == []


def test_nobody_stays_signed_in_over_a_restore(filled: Records) -> None:
    assert {"sessions", "sign_in_links"} <= LEFT_OUT
    assert not any(name.encode() in line for line in dumped(filled) for name in ("sessions", "sign_in_links"))
