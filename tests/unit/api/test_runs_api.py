"""Runs, verdicts and candidates over HTTP: what they show, page by page and side by side, and to whom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import httpx
import orjson
import pytest
from served import Zone, enrol

from carcloud.api.errands import ZonePlanner
from carcloud.backends.records.runs import Candidate, KeptRun, KeptVerdict
from carcloud.research.gate.limits import limits_of
from carcloud.research.gate.verdict import Side, judged
from carcloud.research.runs.results import digest_of, results_of, table_of, totals_of, write
from carcloud.research.simulation.builtin import CODES
from carcloud.research.store import Store
from carcloud.safety.people.register import Register
from tests.braking import braking

AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
COUNT = 24


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    """A zone with two runs of the same scenarios, of which the second collides once more, and a third, not done."""
    folder = tmp_path_factory.mktemp("runs")
    made = Zone(folder)
    enrol(made)
    ids = (
        Store(folder / "lake").add("drives", [braking(10.0 + gap, 20.0, 6.0, length_s=1.0) for gap in range(COUNT)]).ids
    )
    for name, rows in (("aa11", results(ids, 2)), ("bb22", results(ids, 3))):
        keep(made, folder, name, rows)
    begin(made, "cc33", "log", AT + timedelta(hours=1))
    put(folder, "cc33", results(ids, 0)[:10])
    made.start()
    yield made
    made.stop()


def results(ids: tuple[str, ...], collide: int) -> list[dict[str, Any]]:
    fine = {"fault": "", "collided": False, "at_fault": False, "off_road": False, "most_jerk_mps3": 1.0}
    rows = [
        fine | {"scenario": one, "least_ttc_s": 1.0 + at, "progress_m": 100.0} for at, one in enumerate(sorted(ids))
    ]
    rows[-1] |= {"least_ttc_s": float("inf"), "off_road": True}
    for at in range(collide):
        rows[at] |= {"collided": True, "at_fault": at == 0, "collided_s": 3.0 + at, "least_ttc_s": 0.0}
    return rows


def begin(made: Zone, name: str, planner: str, at: datetime) -> KeptRun:
    wanted = KeptRun("default", name, planner, name * 16, "", COUNT, "5" * 64, "1.0", {"step_s": 0.1}, "machine", at)
    return made.records.runs.begin(wanted)


def put(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    where = folder / "lake" / "runs" / "default" / name
    where.mkdir(parents=True)
    half = len(rows) // 2
    for number, some in enumerate((rows[:half], rows[half:])):
        write(where / f"shard-{number:05}-x.parquet", table_of(some))
    return where


def keep(made: Zone, folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
    begun, table = begin(made, name, "idm", AT), results_of(put(folder, name, rows))
    made.records.runs.end(begun, digest_of(table), totals_of(table), AT + timedelta(minutes=1))


@pytest.fixture(scope="module")
def engineer(zone: Zone) -> Iterator[httpx.Client]:
    with client_of(zone, "engineer") as client:
        yield client


def client_of(zone: Zone, role: str, tenant: str = "default") -> httpx.Client:
    _, secret = Register(zone.records).make_token(None, f"{role}-{tenant}", [role], 30, tenant)
    return httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=30)


def test_runs_say_how_far_they_are_and_what_they_came_to(engineer: httpx.Client) -> None:
    listed = engineer.get("/v1/runs").json()["runs"]
    assert [(one["id"], one["done"], one["ended_at"] is None) for one in listed] == [
        ("cc33", 10, True),
        ("aa11", COUNT, False),
        ("bb22", COUNT, False),
    ]
    assert listed[1]["totals"] == {"scenarios": COUNT, "collided": 2, "at_fault": 1, "off_road": 1, "faults": 0}
    whole = engineer.get("/v1/runs/bb22").json()
    measures = {one["name"]: one for one in whole["measures"]}
    assert (measures["least_ttc_s"]["known"], measures["most_jerk_mps3"]["mean"]) == (COUNT - 1, 1.0)
    assert (measures["least_pet_s"]["known"], measures["least_pet_s"]["mean"]) == (0, None)
    assert engineer.get("/v1/runs/dd44").json()["error"]["code"] == "missing"


def test_results_are_paged_by_kind_order_and_name(engineer: httpx.Client) -> None:
    def page(**asked: Any) -> tuple[int, list[dict[str, Any]]]:
        found = engineer.get("/v1/runs/bb22/scenarios", params=asked).json()
        return found["found"], found["scenarios"]

    count, rows = page(which="collided", order="collided_s")
    assert (count, [row["collided_s"] for row in rows]) == (3, [3.0, 4.0, 5.0])
    assert {row["outcome"] for row in rows} == {"collided"}
    assert {row["recording"] for row in rows} == {"drives"}
    assert all(row["name"] for row in rows)
    counts = {kind: page(which=kind)[0] for kind in ("all", "amiss", "fine", "off_road", "at_fault", "fault", "near")}
    assert counts == {"all": COUNT, "amiss": 4, "fine": COUNT - 4, "off_road": 1, "at_fault": 1, "fault": 0, "near": 3}
    count, rows = page(order="least_ttc_s", offset=COUNT - 1)
    assert (count, len(rows), rows[0]["least_ttc_s"]) == (COUNT, 1, None), "what never came near is last"
    name = rows[0]["name"]
    assert [row["name"] for row in page(text=name.upper())[1]] == [name]
    assert page(text="nowhere") == (0, [])
    assert engineer.get("/v1/runs/bb22/scenarios", params={"which": "odd"}).status_code == 400


def test_two_runs_stand_side_by_side(engineer: httpx.Client) -> None:
    found = engineer.get("/v1/runs/aa11/beside/bb22").json()
    assert (found["shared"], found["worse"], found["better"], found["alike"]) == (COUNT, 1, 0, True)
    assert [(row["before"], row["after"], row["after_collided_s"]) for row in found["scenarios"]] == [
        ("fine", "collided", 5.0)
    ]
    assert {"before": "fine", "after": "collided", "count": 1} in found["turns"]
    back = engineer.get("/v1/runs/bb22/beside/aa11", params={"turn": "better"}).json()
    assert (back["found"], back["worse"], back["better"]) == (1, 0, 1)
    part = engineer.get("/v1/runs/aa11/beside/cc33", params={"turn": "all", "limit": 3}).json()
    assert (part["shared"], part["only_before"], part["found"], len(part["scenarios"])) == (10, COUNT - 10, 10, 3)


def test_verdict_is_shown_with_names_and_what_it_left(engineer: httpx.Client, zone: Zone) -> None:
    digest = judge(zone, "aa11", "bb22")
    listed = engineer.get("/v1/gates").json()["gates"][0]
    assert (listed["digest"], listed["passed"], listed["baseline_planner"]) == (digest, False, "idm")
    assert "newly collided" in listed["failed"]
    whole = engineer.get(f"/v1/gates/{digest[:12]}").json()
    newly = whole["document"]["newly"]["collided"]
    assert newly["count"] == 1
    assert whole["names"][newly["first"][0]["scenario"]]
    assert whole["left"] is None
    passed = judge(zone, "bb22", "aa11")
    left = engineer.get(f"/v1/gates/{passed}").json()["left"]
    assert (left["verdict"], left["withdrawn_at"]) == (passed, None)
    assert engineer.post(f"/v1/candidates/{left['digest']}/withdraw").json()["withdrawn_at"]
    assert [one["digest"] for one in engineer.get("/v1/candidates").json()["candidates"]] == [left["digest"]]


def judge(zone: Zone, baseline: str, candidate: str) -> str:
    """Judge a run against another as the desk does, without a grid; a verdict that passes leaves a candidate."""
    sides = [side(zone, name) for name in (baseline, candidate)]
    verdict = judged(sides[0], sides[1], replace(limits_of(), competence=False))
    kept = KeptVerdict("default", verdict.digest, baseline, candidate, verdict.passed, verdict.document, "machine", AT)
    statement = orjson.dumps({"verdict": verdict.digest})
    left = Candidate("default", "7" * 64, "idm", "1" * 64, verdict.digest, statement, "ab12", b"\x06" * 64, "m", AT)
    zone.records.runs.judge(kept, left if verdict.passed else None)
    return verdict.digest


def side(zone: Zone, name: str) -> Side:
    one = zone.records.runs.get("default", name)
    assert zone.ports.lake_folder
    table = results_of(zone.ports.lake_folder / "runs" / "default" / name)
    told = (one.planner, one.planner_hash, one.query, one.scenarios_hash, one.settings, one.software_version)
    return Side(one.id, *told, digest_of(table), table)


@pytest.mark.parametrize("path", ["/v1/runs", "/v1/runs/aa11", "/v1/gates", "/v1/candidates"])
def test_who_may_not_see_recordings_sees_no_runs(zone: Zone, path: str) -> None:
    for role in ("owner", "partner", "fleet", "marketer"):
        with client_of(zone, role) as client:
            assert client.get(path).status_code == 403, role
    with client_of(zone, "analyst") as client:
        assert client.get(path).status_code == 200
        assert client.post(f"/v1/candidates/{'7' * 64}/withdraw").status_code == 403


def test_runs_of_another_tenant_do_not_exist(zone: Zone) -> None:
    with client_of(zone, "engineer", "other") as client:
        assert client.get("/v1/runs").json()["runs"] == []
        for path in ("/v1/runs/aa11", "/v1/runs/aa11/scenarios", "/v1/runs/aa11/beside/bb22"):
            assert client.get(path).status_code == 404
        assert client.get("/v1/gates").json()["gates"] == []


def test_runs_and_verdicts_are_asked_for_told_and_stopped(zone: Zone) -> None:
    with client_of(zone, "engineer") as client, client_of(zone, "analyst") as analyst:
        wanted = {"planner": "idm", "query": "cut-in", "traffic": "idm"}
        asked = client.post("/v1/runs", json=wanted)
        assert asked.status_code == 202
        first = asked.json()
        assert (first["state"], first["said"]["planner"], first["done"]) == ("waiting", "idm", None)
        assert client.post("/v1/runs", json=wanted).json()["id"] == first["id"], "the same twice is one"
        gate = client.post("/v1/gates", json={"baseline": "aa", "candidate": "bb"}).json()
        assert (gate["said"]["baseline"], gate["said"]["candidate"]) == ("aa11", "bb22")
        one = zone.records.errands.get("default", first["id"])
        zone.records.errands.tell(zone.records.errands.move(one, "running", AT), "cc33")
        listed = {one["id"]: one for one in analyst.get("/v1/errands").json()["errands"]}
        assert (listed[first["id"]]["done"], listed[first["id"]]["scenarios"]) == (10, COUNT)
        assert analyst.post(f"/v1/errands/{first['id']}/stop").status_code == 403
        assert analyst.post("/v1/runs", json=wanted).status_code == 403
        for id_ in (first["id"], gate["id"]):
            assert client.post(f"/v1/errands/{id_}/stop").json()["state"] == "stopped"
        with client_of(zone, "engineer", "third") as other:
            assert other.get("/v1/errands").json()["errands"] == []
            assert other.post(f"/v1/errands/{first['id']}/stop").status_code == 404
            assert other.post("/v1/gates", json={"baseline": "aa11", "candidate": "bb22"}).status_code == 404


@pytest.mark.parametrize(
    ("path", "said", "code"),
    [
        ("/v1/runs", {"planner": "/etc/passwd.py:Name"}, 400),
        ("/v1/runs", {"planner": "exec:rm"}, 400),
        ("/v1/runs", {"planner": "idm", "step_s": 9}, 400),
        ("/v1/runs", {"planner": "idm", "seed": -1}, 400),
        ("/v1/runs", {"planner": "idm", "traffic": "none"}, 400),
        ("/v1/gates", {"baseline": "aa11", "candidate": "cc33"}, 409),
        ("/v1/gates", {"baseline": "aa11", "candidate": "none"}, 404),
        ("/v1/gates", {"baseline": "aa11", "candidate": "bb22", "limits": "scenarios: 1"}, 400),
    ],
)
def test_what_cannot_be_run_is_refused(engineer: httpx.Client, path: str, said: dict[str, Any], code: int) -> None:
    answer = engineer.post(path, json=said)
    assert answer.status_code == code, answer.text
    assert answer.json()["error"]["do"]


def test_zone_drives_all_planners_that_come_along(engineer: httpx.Client) -> None:
    assert set(get_args(ZonePlanner)) == set(CODES)
    assert engineer.get("/v1/gates/limits").json()["text"].count("resamples") == 1
