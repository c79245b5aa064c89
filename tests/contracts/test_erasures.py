"""The ledger of erasures on both databases, and that nothing of the car stays in the records."""

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from carcloud.backends.records import Certificate, Entry, Erasure, QuarantineEntry, Records, Vehicle
from carcloud.backends.records.audit import Details, Leaf
from carcloud.backends.records.database import metadata
from carcloud.backends.records.erasures import PARTS
from carcloud.backends.records.recordings import Recording
from carcloud.backends.records.requests import Request
from carcloud.errors import MissingError, TryLaterError
from tests.contracts.giving import consent

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
CAR = Vehicle("aaaaaaaaaaaaaaaa", "default", "WVWZZZ1JZXW000001", "Anna's", "active", AT)
OTHER = Vehicle("bbbbbbbbbbbbbbbb", "default", "WVWZZZ1JZXW000002", None, "active", AT)


def filled(records: Records) -> None:
    for number, car in enumerate((CAR, OTHER)):
        records.add_vehicle(car, Certificate(f"{number:x}1", car.id, AT, AT + timedelta(days=30)))
        records.grants.give(consent(car.id, "research", AT))
        records.put_quarantine(
            [QuarantineEntry(f"q{number}", AT, car.id, "bad_json", "", 5, b"sealed" + car.id.encode())]
        )
        records.audit.add(Entry("person:a", "revokeVehicle", f"vehicle:{car.id}", details={"why": "Anna moved"}))


def mentions(records: Records, word: str) -> list[str]:
    found = []
    with records.transaction() as db:
        for table in metadata.sorted_tables:
            found += [table.name for row in db.execute(select(table)).all() if word in str(tuple(row))]
    return found


def test_all_that_the_records_say_of_a_car_goes_and_its_id_stays_in_the_ledger(records: Records) -> None:
    filled(records)
    erasure = records.erasures.begin(CAR.id, "person:dpo")
    assert set(mentions(records, CAR.id)) <= {"erasures", "audit_pending"}
    assert mentions(records, "Anna's") == []
    assert len(mentions(records, "Anna moved")) == 1  # the other car's
    assert records.vehicle(OTHER.id) == OTHER
    assert [held.grant.vehicle for held in records.grants.held(AT, ["zone"])] == [OTHER.id]
    assert len(records.quarantine_entries()) == 1
    assert records.erasures.begin(CAR.id, "person:other") == erasure
    assert records.erasures.vehicles() == {CAR.id}
    with pytest.raises(MissingError):
        records.erasures.begin("nobody", "person:dpo")


def test_an_erasure_is_done_when_every_part_said_so_once(records: Records) -> None:
    filled(records)
    erasure = records.erasures.begin(CAR.id, "person:dpo")
    assert records.erasures.unfenced() == [erasure]
    assert records.erasures.open("lake") == []
    records.erasures.set_fence(erasure.id, 7)
    assert records.erasures.unfenced() == []
    for part in PARTS:
        (waiting,) = records.erasures.open(part)
        assert (waiting.fence, waiting.done_at) == (7, None)
        records.erasures.finish(erasure.id, part, {"rows": 3})
        records.erasures.finish(erasure.id, part, {"rows": 0})
        assert records.erasures.open(part) == []
    (done,) = records.erasures.all()
    assert done.done_at is not None
    assert done.parts == {part: {"rows": 3} for part in PARTS}
    with records.transaction() as db:
        query = "SELECT outcome FROM audit_pending WHERE action = 'eraseVehicle' ORDER BY id"
        assert [row[0] for row in db.exec_driver_sql(query).all()] == ["allowed", "done"]


def test_deleted_rows_leave_no_byte_in_the_file(tmp_path: Path) -> None:
    records = Records.open(f"sqlite:///{tmp_path}/records.db")
    filled(records)
    records.erasures.begin(CAR.id, "person:dpo")
    lying = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert CAR.vin.encode() not in lying
    assert b"Anna" not in lying.replace(b"Anna moved", b"", 1)
    assert b"sealed" + CAR.id.encode() not in lying
    assert OTHER.vin.encode() in lying
    records.close()


def test_what_was_on_its_way_when_it_began_is_gone_when_it_is_done(records: Records) -> None:
    filled(records)
    erasure = records.erasures.begin(CAR.id, "machine")
    records.put_quarantine([QuarantineEntry("late", AT, CAR.id, "bad_json", "", 1, b"x")])
    records.erasures.set_fence(erasure.id, 1)
    for part in PARTS:
        records.erasures.finish(erasure.id, part, {})
    assert [entry.vehicle for entry in records.quarantine_entries()] == [OTHER.id]


