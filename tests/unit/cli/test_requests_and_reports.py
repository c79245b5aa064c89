"""Requests, reports, and the copy for the person, from the command line on a real folder."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import Result
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.backends.delta import Table
from carcloud.backends.records import Entry
from carcloud.cli import app
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError
from carcloud.lake.exports import erase_exports
from carcloud.lake.rows import PARTITIONS, SCHEMA, by_day, joined, part_of_chunk
from carcloud.safety.seal import Seals
from carcloud.settings import Folder, Settings
from carcloud.stream.intake import Refusal
from carcloud.stream.quarantine import Quarantine
from carcloud.stream.subjects import Origin
from tests.stream import NOW_US, OTHER, chunk

VIN = "1HGCM82633A004352"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)


def done(*arguments: object) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def refused(kind: type[CarcloudError], *arguments: object) -> str:
    result = run(*arguments)
    assert isinstance(result.exception, kind), (result.output, result.exception)
    return str(result.exception)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = Folder(tmp_path / "data")
    folder.make()
    done("enrol", "--vin", VIN, "--data", folder.path)
    return folder.path


@pytest.fixture
def car(data: Path) -> str:
    """A car with rows under its id and under a pseudonym, something in quarantine, and acts of people."""
    folder = Folder(data)
    records = open_records(Settings(), folder)
    (vehicle,) = records.vehicles()
    name = records.pseudonyms.of({vehicle.id: "default"}, "2026-11")[vehicle.id]
    rows = [
        (who, "Vehicle.Speed", NOW_US + at, float(at), 0) for who in sorted((vehicle.id, name, OTHER)) for at in (0, 1)
    ]
    table = Table(folder.lake / "samples", SCHEMA, PARTITIONS)
    parts = by_day(joined([part_of_chunk(chunk(1, rows))]))
    table.commit([table.write(("default", day), part, "0-1") for day, part in parts], "lake/0", 1, {})
    origin = Origin("default", vehicle.id, "batch")
    Quarantine(records, Seals(folder.keys, "default")).keep(
        [Refusal(origin, "bad_json", 1, "why", b"its words", NOW_US)]
    )
    records.audit.add(Entry("person:ann", "revokeVehicle", f"vehicle:{vehicle.id}"))
    records.close()
    return vehicle.id


def test_request_that_the_api_refuses_is_refused_here_too(data: Path, car: str) -> None:
    for said in (["--received", "0001-01-02"], ["--received", "9999-12-31"], ["--reference", "x" * 65]):
        result = CliRunner().invoke(app, ["request", "add", "access", *said, "--data", str(data)])
        assert isinstance(result.exception, InputError), said
    id_ = done("request", "add", "access", "--data", data).split()[0]
    for why in (" ", "\t", "x" * 2001):
        result = CliRunner().invoke(app, ["request", "close", id_, "refused", "--why", why, "--data", str(data)])
        assert isinstance(result.exception, InputError), why
    assert "open" in done("request", "list", "--data", data)


def test_copy_holds_everything_of_the_car_and_nobody_else(data: Path, car: str, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    done("access", car, "--out", out, "--data", data)
    assert json.loads((out / "vehicle.json").read_text())[0]["vin"] == VIN
    samples = pq.read_table(out / "samples.parquet")
    assert samples.num_rows == 4
    assert OTHER not in samples["vehicle"].to_pylist()
    assert any(name.startswith("p-") for name in samples["vehicle"].to_pylist())
    (kept,) = json.loads((out / "quarantine.json").read_text())
    assert kept["payload_base64"] == "aXRzIHdvcmRz"
    assert "Data" in (out / "about.md").read_text() or "data" in (out / "about.md").read_text()
    for file in out.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert b"person:ann" not in file.read_bytes()
    records = open_records(Settings(), Folder(data))
    assert "accessVehicle" in [act.action for act in records.audit.pending(100)]
    records.close()


def test_erasure_reaches_the_rows_of_a_copy(data: Path, car: str, tmp_path: Path) -> None:
    out = tmp_path / "copy"
    done("access", car, "--out", out, "--data", data)
    records = open_records(Settings(), Folder(data))
    (file,) = records.export_files.all("default")
    assert (file.path, file.rows) == (str(out / "samples.parquet"), 4)
    erasure = records.erasures.begin(car, "machine")
    facts = erase_exports(records, erasure.id, erasure.tenant, (erasure.vehicle, *erasure.names))
    records.close()
    assert (facts["files"], facts["rows"], facts["not_reached"]) == (1, 4, 0)
    assert pq.read_table(out / "samples.parquet").num_rows == 0
    assert json.loads((out / "vehicle.json").read_text())[0]["vin"] == VIN  # the person's own


def test_copy_is_refused_where_something_lies_or_no_car_is(data: Path, car: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    assert "holds something" in refused(ConflictError, "access", car, "--out", tmp_path / "full", "--data", data)
    refused(MissingError, "access", "nobody", "--out", tmp_path / "new", "--data", data)
    (tmp_path / "file").write_text("")
    refused(CarcloudError, "access", car, "--out", tmp_path / "file" / "below", "--data", data)
    assert not (tmp_path / "new").exists()


def test_request_has_the_deadline_of_the_governance_and_is_closed_once(data: Path, car: str) -> None:
    law = data.parent / "zone.toml"
    law.write_text('governance = "cn-shanghai"\n')
    day = datetime.now(UTC).date() - timedelta(days=20)
    said = done("request", "add", "erasure", "--vehicle", car, "--received", day, "--data", data, "--config", law)
    id_, _, _, due = said.split()
    assert due == str(day + timedelta(days=14))
    assert "open, late" in done("request", "list", "--data", data)
    assert "reason" in refused(InputError, "request", "close", id_, "refused", "--data", data)
    done("request", "close", id_, "done", "--data", data)
    refused(ConflictError, "request", "close", id_, "done", "--data", data)
    refused(InputError, "request", "add", "gossip", "--data", data)
    refused(InputError, "request", "add", "access", "--received", "2999-01-01", "--data", data)
    refused(InputError, "request", "add", "access", "--received", "soon", "--data", data)


def test_reports_are_written_from_what_is_in_force(data: Path, car: str, tmp_path: Path) -> None:
    config = tmp_path / "zone.toml"
    config.write_text('region = "EU"\ngovernance = "eu"\n[controller]\nname = "Acme Motors"\n')
    for kind in ("processing", "impact", "annual"):
        for language in ("en", "zh"):
            text = done("report", kind, "--language", language, "--data", data, "--config", config)
            assert "Acme Motors" in text
            assert "Vehicle.CurrentLocation.Latitude" in text
    file = tmp_path / "processing.json"
    done("report", "processing", "--json", "--out", file, "--data", data, "--config", config)
    assert json.loads(file.read_text())["sections"]
    assert "1 enrolled" in done("report", "processing", "--data", data)
    for wrong in (("gossip",), ("annual", "--language", "fr"), ("annual", "--year", "1")):
        refused(InputError, "report", *wrong, "--data", data)
    refused(InputError, "report", "annual", "--out", tmp_path / "none" / "x", "--data", data)
