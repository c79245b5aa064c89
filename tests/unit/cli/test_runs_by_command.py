"""`carcloud research run`, `runs`, `results`, `metrics`, `gate`, `candidates` and `withdraw`, on a zone's folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.cli import app
from carcloud.research.gate.limits import limits_of
from carcloud.research.store import Store
from carcloud.settings import Folder, Settings
from tests.braking import braking


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("zone") / "data")
    folder.make()
    open_records(Settings(), folder).close()
    Store(folder.lake).add("drives", [braking(gap, 15.0, 4.0) for gap in range(12, 32, 2)])
    return folder


def run(zone: Folder, *arguments: object, code: int = 0) -> str:
    said = CliRunner().invoke(app, ["research", *(str(one) for one in arguments), "--data", str(zone.path)])
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == code, said.output
    return said.output


def test_planners_are_run_judged_and_withdrawn(zone: Folder, tmp_path: Path) -> None:
    limits = tmp_path / "limits.yaml"
    ours = Path(limits_of.__code__.co_filename).with_name("limits.yaml").read_text()
    limits.write_text(ours.replace("scenarios: 20", "scenarios: 5").replace("resamples: 10000", "resamples: 500"))
    first = run(zone, "run", "idm", "--workers", 1).split()
    worse = run(zone, "run", "constant-speed", "--workers", 1).split()
    assert first[1:3] == ["10", "scenarios,"]
    assert run(zone, "run", "idm", "--workers", 1).split() == first
    assert {first[0], worse[0]} == {line.split()[0] for line in run(zone, "runs").splitlines()}
    assert "collided at" in run(zone, "results", worse[0][:6], "--out", tmp_path / "all.csv")
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 11
    verdict, page = tmp_path / "verdict.json", tmp_path / "verdict.html"
    said = run(zone, "gate", first[0], worse[0], "--limits", limits, "--json", verdict, "--html", page, code=3)
    assert "stopped" in said
    assert json.loads(verdict.read_bytes())["passed"] is False
    assert page.read_text().startswith("<!doctype html>")
    assert run(zone, "candidates") == ""
    lenient = tmp_path / "lenient.yaml"
    lenient.write_text(limits.read_text().replace("competence: true", "competence: false"))
    passed = run(zone, "gate", first[0], first[0], "--limits", lenient)
    digest = passed.splitlines()[-1].removeprefix("candidate ")
    assert digest in run(zone, "candidates")
    assert (zone.keys / "candidate.pub").exists()
    assert "withdrawn" in run(zone, "withdraw", digest[:12])
    assert "withdrawn" in run(zone, "candidates")


def test_recorded_road_user_is_measured(zone: Folder) -> None:
    scenario = Store(zone.lake).scenarios()[0].id
    assert "least_ttc_s" in run(zone, "metrics", scenario)
    lines = run(zone, "metrics", scenario, "--ego", 1, "--series").splitlines()
    assert lines[0].startswith("time_s,gap,thw")
    assert len(lines) == 82
