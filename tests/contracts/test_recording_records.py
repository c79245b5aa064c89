"""The recordings in the records, on both databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from carcloud.backends.records import Records
from carcloud.backends.records import recordings as table
from carcloud.backends.records.recordings import RecordedFile, Recording
from carcloud.errors import ConflictError, MissingError

NOW = datetime(2026, 11, 24, tzinfo=UTC)
DRIVE = Recording(
    id="a" * 32,
    tenant="default",
    name="drive of a Wednesday.mcap",
    bytes=30,
    sha256="b" * 64,
    files=(RecordedFile("drive.mcap", 20), RecordedFile("maps/town.xodr", 10)),
    purpose="research",
    basis="consent",
    zone="eu",
    made_by="person:emma",
    made_at=NOW,
    options={"main": "drive.mcap", "parameters": {"speed": "10"}},
    licence="CC-BY-4.0",
    vehicle="car-1",
    consent="c" * 20,
    software_version="4.2",
    place="Bonn",
)


def test_the_same_bytes_are_one_recording_and_go_on_where_they_were(records: Records) -> None:
    assert records.recordings.begin(DRIVE) == DRIVE
    assert records.recordings.get("default", DRIVE.id) == DRIVE
    again = replace(DRIVE, id="d" * 32)
    assert records.recordings.begin(again) == DRIVE, "an upload that was cut off goes on"
    with pytest.raises(ConflictError, match="which is uploading"):
        records.recordings.begin(replace(again, made_by="person:fred"))
    waits = records.recordings.move(DRIVE, "waiting", "person:emma", NOW)
    assert records.recordings.begin(again) == waits
    imported = records.recordings.move(waits, "imported", "process:research", NOW)
    with pytest.raises(ConflictError, match="which is imported"):
        records.recordings.begin(again)
    records.recordings.erase(imported, "person:emma", NOW)
    assert records.recordings.begin(again) == again, "what was erased may come again"
    records.recordings.move(again, "refused", "process:research", NOW, error="It is broken.")
    third = replace(DRIVE, id="e" * 32)
    assert records.recordings.begin(third) == third, "and what was refused"


def test_recordings_are_a_tenants_own(records: Records) -> None:
    records.recordings.begin(DRIVE)
    with pytest.raises(MissingError):
        records.recordings.get("other", DRIVE.id)
    assert records.recordings.listed("other") == records.recordings.of_vehicle("other", "car-1") == []
    other = replace(DRIVE, id="e" * 32, tenant="other")
    assert records.recordings.begin(other) == other, "and so are their bytes"
    assert records.recordings.listed("default") == [DRIVE]


def test_only_one_of_two_moves_a_recording(records: Records) -> None:
    records.recordings.begin(DRIVE)
    waits = records.recordings.move(DRIVE, "waiting", "person:emma", NOW)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        records.recordings.move(DRIVE, "waiting", "person:emma", NOW)
    assert records.recordings.next() == waits
    runs = records.recordings.move(waits, "importing", "process:research", NOW)
    records.recordings.tell(DRIVE.id, 0.5)
    assert records.recordings.get("default", DRIVE.id) == replace(runs, progress=0.5)
    refusals = (("three", "Its track 7 has a gap."),)
    done = records.recordings.move(
        runs, "imported", "process:research", NOW, scenarios=4, duplicates=1, refused=1, refusals=refusals, progress=1.0
    )
    records.recordings.tell(DRIVE.id, 0.1)
    assert records.recordings.get("default", DRIVE.id) == done
    assert records.recordings.next() is None
    changes = [act.facts for act in records.audit.pending(10)]
    assert [word in fact for word, fact in zip(("begun", "waiting", "importing", "imported"), changes, strict=True)]
    assert not any("Wednesday" in fact or "Bonn" in fact or "car-1" in fact for fact in changes)


def test_nothing_of_an_erased_recording_names_anybody(records: Records) -> None:
    records.recordings.begin(DRIVE)
    for _ in range(2):
        gone = records.recordings.erase(DRIVE, "person:dora", NOW)
    assert records.recordings.get("default", DRIVE.id) == gone
    assert (gone.state, gone.name, gone.place, gone.vehicle, gone.files, gone.options) == ("erased", "", "", "", (), {})
    assert records.recordings.of_vehicle("default", "car-1") == []
    assert sum("erased" in act.facts for act in records.audit.pending(10)) == 1


def test_lists_are_the_newest_first_and_choose_by_state(records: Records) -> None:
    later = replace(DRIVE, id="f" * 32, sha256="9" * 64, made_at=NOW + timedelta(hours=1))
    records.recordings.begin(DRIVE)
    records.recordings.begin(later)
    assert records.recordings.listed("default") == [later, DRIVE]
    assert records.recordings.of_vehicle("default", "car-1") == [DRIVE, later]
    records.recordings.move(DRIVE, "waiting", "person:emma", NOW)
    assert records.recordings.listed("default", state="uploading") == [later]


def test_how_many_may_be_sent_at_once_is_bounded(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "LIMIT_UPLOADING", 1)
    records.recordings.begin(DRIVE)
    with pytest.raises(ConflictError, match="being sent already"):
        records.recordings.begin(replace(DRIVE, id="d" * 32, sha256="1" * 64))
