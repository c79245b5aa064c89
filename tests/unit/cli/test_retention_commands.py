"""What is kept and for how long, and which exported files an erasure did not reach, on the command line."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.backends.delta import Table
from carcloud.backends.records import Vehicle
from carcloud.cli import app
from carcloud.lake.exports import erase_exports
from carcloud.lake.rows import PARTITIONS, SCHEMA, by_day, joined, part_of_chunk
from carcloud.settings import Folder, Settings
from tests.stream import CAR, DAY_US, NOW_US, OTHER, chunk

GOVERNANCE = """
name: timed
purposes: {run: {basis: contract, why: x}}
rules:
  - {paths: [Vehicle.Speed], class: personal, purposes: [run], days: 7}
  - {paths: [Vehicle.Gear], class: operational, purposes: [run], days: 36500}
  - {paths: [Vehicle.Name], class: operational, purposes: [run]}
"""
AT = datetime.fromtimestamp(NOW_US / 1e6, UTC)
PATHS = ("Vehicle.Speed", "Vehicle.Gear", "Vehicle.Name", "Vehicle.Free")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Give a zone's folder with two cars, a governance and a lake of two days."""
    folder = Folder(tmp_path / "data")
    folder.make()
    folder.governance.write_text(GOVERNANCE)
    records = open_records(Settings(), folder)
    for number, car in enumerate((CAR, OTHER)):
        records.add_vehicle(Vehicle(car, "default", f"WVWZZZ1JZXW00000{number}", None, "active", AT))
    records.close()
    rows = [(car, path, NOW_US - ago * DAY_US, 1.0, 0) for car in (CAR, OTHER) for path in PATHS for ago in (0, 1)]
    table = Table(folder.lake / "samples", SCHEMA, PARTITIONS)
    days = by_day(joined([part_of_chunk(chunk(1, rows))]))
    table.commit([table.write(("default", day), part, "0-1") for day, part in days], "lake/0", 1, {})
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    if result.exception is not None:
        raise result.exception
    return result.output


def test_what_is_kept_is_shown_by_signal_with_when_it_goes(folder: Folder) -> None:
    lines = [line.split() for line in run("retention", "--data", folder.path).splitlines()]
    assert lines[0] == ["signal", "class", "kept", "rows", "oldest", "goes"]
    assert lines[1] == ["Vehicle.Free", "no", "rule", "until", "erased", "4", "2026-09-20"]
    assert lines[2][:6] == ["Vehicle.Gear", "operational", "36500", "days", "4", "2026-09-20"]
    assert lines[3] == ["Vehicle.Name", "operational", "until", "erased", "4", "2026-09-20"]
    assert lines[4] == ["Vehicle.Speed", "personal", "7", "days", "4", "2026-09-20", "now"]
    assert lines[5][:4] == ["16", "rows,", "4", "of"]


def test_an_exported_file_is_registered_and_the_officer_hears_of_one_that_moved(folder: Folder, tmp_path: Path) -> None:
    at, question = ("--data", folder.path), "select vehicle, value from samples"
    for name in ("kept", "moved"):
        run("export", "--sql", question, "--out", tmp_path / name, *at)
    records = open_records(Settings(), folder)
    assert {(file.path, file.rows) for file in records.export_files.all("default")} == {
        (str(tmp_path / name), 16) for name in ("kept", "moved")
    }
    (tmp_path / "moved").rename(tmp_path / "elsewhere")
    erasure = records.erasures.begin(CAR, "machine")
    facts = erase_exports(records, erasure.id, "default", [CAR])
    assert (facts["files"], facts["rows"], facts["not_reached"]) == (1, 8, 1)
    records.erasures.finish(erasure.id, "lake", {"exports": facts})
    assert set(pq.read_table(tmp_path / "kept")["vehicle"].to_pylist()) == {OTHER}
    assert f"not reached: {tmp_path / 'moved'} (gone)" in run("erasures", *at)
    assert "exported files: 8 rows left 1, no row of 0 names this car, 0 unfinished deleted" in run("erasures", *at)
    run("export", "--sql", question, "--out", tmp_path / "late", *at)  # the lake has not erased its share yet
    assert set(pq.read_table(tmp_path / "late")["vehicle"].to_pylist()) == {OTHER}
    records.close()