def test_details_erased_while_their_leaf_is_written_do_not_come_back(records: Records) -> None:
    filled(records)
    acts = records.audit.pending(100)
    mine = next(number for number, act in enumerate(acts) if act.object == f"vehicle:{CAR.id}" and act.details)
    records.erasures.begin(CAR.id, "machine")  # between reading the act and settling its leaf
    leaves = [
        Leaf(number, act.at, act.tenant, act.actor, act.action, act.object, act.outcome)
        for number, act in enumerate(acts)
    ]
    kept = [Details(number, b"s" * 16, act.details) for number, act in enumerate(acts) if act.details]
    records.audit.settle(0, leaves, kept, [], [act.id for act in acts])
    assert records.audit.details(mine) is None
    assert len(records.audit.details_within(0, len(acts))) == len(kept) - 1


def test_an_erasure_is_not_done_while_a_reader_keeps_the_old_pages(tmp_path: Path) -> None:
    records = Records.open(f"sqlite:///{tmp_path}/records.db")
    filled(records)
    reader = sqlite3.connect(tmp_path / "records.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM vehicles").fetchall()
    erasure = records.erasures.begin(CAR.id, "machine")
    records.erasures.set_fence(erasure.id, 1)
    with pytest.raises(TryLaterError, match="reads the records"):
        records.erasures.finish(erasure.id, "lake", {})
    reader.close()
    records.erasures.finish(erasure.id, "lake", {})
    assert b"Anna's" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    records.close()


def test_an_erasure_of_another_time_is_begun_again_under_its_own_id_and_names(records: Records) -> None:
    filled(records)
    names = records.pseudonyms.of({CAR.id: "default"}, "2026-03")
    told = Erasure("e" * 16, CAR.id, "default", AT, "person:dpo", None, None, {}, ("p-older",))
    for _ in range(2):
        records.erasures.begin_again(told)
    (begun,) = records.erasures.all()
    assert (begun.id, begun.at, begun.actor, begun.fence) == (told.id, AT, "person:dpo", None)
    assert set(begun.names) == {"p-older", *names.values()}
    assert mentions(records, "Anna's") == []
    assert records.erasures.lacking("ledger") == [begun]


def test_what_was_under_way_at_a_moment_is_done_once_more_by_every_part(records: Records) -> None:
    filled(records)
    erasures = [records.erasures.begin(car.id, "person:dpo") for car in (CAR, OTHER)]
    for erasure, parts in zip(erasures, (PARTS, PARTS[:2]), strict=True):
        records.erasures.set_fence(erasure.id, 7)
        for part in parts:
            records.erasures.finish(erasure.id, part, {})
    done = next(one.done_at for one in records.erasures.all() if one.done_at)
    assert records.erasures.reopen(done + timedelta(seconds=1)) == 1
    assert [one.vehicle for one in records.erasures.unfenced()] == [OTHER.id]
    assert records.erasures.reopen(done) == 2
    assert {one.vehicle for one in records.erasures.lacking("lake")} == {CAR.id, OTHER.id}
    assert all((one.fence, one.done_at, one.parts) == (None, None, {}) for one in records.erasures.all())


def test_what_other_acts_and_requests_said_of_the_car_goes_too(records: Records) -> None:
    filled(records)
    name = records.pseudonyms.of({CAR.id: "default"}, "2026-03")[CAR.id]
    for word in (CAR.id, name, OTHER.id):
        records.audit.add(Entry("machine", "exportLake", "lake", details={"query": f"select '{word}'"}))
    asked = Request("default", "erasure", CAR.id, "Anna wrote on Monday", AT.date(), AT.date(), AT)
    records.requests.add(asked, "machine")
    records.erasures.begin(CAR.id, "person:dpo")
    with records.transaction() as db:
        details = [row.details for row in db.execute(select(metadata.tables["audit_pending"])).all() if row.details]
    assert not any(word in said for said in details for word in (CAR.id, name, "Monday"))
    assert sum(OTHER.id in said for said in details) == 1


def test_an_erasure_takes_the_ids_of_the_cars_recordings_over_and_leaves_others(records: Records) -> None:
    filled(records)
    for number, car in enumerate((CAR.id, CAR.id, OTHER.id, "")):
        known = (
            f"r{number}",
            "default",
            "drive",
            3,
            f"{number}" * 64,
            (),
            "research",
            "consent",
            "lab",
            "person:a",
            AT,
        )
        records.recordings.begin(Recording(*known, vehicle=car))
    assert len(records.recordings.made_before(AT)) == 0
    assert len(records.recordings.made_before(AT + timedelta(seconds=1))) == 4
    erasure = records.erasures.begin(CAR.id, "person:dpo")
    assert erasure.recordings == ("r0", "r1")
    assert records.erasures.begin(CAR.id, "person:dpo").recordings == ("r0", "r1")
    assert sorted(one.id for one in records.recordings.listed("default")) == ["r2", "r3"]
    with records.transaction() as db:
        query = "SELECT details FROM audit_pending WHERE object IN ('recording:r0', 'recording:r1')"
        assert {row[0] for row in db.exec_driver_sql(query).all()} == {None}
