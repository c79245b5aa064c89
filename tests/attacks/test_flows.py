"""Attacks at the border of the zone: another zone that wants more than its flow lets out."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from carcloud.onboard.agent import Agent
from carcloud.onboard.queue import Queue
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode
from tests.zone import RunningZone, carcloud, running_zone, until

GOVERNANCE = """
name: watched
purposes:
  operation: {basis: contract, why: Running the service.}
rules:
  - {paths: [Vehicle.Speed, Vehicle.AverageSpeed], class: personal, purposes: [operation]}
"""
FLOW = """
  {name}:
    to: eu
    purpose: operation
    why: The service is run there.
    classes: [personal]
    signals: [{{paths: [Vehicle.Speed], exactness: 10}}]
    time: 60
    limits: {{personal: {limit}}}
    stop_at: 1
    until: {until}
"""
LIMIT, CARS, HOUR_US = 3, 8, 3_600_000_000
TABLE = IdTable((("Vehicle.Speed", "km/h"), ("Vehicle.AverageSpeed", "km/h")))

pytestmark = pytest.mark.timeout(600)


@dataclass
class Border:
    """A zone with flows `out`, `race` and `past`; each car spoke in an hour of its own, from `began_us` on."""

    zone: RunningZone
    began_us: int
    cars: dict[str, str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, flow: str) -> str:
        if flow not in self.tokens:
            self.tokens[flow] = self.new_token(flow)
        return self.tokens[flow]

    def new_token(self, flow: str) -> str:
        made = carcloud("flow", "token", flow, "--data", str(self.zone.data))
        assert made.returncode == 0, made.stderr
        return made.stdout.strip()

    def ask(self, token: str, method: str, path: str, **parts: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.request(method, self.zone.url + path, headers=headers, timeout=60, trust_env=False, **parts)

    def read(self, token: str, flow: str, **asked: Any) -> httpx.Response:
        return self.ask(token, "POST", f"/v1/flows/{flow}/read", json=asked)

    def hour(self, number: int) -> dict[str, str]:
        ends = (self.began_us + (number + at) * HOUR_US for at in (0, 1))
        since, until_ = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(end // 1_000_000)) for end in ends)
        return {"since": since, "until": until_}


@pytest.fixture(scope="module")
def border(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Border]:
    folder = tmp_path_factory.mktemp("border")
    flows = [("out", 100, "2099-12-31"), ("race", LIMIT, "2099-12-31"), ("past", 100, "2020-12-31")]
    (folder / "governance.yaml").write_text(GOVERNANCE)
    text = "".join(FLOW.format(name=name, limit=limit, until=end) for name, limit, end in flows)
    (folder / "flows.yaml").write_text(f"flows:{text}")
    config = f'governance = "{folder}/governance.yaml"\nflows = "{folder}/flows.yaml"\n'
    with running_zone(folder / "data", config=config) as zone:
        now_us = time.time_ns() // 1000
        made = Border(zone, (now_us - 24 * HOUR_US) // HOUR_US * HOUR_US)
        for number in range(CARS):
            _drive(made, folder, number)
        until(lambda: zone.sql("SELECT count(*) FROM samples") == [[2 * CARS]], "the lake has not all rows")
        yield made


def _drive(border: Border, folder: Path, number: int) -> None:
    enrolled, place = border.zone.enrol(f"car-{number}")
    border.cars[enrolled.vehicle.id] = enrolled.vehicle.vin
    columns: Any = [np.array([0, 1], "u2"), np.array([1, 1], "u4"), np.zeros(2, "i4"), np.array([41.5, 42.5])]
    at_us = border.began_us + number * HOUR_US + 61_234_567
    queue = Queue(folder / f"car-{number}.queue")
    queue.append([(encode(Batch(TABLE.hash, 1, 1, at_us, *columns, Provenance.MEASURED)), 2)])
    agent = Agent(place, queue, TABLE)
    agent.start()
    try:
        until(lambda: queue.acked == 1, "the car is not acknowledged")
    finally:
        agent.stop()


def timeless(answer: str) -> str:
    """Leave out when it was answered, as VISS says."""
    return re.sub(r'"ts":"[^"]*"', "", answer)


def test_token_of_a_flow_opens_nothing_else(border: Border) -> None:
    token = border.token("out")
    assert border.read(token, "out").status_code == 200
    document = border.zone.get("/v1/openapi.json")
    for path, methods in document["paths"].items():
        if path.startswith("/v1/") and path not in ("/v1/session", "/v1/openapi.json", "/v1/flows/{flow}/read"):
            for method in (name for name, described in methods.items() if described.get("security")):
                own, nobody = next(iter(border.cars)), "z" * 16
                address = path.replace("{flow}", "race")
                answer = border.ask(token, method, address.replace("{vehicle}", own), json={})
                assert answer.status_code in (400, 403, 404), f"{method} {path}: {answer.status_code} {answer.text}"
                text = answer.text.replace(own, nobody)  # what was asked for may stand in the refusal
                assert not any(car in text or vin in text for car, vin in border.cars.items())
                if "{vehicle}" in path:  # a car that is there is refused as one that is not
                    absent = border.ask(token, method, address.replace("{vehicle}", nobody), json={})
                    assert (answer.status_code, timeless(text)) == (absent.status_code, timeless(absent.text))
    for flow in ("race", "past", "none", "..%2Fout"):
        assert border.read(token, flow).status_code in (403, 404, 405)
    sql = border.ask(token, "POST", "/v1/lake/sql", json={"sql": "SELECT * FROM samples"})
    assert (sql.status_code, sql.json()["error"]["code"]) == (403, "not_allowed")


def test_token_of_another_kind_reads_no_flow(border: Border) -> None:
    assert border.read(border.zone.token, "out").status_code == 403
    made = carcloud("token", "make", "partner", "--role", "partner", "--data", str(border.zone.data))
    assert made.returncode == 0, made.stderr
    secret = next(word for word in (made.stdout + made.stderr).split() if word.startswith("cct_"))
    assert border.read(secret, "out").status_code == 403
    assert border.read("cct_" + "A" * 43, "out").status_code == 401
    assert httpx.post(f"{border.zone.url}/v1/flows/out/read", json={}, trust_env=False).status_code == 401


def test_revoked_token_and_ended_flow_let_nothing_out(border: Border) -> None:
    token = border.new_token("out")
    with closing(border.zone.records()) as records:
        newest = records.passes.tokens("default")[0]
    revoked = carcloud("token", "revoke", newest.id, "--data", str(border.zone.data))
    assert revoked.returncode == 0, revoked.stderr
    assert border.read(token, "out").status_code == 401
    past = border.read(border.token("past"), "past")
    assert (past.status_code, past.json()["error"]["code"]) == (403, "flow_ended")


@pytest.mark.parametrize(
    "asked",
    [
        {"paths": ["Vehicle.AverageSpeed"]},
        {"paths": ["Vehicle.Speed' OR '1'='1"]},
        {"paths": ["Vehicle.Speed]) UNION SELECT vehicle, vin, now(), 0, '', '', 0 FROM vehicles --"]},
        {"paths": ["$signals"]},
        {"after": "AAAA"},
        {"after": "' OR 1=1 --"},
        {"limit": 10**12},
        {"since": "2026-01-01' OR '1'='1"},
    ],
)
def test_question_that_asks_for_more_than_leaves_is_refused(border: Border, asked: dict[str, Any]) -> None:
    answer = border.read(border.token("out"), "out", **asked)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"error"}


def test_injected_names_are_data_and_find_nothing(border: Border) -> None:
    token = border.token("out")
    evil = ["' OR 1=1 --", "%", "*", *border.cars]
    assert border.read(token, "out", vehicles=evil).json()["rows"] == []


def test_place_of_one_flow_is_none_in_another_and_tells_nothing(border: Border) -> None:
    place = border.read(border.token("out"), "out", limit=1).json()["next"]
    assert not any(car in place for car in border.cars)
    assert border.read(border.token("race"), "race", after=place).status_code == 400


def test_narrow_questions_tell_no_more_than_the_answers(border: Border) -> None:
    token = border.token("out")
    every = border.read(token, "out").json()["rows"]
    assert {row[2][-4:] for row in every} == {":00Z"}
    minute = border.began_us // 1_000_000 + 60
    at = [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(minute)) + f".{part}Z" for part in ("000000", "234568")]
    assert border.read(token, "out", since=at[0], until=at[1]).json()["rows"] == []
    late = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(minute + 59))
    first = border.read(token, "out", since=late, until=border.hour(1)["since"]).json()["rows"]
    assert len(first) == 1


def test_many_reads_at_the_same_moment_do_not_pass_the_limit_together(border: Border) -> None:
    token, ready = border.token("race"), threading.Barrier(CARS)

    def read(number: int) -> httpx.Response:
        ready.wait(30)
        return border.read(token, "race", **border.hour(number))

    with ThreadPoolExecutor(CARS) as pool:
        answers = list(pool.map(read, range(CARS)))
    told = [answer for answer in answers if answer.status_code == 200]
    assert len({row[0] for answer in told for row in answer.json()["rows"]}) == LIMIT
    assert {answer.json()["error"]["code"] for answer in answers if answer not in told} == {"export_stopped"}
    meters = {flow["name"]: flow["meters"] for flow in border.zone.get("/v1/flows")["flows"]}
    assert meters["race"] == [{"class": "personal", "people": LIMIT, "limit": LIMIT, "stop": LIMIT}]
    border.zone.kill("api")
    until(border.zone.health, "the API does not come back")
    assert border.read(token, "race").json()["error"]["code"] == "export_stopped"
