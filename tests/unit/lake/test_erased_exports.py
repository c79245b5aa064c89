"""Erasing a car from exported files: its rows leave those that are as they were written, and no other row does."""

import csv
import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.export_files import ExportFile
from carcloud.lake.exports import WRITERS, erase_exports, sha256_of
from tests.stream import CAR, OTHER

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HIDDEN = "p-aaaaaaaaaaaaaaaaaaaa"
NAMES = (CAR, HIDDEN)
ROWS = pa.table(
    {
        "vehicle": [CAR, OTHER, HIDDEN, None, OTHER],
        "said": ["a", 'x, "y"\nz', "b", None, f"follows {CAR}"],
        "value": [1.5, -0.0, 2.0, 3.25, 4.0],
        "at": pa.array([1, 2, 3, 4, 5], pa.timestamp("us", "UTC")),
    }
)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = Records.open(f"sqlite:///{tmp_path}/records.db")
    opened.add_vehicle(Vehicle(CAR, "default", "WVWZZZ1JZXW000001", None, "active", AT))
    yield opened
    opened.close()


def written(records: Records, path: Path, rows: pa.Table = ROWS, kind: str = "parquet") -> ExportFile:
    path.touch(0o600)
    with path.open("wb") as sink, WRITERS[kind](sink, rows.schema) as writer:
        for batch in rows.to_batches(max_chunksize=2):
            writer.write_batch(batch)
    said = kind, sha256_of(path), rows.num_rows, "vehicle" in rows.schema.names
    return records.export_files.add(ExportFile(AT, "default", "machine", str(path), *said))


def read(path: Path, kind: str) -> list[list[object]]:
    if kind == "csv":
        return [list(row) for row in csv.reader(io.StringIO(path.read_text()))][1:]
    table = pq.read_table(path) if kind == "parquet" else pa.ipc.open_file(path).read_all()
    return [list(row.values()) for row in table.to_pylist()]


@pytest.mark.parametrize("kind", sorted(WRITERS))
def test_rows_with_any_name_of_the_car_leave_and_all_others_stay_as_they_are(
    records: Records, tmp_path: Path, kind: str
) -> None:
    file, path = written(records, tmp_path / "out", kind=kind), tmp_path / "out"
    before = read(path, kind)
    erasure = records.erasures.begin(CAR, "person:dpo")
    facts = erase_exports(records, erasure.id, "default", NAMES)
    assert facts == {"files": 1, "rows": 3, "not_reached": 0}
    assert read(path, kind) == [before[1], before[3]]
    assert CAR.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    (now,) = records.export_files.all()
    assert (now.id, now.rows, now.sha256) == (file.id, 2, hashlib.sha256(path.read_bytes()).hexdigest())
    assert erase_exports(records, erasure.id, "default", NAMES) == {"files": 0, "rows": 0, "not_reached": 0}
    assert sorted(file.name for file in tmp_path.iterdir() if "out" in file.name) == ["out"]


def test_names_within_lists_and_dictionaries_are_found(records: Records, tmp_path: Path) -> None:
    rows = pa.table(
        {
            "cars": [[OTHER], [OTHER, CAR], []],
            "one": pa.array([HIDDEN, OTHER, OTHER]).dictionary_encode(),
            "bytes": pa.array([b"", b"", b"x" + CAR.encode()], pa.binary()),
        }
    )
    written(records, tmp_path / "out", rows)
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert erase_exports(records, erasure.id, "default", NAMES) == {"files": 1, "rows": 3, "not_reached": 1}
    assert records.export_files.missed(erasure.id) == {str(tmp_path / "out"): "names no car"}


def test_files_that_moved_or_changed_are_left_alone_and_said(records: Records, tmp_path: Path) -> None:
    names = ("moved", "changed", "damaged", "linked", "other")
    paths = {name: tmp_path / name for name in names}
    for name, path in paths.items():
        written(records, path, ROWS.slice(1, 1) if name == "other" else ROWS)
    paths["moved"].rename(tmp_path / "elsewhere")
    paths["changed"].write_bytes(paths["changed"].read_bytes() + b" ")
    paths["damaged"].write_bytes(b"PAR1")
    record = next(file for file in records.export_files.all() if file.path.endswith("damaged"))
    records.export_files.change(record.id, sha256_of(paths["damaged"]), 5)
    paths["linked"].rename(tmp_path / "real")
    paths["linked"].symlink_to(tmp_path / "real")
    kept = {path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix != ".db" and path.is_file()}
    erasure = records.erasures.begin(CAR, "person:dpo")
    facts = erase_exports(records, erasure.id, "default", NAMES)
    assert facts == {"files": 0, "rows": 0, "not_reached": 4}
    why = {"moved": "gone", "changed": "changed", "damaged": "cannot be read", "linked": "gone"}
    assert records.export_files.missed(erasure.id) == {str(paths[name]): reason for name, reason in why.items()}
    assert all(path.read_bytes() == data for path, data in kept.items() if "records" not in path.name)


def test_another_tenants_files_are_not_looked_at(records: Records, tmp_path: Path) -> None:
    written(records, tmp_path / "out")
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert erase_exports(records, erasure.id, "other", NAMES) == {"files": 0, "rows": 0, "not_reached": 0}
    assert len(pq.read_table(tmp_path / "out")) == 5


def test_a_file_written_while_a_car_was_erased_is_looked_at_alone(records: Records, tmp_path: Path) -> None:
    written(records, tmp_path / "old")
    (tmp_path / "old").unlink()
    erasure = records.erasures.begin(CAR, "person:dpo")
    erase_exports(records, erasure.id, "default", NAMES)
    written(records, tmp_path / "new")
    facts = erase_exports(records, erasure.id, "default", NAMES, only=str(tmp_path / "new"))
    assert facts == {"files": 1, "rows": 3, "not_reached": 1}
    assert set(records.export_files.missed(erasure.id)) == {str(tmp_path / "old")}
