"""Exports of scenarios: what is in the folder, what it says of itself, and that a car's erasure reaches it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from carcloud.backends.records import Records, Vehicle
from carcloud.backends.records.recordings import RecordedFile, Recording
from carcloud.errors import InputError, MissingError, TryLaterError
from carcloud.lake.exports import erase_exports
from carcloud.research.exports import openscenario
from carcloud.research.exports.folder import FORMATS, export
from carcloud.research.store import Store
from tests.stream import CAR, OTHER
from tests.unit.research.openscenario import written as w

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    opened = Records.open(f"sqlite:///{tmp_path}/records.db")
    for number, car in enumerate((CAR, OTHER)):
        opened.add_vehicle(Vehicle(car, "default", f"WVWZZZ1JZXW00000{number}", None, "active", AT))
    yield opened
    opened.close()


@pytest.fixture
def store(records: Records, tmp_path: Path) -> Store:
    """Give a store with a scenario of each of two cars."""
    store = Store(tmp_path / "lake")
    for number, car in enumerate((CAR, OTHER)):
        files = (RecordedFile("a.xosc", 10),)
        said = {"purpose": "research", "basis": "consent", "zone": "z", "made_by": "machine", "made_at": AT}
        records.recordings.begin(
            Recording(
                id=f"recording{number}",
                tenant="default",
                name="a",
                bytes=10,
                sha256=f"{number}" * 64,
                files=files,
                vehicle=car,
                consent=f"grant{number}",
                licence="CC-BY-4.0",
                **said,
            )
        )
        init = [w.placed("A", w.at(-1, 10), 20 + number), w.placed("B", w.at(-2, 40), 15)]
        text = w.document([w.car("A"), w.car("B")], init, stop=w.when(8))
        store.add(f"recording{number}", [w.play(tmp_path, text)])
    return store


def written(records: Records, store: Store, folder: Path, name: str) -> list[Path]:
    ids = [row.id for row in store.scenarios()]
    return list(export(records, store, "default", ids, name, folder, "machine"))


def test_files_stand_in_the_folder_for_their_owner_only_and_say_where_they_come_from(
    records: Records, store: Store, tmp_path: Path
) -> None:
    files = written(records, store, tmp_path / "out", "openscenario")
    assert sorted(path.suffix for path in files) == [".xodr", ".xodr", ".xosc", ".xosc"]
    assert sorted((tmp_path / "out").iterdir()) == sorted(files)
    for path in files:
        assert path.stat().st_mode & 0o777 == 0o600
        assert "CC-BY-4.0" in path.read_text()
    assert {file.path for file in records.export_files.all()} == {str(path) for path in files}


@pytest.mark.parametrize("name", ["openscenario", "osi_mcap"])
def test_erased_cars_files_go_and_no_other(records: Records, store: Store, tmp_path: Path, name: str) -> None:
    files = written(records, store, tmp_path / "out", name)
    erasure = records.erasures.begin(CAR, "person:dpo")
    facts = erase_exports(records, erasure.id, "default", (CAR,))
    assert facts == {"files": len(files) // 2, "rows": len(files) // 2, "without": len(files) // 2} | {
        "unfinished": 0,
        "not_reached": 0,
    }
    left = [path for path in files if path.exists()]
    assert len(left) == len(files) // 2
    assert all(CAR.encode() not in path.read_bytes() and OTHER.encode() in path.read_bytes() for path in left)


def test_training_sets_lose_the_rows_of_an_erased_car(records: Records, store: Store, tmp_path: Path) -> None:
    files = written(records, store, tmp_path / "out", "training")
    rows = sum(pq.read_table(path).num_rows for path in files)
    erasure = records.erasures.begin(CAR, "person:dpo")
    facts = erase_exports(records, erasure.id, "default", (CAR,))
    assert facts["not_reached"] == 0
    assert 0 < facts["rows"] < rows
    assert sum(pq.read_table(path).num_rows for path in files) == rows - facts["rows"]


def test_car_erased_while_its_file_is_written_leaves_no_file(
    records: Records, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(scenarios, folder, about):  # type: ignore[no-untyped-def]
        made = openscenario.write(scenarios, folder, about)
        erasure = records.erasures.begin(CAR, "person:dpo")
        erase_exports(records, erasure.id, "default", (CAR,))
        return made

    way = FORMATS["openscenario"]
    monkeypatch.setitem(FORMATS, "openscenario", type(way)(way.about, write, way.register, way.suffixes))
    with pytest.raises(TryLaterError):
        written(records, store, tmp_path / "out", "openscenario")
    assert list((tmp_path / "out").iterdir()) == []
    assert records.export_files.all() == []


def test_what_is_not_there_is_said(records: Records, store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no format"):
        written(records, store, tmp_path, "pickle")
    with pytest.raises(MissingError):
        list(export(records, store, "default", ["none"], "openscenario", tmp_path, "machine"))
