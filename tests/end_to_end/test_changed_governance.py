"""A governance that two people decide on comes into force on a running zone, and none of one person's does."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest

from carcloud.onboard.agent import Agent
from carcloud.onboard.queue import Queue
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode
from tests.people import Visitor, join
from tests.zone import RunningZone, carcloud, running_zone, until

HEAD = "name: {}\npurposes:\n  research: {{basis: legitimate-interest, why: Understanding how cars drive.}}\nrules:\n"
ALL = '  - {paths: ["**"], class: operational, purposes: [research]}\n'
KEEPS_ALL = HEAD.format("all") + ALL
NO_SPEED = HEAD.format("no-speed") + "  - {paths: [Vehicle.Speed], class: personal, keep: false}\n" + ALL
TABLE = IdTable((("Vehicle.Speed", "km/h"), ("Vehicle.TraveledDistance", "m")))

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    place = tmp_path_factory.mktemp("law")
    (place / "law.yaml").write_text(KEEPS_ALL)
    with running_zone(place / "data", config=f'governance = "{place / "law.yaml"}"\n') as running:
        yield running


def test_governance_changes_when_two_people_decide_and_not_before(zone: RunningZone, tmp_path: Path) -> None:
    ann, bob = join(zone, "operator", factor=True), join(zone, "dpo", factor=True)
    assert asked(ann, "rules: none").status_code == 400
    assert (
        zone.client.post("/v1/governance", json={"text": NO_SPEED}).status_code == 403
    )  # a token has no second factor
    checked = ann.client.post("/v1/governance/check", json={"text": NO_SPEED}).json()
    assert "Vehicle.Speed: operational for research, kept → dropped" in checked["changes"]

    waits = asked(ann)
    assert waits.status_code == 202, waits.text
    approval = f"/v1/approvals/{waits.json()['approval']['id']}"
    assert ann.client.post(approval, json={"decision": "approve"}).status_code == 403
    assert asked(ann).status_code == 202
    assert name_of(zone) == "all"
    assert bob.client.post(approval, json={"decision": "approve"}).status_code == 200
    assert asked(ann).status_code == 200

    until(lambda: name_of(zone) == "no-speed", "the changed governance is not in force")
    until(lambda: zone.health() == "ok", "the zone is not well under it")
    enrolled, place = zone.enrol("tried")
    queue = Queue(tmp_path / "tried.queue")
    agent = Agent(place, queue, TABLE)
    agent.start()
    try:
        queue.append([sample()])
        until(
            lambda: paths(zone, enrolled.vehicle.id) == ["Vehicle.TraveledDistance"], "what is kept is not in the lake"
        )
    finally:
        agent.stop()
        queue.close()
    assert zone.status()["stream"]["refused"]["not_permitted"] >= 1
    assert asked(ann).status_code == 409
    verified = carcloud("verify", "lake", "--data", str(zone.data))
    assert verified.returncode == 0, verified.stdout + verified.stderr


def asked(who: Visitor, text: str = NO_SPEED) -> httpx.Response:
    return who.client.post("/v1/governance", json={"text": text})


def name_of(zone: RunningZone) -> str:
    try:
        return str(zone.client.get("/v1/governance").json()["name"])
    except (httpx.HTTPError, ValueError, KeyError):
        return ""


def paths(zone: RunningZone, vehicle: str) -> list[str]:
    rows = zone.sql("SELECT DISTINCT signal FROM samples WHERE vehicle = $vehicle", vehicle=vehicle)
    return [row[0] for row in rows]


def sample() -> tuple[bytes, int]:
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    places, counts = np.array([0, 1], np.uint16), np.ones(2, np.uint32)
    columns = places, counts, np.zeros(2, np.int32), np.array([50.0, 7.0])
    return encode(Batch(TABLE.hash, 1, 1, now_us, *columns, Provenance.SIMULATED)), 2
