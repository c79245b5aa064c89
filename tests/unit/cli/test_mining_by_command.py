"""`carcloud research find`, `queries`, `tags`, `coverage` and `similar`, on a zone's folder."""

from __future__ import annotations

import contextlib
import json

import pytest
from typer.testing import CliRunner

from carcloud.assembly.records import open_records
from carcloud.cli import app
from carcloud.errors import InputError, MissingError
from carcloud.research.store import Store
from carcloud.settings import Folder, Settings
from carcloud.vehicle.conditions.condition import ConditionError
from tests.unit.research.mining.scenes import changing, scene, straight

CUT_IN = scene([straight(1, 0.0, 15.0, 60), changing(2, 20.0, 15.0, 60, (1, 0), 10, 31)])


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("mined") / "data")
    folder.make()
    with contextlib.closing(open_records(Settings(), folder)):
        Store(folder.lake).add("first", [CUT_IN])
    return folder


def run(zone: Folder, *arguments: object) -> str:
    said = CliRunner().invoke(app, ["research", *(str(one) for one in arguments), "--data", str(zone.path)])
    if said.exception is not None and not isinstance(said.exception, SystemExit):
        raise said.exception
    assert said.exit_code == 0, said.output
    return said.stdout


def test_a_cut_in_is_found_by_name_and_by_condition(zone: Folder) -> None:
    (line,) = run(zone, "find", "cut-in").splitlines()
    assert line.split() == [CUT_IN.id, "1", "2.10", "s", "–", "5.20", "s", "about", "2", "made"]
    (hit,) = map(json.loads, run(zone, "find", "Lead.CutIn", "--json").splitlines())
    assert hit == {
        "scenario": CUT_IN.id,
        "recording": "first",
        "track": 1,
        "begin_us": 2_100_000,
        "end_us": 5_200_000,
        "other": 2,
        "name": "made",
    }
    assert run(zone, "find", "cut-in", "--recording", "other") == ""
    with pytest.raises(MissingError, match="There is no query 'cutin'"):
        run(zone, "find", "cutin")
    with pytest.raises(ConditionError):
        run(zone, "find", "Lead.Gap < 3")


def test_a_query_is_saved_kept_and_dropped(zone: Folder) -> None:
    saved = ("--save", "near", "--condition", "Lead.Gap < 20 m", "--about", "A lead close ahead.", "--tag", "my.near")
    assert "saved   near" in run(zone, "queries", *saved)
    run(zone, "find", "near", "--keep")
    with Store(zone.lake).session() as session:
        assert session.sql("SELECT DISTINCT query, track, other FROM events").fetchall() == [("near", 1, 2)]
    assert "my.near" in run(zone, "tags")
    assert "near" not in run(zone, "queries", "--drop", "near").split()
    with pytest.raises(InputError):
        run(zone, "find", "Lead.Gap < 20 m", "--keep")
    with pytest.raises(InputError):
        run(zone, "queries", "--save", "No Name", "--condition", "Lead.Gap < 20 m")
    with contextlib.closing(open_records(Settings(), zone)) as records:
        acts = [json.loads(one.facts)["change"] for one in records.audit.pending(100) if one.object == "query:near"]
    assert acts == ["saved", "dropped"]


def test_features_coverage_and_similar_scenes_are_listed(zone: Folder) -> None:
    assert "Lead.TTC" in run(zone, "queries", "--features")
    assert "cells are there" in run(zone, "coverage", "--rows", "kind", "--columns", "speed", "--pages", "road")
    told = json.loads(run(zone, "coverage", "--json"))
    assert {"event": "cut-in", "speed": "up to 60 km/h", "count": 1} in told["cells"]
    assert {"event": "cut-in", "speed": "standing"} in told["missing"]
    assert run(zone, "similar", CUT_IN.id, 1, 3).split()[1:3] == [CUT_IN.id, "2"]
