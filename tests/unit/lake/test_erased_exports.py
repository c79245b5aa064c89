"""Erasing a car from exported files: its rows leave those that are as they were written, and no other row does."""

import csv
import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.export_files import ExportFile
from carcloud.errors import TryLaterError
from carcloud.lake import exports
from carcloud.lake.exports import WRITERS, erase_exports, exporting, sha256_of
from tests.stream import CAR, OTHER

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
HIDDEN = "p-aaaaaaaaaaaaaaaaaaaa"
NAMES = (CAR, HIDDEN)
NOTHING = dict.fromkeys(("files", "rows", "without", "unfinished", "not_reached"), 0)
ROWS = pa.table(
    {
        "vehicle": [CAR, OTHER, HIDDEN, OTHER, OTHER],
        "said": ["a", 'x, "y"\nz', "b", None, f"follows {CAR}"],
        "value": [1.5, -0.0, 2.0, 3.25, 4.0],
        "at": pa.array([1, 2, 3, 4, 5], pa.timestamp("us", "UTC")),
    }
)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = Records.open(f"sqlite:///{tmp_path}/records.db")
    for number, car in enumerate((CAR, OTHER)):
        opened.add_vehicle(Vehicle(car, "default", f"WVWZZZ1JZXW00000{number}", None, "active", AT))
    yield opened
    opened.close()


def written(records: Records, path: Path, rows: pa.Table = ROWS, kind: str = "parquet") -> ExportFile:
    path.touch(0o600)
    with path.open("wb") as sink, WRITERS[kind](sink, rows.schema) as writer:
        for batch in rows.to_batches(max_chunksize=2):
            writer.write_batch(batch)
    said = kind, sha256_of(path), rows.num_rows
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
    assert facts == NOTHING | {"files": 1, "rows": 3}
    assert read(path, kind) == [before[1], before[3]]
    assert CAR.encode() not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    (now,) = records.export_files.all()
    assert (now.id, now.rows, now.sha256) == (file.id, 2, hashlib.sha256(path.read_bytes()).hexdigest())
    assert erase_exports(records, erasure.id, "default", NAMES) == NOTHING | {"without": 1}
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
    assert erase_exports(records, erasure.id, "default", NAMES) == NOTHING | {"files": 1, "rows": 3}


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
    assert facts == NOTHING | {"without": 1, "not_reached": 4}
    why = {"moved": "gone", "changed": "changed", "damaged": "cannot be read", "linked": "gone"}
    assert records.export_files.missed(erasure.id) == {str(paths[name]): reason for name, reason in why.items()}
    assert all(path.read_bytes() == data for path, data in kept.items() if "records" not in path.name)


def test_another_tenants_files_are_not_looked_at(records: Records, tmp_path: Path) -> None:
    written(records, tmp_path / "out")
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert erase_exports(records, erasure.id, "other", NAMES) == NOTHING
    assert len(pq.read_table(tmp_path / "out")) == 5


def test_a_file_written_while_a_car_was_erased_is_looked_at_alone(records: Records, tmp_path: Path) -> None:
    written(records, tmp_path / "old")
    (tmp_path / "old").unlink()
    erasure = records.erasures.begin(CAR, "person:dpo")
    erase_exports(records, erasure.id, "default", NAMES)
    written(records, tmp_path / "new")
    facts = erase_exports(records, erasure.id, "default", NAMES, only=str(tmp_path / "new"))
    assert facts == NOTHING | {"files": 1, "rows": 3, "not_reached": 1}
    assert set(records.export_files.missed(erasure.id)) == {str(tmp_path / "old")}


