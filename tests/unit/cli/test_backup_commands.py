"""Keys of backups and the folders a zone knows, on the command line: their age, and what is noted of their end."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.backends.records import Vehicle
from carcloud.cli import app
from carcloud.errors import ConflictError, MissingError
from carcloud.safety.backup.keeper import folders, know_folder
from carcloud.safety.backup.months import know_keys, lifetimes, months_known, outlived
from carcloud.safety.backup.periods import PUBLIC, Periods
from carcloud.safety.governance.policy import parse
from carcloud.settings import Folder, Settings

GOVERNANCE = """
name: timed
purposes: {run: {basis: contract, why: x}}
rules:
  - {paths: [Vehicle.Speed], class: personal, purposes: [run], days: 7}
  - {paths: [Vehicle.Gear], class: operational, purposes: [run], days: 36500}
  - {paths: [Vehicle.Name], class: operational, purposes: [run]}
"""
AT = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "data")
    folder.make()
    folder.governance.write_text(GOVERNANCE)
    records = open_records(Settings(), folder)
    records.add_vehicle(Vehicle("car", "default", "WVWZZZ1JZXW000001", None, "active", AT))
    records.close()
    folder.keys.mkdir(exist_ok=True)
    for kind in PUBLIC:
        (folder.keys / f"{kind}.pub").write_text(f"the zone's {kind}")
    return folder


@pytest.fixture
def periods(folder: Folder, tmp_path: Path) -> Periods:
    periods = Periods(tmp_path / "keys")
    for month in ("1900-12", "2020-02", f"{datetime.now(UTC):%Y-%m}"):
        periods.made(month)
    periods.know(folder.keys)
    records = open_records(Settings(), folder)
    know_keys(records, periods)
    records.close()
    return periods


def run(*arguments: object, says: str = "") -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments], input=says)
    if result.exception is not None:
        raise result.exception
    return result.output


def noted(folder: Folder) -> list[tuple[str, dict[str, object]]]:
    records = open_records(Settings(), folder)
    with records.transaction() as db:
        rows = db.execute(text("SELECT action, facts, details FROM audit_pending ORDER BY id")).all()
    records.close()
    acts = [row for row in rows if "Backup" in row[0]]
    assert not any(str(folder.path.parent) in str(row) for row in acts)
    return [(row[0], json.loads(row[1])) for row in acts]


def test_months_beyond_the_governances_days_are_shown(folder: Folder, periods: Periods) -> None:
    lines = run("backup", "keys", "--keys", periods.folder, "--data", folder.path).splitlines()
    assert lines[0] == "1900-12  beyond the longest retention of the governance in force, 36500 days"
    assert lines[1] == "2020-02  beyond the shortest retention of the governance in force, 7 days"
    assert len(lines[2]) == len("2026-11")


def test_a_destroyed_key_is_noted_in_the_log_of_its_own_zone_only(
    folder: Folder, periods: Periods, tmp_path: Path
) -> None:
    at = ("--keys", periods.folder, "--yes", "--destroy")
    run("backup", "keys", *at, "2020-02", "--data", folder.path)
    assert noted(folder) == [("destroyBackupKey", {"period": "2020-02"})]
    with pytest.raises(MissingError):
        run("backup", "keys", *at, "2020-02", "--data", folder.path)
    other = Folder(tmp_path / "other")
    shutil.copytree(folder.path, other.path)
    (other.keys / "backup.pub").write_text("another")
    with pytest.raises(ConflictError, match="not those of backups of the zone"):
        run("backup", "keys", *at, "1900-12", "--data", other.path)
    assert len(noted(folder)) == 1
    assert "1900-12" in periods.all()
    run("backup", "keys", *at, "1900-12")
    assert "1900-12" not in periods.all()
    records = open_records(Settings(), folder)
    assert months_known(records) == periods.all()
    periods.folder.rename(tmp_path / "away")
    assert months_known(records) == ["1900-12", *Periods(tmp_path / "away").all()]
    records.close()


def test_a_folder_is_forgotten_after_its_open_erasures_were_shown(folder: Folder, tmp_path: Path) -> None:
    records, at = open_records(Settings(), folder), ("--data", folder.path)
    know_folder(records, tmp_path / "gone")
    erasure = records.erasures.begin("car", "person:dpo")
    forget = ("backup", "forget", tmp_path / "gone", *at)
    with pytest.raises(SystemExit):
        run(*forget, says="n\n")
    assert (folders(records), noted(folder)) == ([tmp_path / "gone"], [])
    said = run(*forget, says="y\n")
    assert erasure.id in said
    assert "vehicle car" in said
    assert (folders(records), noted(folder)) == ([], [("forgetBackups", {"erasures": 1})])
    with pytest.raises(MissingError, match="knows no backups"):
        run(*forget, "--yes")
    know_folder(records, tmp_path / "gone")
    run(*forget, "--yes")
    assert len(noted(folder)) == 2
    records.close()


def test_a_month_is_outlived_when_its_last_day_is() -> None:
    assert outlived(["2026-01", "2025-12", "2026-02"], 30, date(2026, 3, 3)) == ["2025-12", "2026-01"]
    assert outlived(["2025-12"], 1, date(2026, 1, 1)) == []
    assert outlived(["2025-12"], 1, date(2026, 1, 2)) == ["2025-12"]
    assert lifetimes(parse(GOVERNANCE, "tests")) == (7, 36500)
    assert lifetimes(parse(GOVERNANCE.replace(", days: 7", "").replace(", days: 36500", ""), "tests")) is None
