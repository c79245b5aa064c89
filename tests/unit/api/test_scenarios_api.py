"""Scenarios over HTTP: what a viewer draws, how a run's planner drove one, and who sees none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from served import Zone, enrol

from carcloud.api import scenarios as routes
from carcloud.backends.records.runs import KeptRun
from carcloud.research import viewing
from carcloud.research.runs.results import table_of, write
from carcloud.research.runs.shard import measured
from carcloud.research.scenario import Scenario, Series
from carcloud.research.simulation.made import made
from carcloud.research.simulation.references import planner_hash
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store
from carcloud.safety.people.register import Register

LINE = np.arange(0, 3_000_000, 10_000, dtype=np.int64)
SIGNAL = Series("Vehicle.Speed", "km/h", LINE, np.where(LINE == 0, np.nan, LINE / 1e5))
STILL = "def still(seen):\n    return 0.0\n"


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    """A cut-in, whose ego told its speed."""
    return dataclasses.replace(made("cut-in", {"gap_m": 12.0}), series=(SIGNAL,))


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory, scenario: Scenario) -> Iterator[Zone]:
    folder = tmp_path_factory.mktemp("scenarios")
    served = Zone(folder)
    enrol(served)
    Store(folder / "lake").add("drives", [scenario])
    planner = folder / "still.py"
    planner.write_text(STILL)
    keep(served, folder, "aa11", "idm", scenario)
    keep(served, folder, "bb22", f"{planner}:still", scenario)
    keep(served, folder, "cc33", "idm", scenario, "7" * 64)
    served.start()
    yield served
    served.stop()


def keep(served: Zone, folder: Path, name: str, planner: str, scenario: Scenario, hashed: str = "") -> None:
    settings = Settings()
    said = {key: value for key, value in vars(settings).items() if key not in ("threads", "keep")}
    at = datetime(2026, 11, 23, 12, tzinfo=UTC)
    hashed = hashed or planner_hash(planner)
    served.records.runs.begin(KeptRun("default", name, planner, hashed, "", 1, "5" * 64, "1.0", said, "machine", at))
    rows = measured([scenario], planner, settings) if planner == "idm" else [{"scenario": scenario.id, "fault": ""}]
    where = folder / "lake" / "runs" / "default" / name
    where.mkdir(parents=True)
    write(where / "shard-00000-x.parquet", table_of(rows))


@pytest.fixture(scope="module")
def engineer(zone: Zone) -> Iterator[httpx.Client]:
    with client_of(zone, "engineer") as client:
        yield client


def client_of(zone: Zone, role: str) -> httpx.Client:
    _, secret = Register(zone.records).make_token(None, role, [role], 30, "default")
    return httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=90)


def got(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(client: httpx.Client, path: str) -> tuple[int, str]:
    answer = client.get(path)
    assert answer.json()["error"]["do"]
    return answer.status_code, answer.json()["error"]["message"]


def test_scenario_says_who_is_in_it_and_what_is_known(engineer: httpx.Client, scenario: Scenario) -> None:
    said = got(engineer, f"/v1/scenarios/{scenario.id}")
    assert said["ego"] == scenario.ego
    assert [one["track"] for one in said["users"]] == [one.track for one in scenario.motion.users]
    assert said["series"] == [{"name": "Vehicle.Speed", "unit": "km/h", "count": 300}]
    assert (said["recording"], said["map"], said["events"], said["simulated"]) == ("drives", "", [], True)


def test_motion_and_lanes_are_those_of_the_scenario(engineer: httpx.Client, scenario: Scenario) -> None:
    said, motion = got(engineer, f"/v1/scenarios/{scenario.id}/motion"), scenario.motion
    assert said["every"] == 1
    np.testing.assert_allclose(said["time_s"], motion.time_us / 1e6)
    for row, user in enumerate(said["users"]):
        there = np.flatnonzero(motion.present[row])
        assert user["first"] == there[0]
        np.testing.assert_allclose(user["x"], motion.x[row, there], atol=6e-4)
        np.testing.assert_allclose(user["speed"], motion.speed[row, there], atol=6e-4)
    assert scenario.map
    lanes = got(engineer, f"/v1/scenarios/{scenario.id}/lanes")["lanes"]
    assert {one["lane"] for one in lanes} == {lane.name for lane in scenario.map.lanes}
    edge = next(one["left_edge"] for one in lanes if one["lane"] == scenario.map.lanes[0].name)
    np.testing.assert_allclose(np.reshape(edge, (-1, 2)), scenario.map.lanes[0].left_edge, atol=6e-4)


def test_features_and_signals_come_as_columns(engineer: httpx.Client, scenario: Scenario) -> None:
    path = f"/v1/scenarios/{scenario.id}"
    found = got(engineer, f"{path}/features?tracks={scenario.ego},{scenario.ego}")["tracks"]
    assert [one["track"] for one in found] == [scenario.ego]
    assert set(found[0]["values"]) == set(viewing.SHOWN)
    assert min(one for one in found[0]["values"]["Lead.Gap"] if one is not None) >= 0
    values = got(engineer, f"{path}/series?names=Vehicle.Speed")["series"][0]
    assert (values["unit"], values["values"][:2], values["time_s"][1]) == ("km/h", [None, 0.1], 0.01)


def test_long_motion_is_thinned_and_says_so(
    engineer: httpx.Client, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewing, "LIMIT_PLACES", 40)
    said, (users, steps) = got(engineer, f"/v1/scenarios/{scenario.id}/motion"), scenario.motion.shape
    assert said["every"] == -(-users * steps // 40)
    assert len(said["time_s"]) * users <= 40 + users
    monkeypatch.setattr(viewing, "LIMIT_PLACES", 1)
    assert refused(engineer, f"/v1/scenarios/{scenario.id}/motion")[0] == 400


@pytest.mark.parametrize(
    ("path", "status", "why"),
    [
        ("/v1/scenarios/none", 404, "no scenario none"),
        ("/v1/scenarios/none/lanes", 404, "no scenario none"),
        ("/v1/scenarios/{id}/features?tracks=x", 400, "no whole numbers"),
        ("/v1/scenarios/{id}/features?tracks=", 400, "0 road users"),
        ("/v1/scenarios/{id}/features?tracks=1,2,3,4,5,6,7,8,9", 400, "9 road users"),
        ("/v1/scenarios/{id}/features?tracks=1&paths=Track.Sped", 400, "no feature 'Track.Sped'"),
        ("/v1/scenarios/{id}/series?names=Vehicle.Sped", 404, "no signal Vehicle.Sped"),
        ("/v1/scenarios/{id}/series?names=", 400, "0 signals"),
        ("/v1/runs/none/scenarios/{id}/motion", 404, "No run 'none'"),
        ("/v1/runs/aa11/scenarios/none/motion", 404, "has no scenario none"),
        ("/v1/runs/bb22/scenarios/{id}/motion", 403, "is not run for a page"),
        ("/v1/runs/cc33/scenarios/{id}/motion", 409, "is another one by now"),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    engineer: httpx.Client, scenario: Scenario, path: str, status: int, why: str
) -> None:
    code, message = refused(engineer, path.format(id=scenario.id))
    assert code == status
    assert why in message


def test_runs_planner_drives_a_scenario_again_to_the_bit(engineer: httpx.Client, scenario: Scenario) -> None:
    said = got(engineer, f"/v1/runs/aa11/scenarios/{scenario.id}/motion")
    assert (said["planner"], said["same"], said["ego"], said["fault"]) == ("idm", True, scenario.ego, "")
    assert len(said["users"]) == len(scenario.motion.users)
    assert said["features"][0]["track"] == scenario.ego


def test_replay_that_takes_too_long_is_ended(
    zone: Zone, engineer: httpx.Client, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("carcloud.research.runs.replay.LIMIT_S", 0.01)
    assert refused(engineer, f"/v1/runs/aa11/scenarios/{scenario.id}/motion") == (503, "It took longer than 0.01 s.")
    assert routes._replays._value == routes.REPLAYS_AT_ONCE


def test_only_who_may_read_recordings_sees_a_scenario(zone: Zone, scenario: Scenario) -> None:
    paths = ("", "/motion", "/lanes", "/features?tracks=1", "/series?names=Vehicle.Speed")
    with client_of(zone, "operator") as operator, client_of(zone, "partner") as partner:
        for path in paths:
            assert partner.get(f"/v1/scenarios/{scenario.id}{path}").status_code == 403, path
        assert partner.get(f"/v1/runs/aa11/scenarios/{scenario.id}/motion").status_code == 403
        assert operator.get(f"/v1/scenarios/{scenario.id}").status_code == 200
    with httpx.Client(base_url=zone.url) as stranger:
        assert stranger.get(f"/v1/scenarios/{scenario.id}/motion").status_code == 401