DEEP = {
    "times that are no dates of Python": (f"SELECT '{CAR}' AS c, [DATE '200000-01-01'] AS d", 1),
    "numbers of all kinds": (f"SELECT '{CAR}' AS c, [170141183460469231731687::HUGEINT], 1.5::DECIMAL(9,2), true", 1),
    "lists of structures": (f"SELECT [{{'a': 1, 'b': ['{OTHER}', 'x {CAR}']}}] AS c", 1),
    "maps": (f"SELECT MAP {{'{CAR}': 1}} AS c UNION ALL SELECT MAP {{'{OTHER}': 2}}", 1),
    "arrays and blobs": (f"SELECT ['{HIDDEN}'::BLOB]::BLOB[1] AS c, NULL AS n", 1),
    "enums": (f"SELECT unnest(['{CAR}', '{OTHER}'])::ENUM ('{OTHER}', '{CAR}') AS c", 1),
}


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
@pytest.mark.parametrize("name", DEEP)
def test_names_are_found_however_deep_they_lie(records: Records, tmp_path: Path, kind: str, name: str) -> None:
    question, removed = DEEP[name]
    with duckdb.connect() as database:
        rows = database.sql(question).to_arrow_table()
    written(records, tmp_path / "out", rows, kind)
    written(records, tmp_path / "plain", kind=kind)
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert erase_exports(records, erasure.id, "default", NAMES) == NOTHING | {"files": 2, "rows": removed + 3}
    assert CAR.encode() not in (tmp_path / "out").read_bytes()


def test_an_enum_within_a_structure_is_not_reached(records: Records, tmp_path: Path) -> None:
    with duckdb.connect() as database:
        said = f"SELECT [{{'e': '{OTHER}'::ENUM ('{OTHER}', '{CAR}')}}] AS c"
        written(records, tmp_path / "out", database.sql(said).to_arrow_table(), "arrow")
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert erase_exports(records, erasure.id, "default", NAMES) == NOTHING | {"not_reached": 1}


