"""The register of exported files on both databases; paths lie sealed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import text

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.export_files import ExportFile
from carcloud.safety.seal import NameVault

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
PATH = "/home/anna/" + "long/" * 60 + "drives.csv"
FILE = ExportFile(AT, "default", "machine", PATH, "csv", "ab" * 32, 7)


def test_a_file_is_known_until_one_is_written_in_its_place(records: Records) -> None:
    first = records.export_files.add(FILE)
    other = records.export_files.add(ExportFile(AT, "other", "machine", "/data/x", "arrow", "cd" * 32, 1))
    assert records.export_files.all() == sorted([first, other], key=lambda file: file.id)
    assert records.export_files.all("default") == [first]
    records.export_files.change(first.id, "ef" * 32, 5)
    (now,) = records.export_files.all("default")
    assert (now.sha256, now.rows) == ("ef" * 32, 5)
    again = records.export_files.add(ExportFile(AT + timedelta(1), *tuple(vars(FILE).values())[1:-2]))
    assert records.export_files.all("default") == [again]
    assert again.id != first.id


def test_a_file_that_takes_anothers_place_is_known_as_both_until_it_has(records: Records) -> None:
    old = records.export_files.add(FILE)
    draft = records.export_files.add(ExportFile(AT, "default", "machine", f"{PATH}.part", "csv", "", 0))
    assert (draft.hashes, old.hashes) == (set(), {"ab" * 32})
    assert records.export_files.finish(draft.id, PATH, "12" * 32, 3)
    (now,) = records.export_files.all("default")
    assert (now.id, now.path, now.rows, now.hashes) == (draft.id, PATH, 3, {"12" * 32, "ab" * 32})
    records.export_files.settle(now.id)
    assert records.export_files.all()[0].hashes == {"12" * 32}
    records.export_files.allow(now.id, "34" * 32)
    assert records.export_files.all()[0].hashes == {"12" * 32, "34" * 32}
    records.export_files.change(now.id, "34" * 32, 2)
    assert (records.export_files.all()[0].hashes, records.export_files.all()[0].rows) == ({"34" * 32}, 2)


def test_a_draft_that_was_given_up_cannot_be_finished(records: Records) -> None:
    draft = records.export_files.add(ExportFile(AT, "default", "machine", f"{PATH}.part", "csv", "", 0))
    assert not records.export_files.forget(draft.id, PATH)
    assert records.export_files.forget(draft.id, draft.path)
    assert not records.export_files.forget(draft.id, draft.path)
    assert not records.export_files.finish(draft.id, PATH, "12" * 32, 3)
    assert records.export_files.all() == []


def test_what_an_erasure_missed_is_what_it_missed_last(records: Records) -> None:
    records.add_vehicle(Vehicle("a" * 16, "default", "WVWZZZ1JZXW000001", None, "active", AT))
    erasure = records.erasures.begin("a" * 16, "person:dpo").id
    assert records.export_files.missed(erasure) == {}
    records.export_files.miss(erasure, {PATH: "gone", "/data/x": "changed"})
    records.export_files.miss(erasure, {PATH: "changed"})
    assert records.export_files.missed(erasure) == {PATH: "changed"}


def test_paths_lie_sealed(url: str, tmp_path: Path) -> None:
    records = Records.open(url, vault=NameVault(tmp_path / "keys"))
    file = records.export_files.add(FILE)
    assert records.export_files.all() == [file]
    assert records.export_files.add(FILE) == records.export_files.all()[0]
    with records.transaction() as db:
        (row,) = db.execute(text("SELECT path FROM export_files")).all()
    records.close()
    assert "anna" not in row[0]