@pytest.mark.parametrize("error", [OverflowError, MemoryError, RecursionError, pa.ArrowInvalid])
def test_no_fault_with_one_file_stands_in_the_way_of_another(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    written(records, tmp_path / "bad", kind="arrow")
    written(records, tmp_path / "good")

    def fails(*_: object) -> None:
        raise error("x")

    monkeypatch.setattr(exports.pa.ipc, "open_file", fails)
    erasure = records.erasures.begin(CAR, "person:dpo")
    facts = erase_exports(records, erasure.id, "default", NAMES)
    assert facts == NOTHING | {"files": 1, "rows": 3, "not_reached": 1}
    assert records.export_files.missed(erasure.id) == {str(tmp_path / "bad"): "cannot be read"}


@pytest.mark.parametrize("kind", sorted(WRITERS))
@pytest.mark.parametrize("what", ["hashes", "totals", "a null", "another's rows", "nothing", "a column of its name"])
def test_whether_a_file_says_whose_its_rows_are_is_told_by_what_is_in_it(
    records: Records, tmp_path: Path, kind: str, what: str
) -> None:
    rows, why = {
        "hashes": ({"vehicle": [hashlib.md5(CAR.encode()).hexdigest()]}, "cannot tell"),
        "totals": ({"vehicle": ["all"], "value": [1.5]}, "cannot tell"),
        "a null": ({"vehicle": [None, OTHER]}, "cannot tell"),
        "another's rows": ({"car": [OTHER, "p-" + "b" * 20], "value": [1.5, 2.5]}, ""),
        "nothing": ({"vehicle": pa.array([], pa.string())}, ""),
        "a column of its name": ({f"km_{CAR}": [1.5], "vehicle": [OTHER]}, "a column is named after it"),
    }[what]
    written(records, tmp_path / "out", pa.table(rows), kind)
    before = (tmp_path / "out").read_bytes()
    erasure = records.erasures.begin(CAR, "person:dpo")
    facts = erase_exports(records, erasure.id, "default", NAMES)
    assert facts == NOTHING | ({"not_reached": 1} if why else {"without": 1})
    assert records.export_files.missed(erasure.id) == ({str(tmp_path / "out"): why} if why else {})
    assert (tmp_path / "out").read_bytes() == before


class KilledError(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("step", ["allow", "replace", "change"])
def test_erasing_goes_on_wherever_it_was_killed(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    written(records, tmp_path / "out")
    erasure = records.erasures.begin(CAR, "person:dpo")

    def killed(*_: object) -> None:
        raise KilledError

    with monkeypatch.context() as patched:
        target = Path if step == "replace" else type(records.export_files)
        patched.setattr(target, step, killed)
        with pytest.raises(KilledError):
            erase_exports(records, erasure.id, "default", NAMES)
    assert erase_exports(records, erasure.id, "default", NAMES)["not_reached"] == 0
    assert set(pq.read_table(tmp_path / "out")["vehicle"].to_pylist()) == {OTHER}
    (file,) = records.export_files.all()
    assert (file.hashes, file.rows) == ({sha256_of(tmp_path / "out")}, 2)


def test_a_rewritten_file_that_a_crash_left_goes_even_where_the_file_itself_is_gone(
    records: Records, tmp_path: Path
) -> None:
    written(records, tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "out.erasing")
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert erase_exports(records, erasure.id, "default", NAMES)["not_reached"] == 1
    assert not (tmp_path / "out.erasing").exists()


def exported(records: Records, path: Path, rows: pa.Table = ROWS) -> Iterator[None]:
    """Export step by step: first a file without content, then one with, then it takes its place."""
    with exporting(records, "default", "machine", path, "arrow") as draft:
        yield
        with WRITERS["arrow"](draft.sink, rows.schema) as writer:
            writer.write_table(rows)
            draft.rows = rows.num_rows
        draft.sink.flush()
        yield


def test_an_export_that_is_being_written_is_deleted_by_an_erasure_and_says_so(records: Records, tmp_path: Path) -> None:
    for moments in (1, 2):
        erasure = records.erasures.begin((CAR, OTHER)[moments - 1], "person:dpo")
        writing = exported(records, tmp_path / "out")
        for _ in range(moments):
            next(writing)
        assert [file.name for file in tmp_path.glob("out*")] == ["out.part"]
        assert erase_exports(records, erasure.id, "default", [CAR]) == NOTHING | {"unfinished": 1}
        assert list(tmp_path.glob("out*")) == records.export_files.all() == []
        with pytest.raises(TryLaterError, match="was deleted"):
            list(writing)
        assert list(tmp_path.glob("out*")) == records.export_files.all() == []


def test_a_file_of_an_export_that_was_killed_is_known_and_goes(
    records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(exported(records, tmp_path / "out"))
    old = sha256_of(tmp_path / "out")

    def killed(*_: object) -> None:
        raise KilledError

    for step, owner in (("finish", type(records.export_files)), ("replace", Path)):
        with monkeypatch.context() as patched:
            patched.setattr(owner, step, killed)
            patched.setattr(Path, "unlink", lambda *_, **__: None)
            patched.setattr(type(records.export_files), "forget", lambda *_: False)
            with pytest.raises(KilledError):
                list(exported(records, tmp_path / "out", ROWS.slice(0, 3)))
        assert sorted(file.name for file in tmp_path.glob("out*")) == ["out", "out.part"]
        assert sha256_of(tmp_path / "out") == old
        if step == "finish":
            assert {file.path for file in records.export_files.all()} == {
                str(tmp_path / name) for name in ("out", "out.part")
            }
            (tmp_path / "out.part").unlink()
    erasure = records.erasures.begin(CAR, "person:dpo")
    assert erase_exports(records, erasure.id, "default", NAMES) == NOTHING | {"files": 1, "rows": 3}
    assert [file.name for file in tmp_path.glob("out*")] == ["out"]
    assert pa.ipc.open_file(tmp_path / "out").read_all()["vehicle"].to_pylist() == [OTHER, OTHER]
    list(exported(records, tmp_path / "out"))
    assert len(records.export_files.all()) == 1


def test_an_export_that_fails_leaves_nothing(records: Records, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(OSError):
        list(exported(records, tmp_path / "out"))
    writing = exported(records, tmp_path / "other")
    next(writing)
    with pytest.raises(ValueError):
        writing.throw(ValueError())
    assert records.export_files.all() == []
    assert [file.name for file in tmp_path.iterdir() if "records" not in file.name] == ["out"]
