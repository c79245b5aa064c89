"""Two zones on one machine: what one lets out to the other, and what it does not."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet
import pytest

from carcloud.onboard.agent import Agent
from carcloud.onboard.queue import Queue
from carcloud.safety.keys import write_file
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode
from tests.other_zone import Answer, OtherZone, Row, other_zone, page, refusal, row
from tests.zone import RunningZone, carcloud, running_zone, until

GOVERNANCE = """
name: shanghai
purposes:
  operation: {basis: contract, why: Running the service.}
  research: {basis: consent, why: Better driving functions.}
rules:
  - {paths: [Vehicle.CurrentLocation.Latitude], class: sensitive, purposes: [operation, research], exactness: 0.001}
  - {paths: [Vehicle.Speed], class: personal, purposes: [operation, research]}
  - {paths: ["Vehicle.Powertrain.**"], class: operational, purposes: [operation]}
"""
FLOWS = """
calendar: "+08:00"
flows:
  research-eu:
    to: eu-fra
    purpose: research
    why: Driving functions are developed there.
    classes: [personal, sensitive]
    signals:
      - {paths: [Vehicle.CurrentLocation.Latitude], exactness: 0.01}
      - {paths: [Vehicle.Speed], exactness: 10}
      - paths: ["Vehicle.Powertrain.**"]
    time: 60
    limits: {personal: 100, sensitive: 5}
    stop_at: 0.8
"""
LAW = """
name: europe
purposes:
  research: {basis: contract, why: Better driving functions.}
rules:
  - {paths: [Vehicle.CurrentLocation.Latitude], class: sensitive, keep: false}
  - {paths: [Vehicle.Speed, "Vehicle.Powertrain.**"], class: personal, purposes: [research]}
"""
REPLICAS = """
replicas:
  from-cn: {{from: "{url}", flow: research-eu, token_file: "{token}", every: 1}}
  from-far: {{from: "{far}", flow: all, token_file: "{far_token}", every: 1}}
"""
LATITUDE, SPEED = "Vehicle.CurrentLocation.Latitude", "Vehicle.Speed"
CHARGE = "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"
TABLE = IdTable(((LATITUDE, "degrees"), (SPEED, "km/h"), (CHARGE, "percent")))
CARS, STOP, SAMPLES = 6, 4, 20

pytestmark = pytest.mark.timeout(600)


@dataclass
class Zones:
    """Two zones; `here` has data of `cars`, id → VIN, and `token` lets `there` read its flow.

    far: a third zone, which gives `there` whatever a test has it give.
    """

    here: RunningZone
    there: RunningZone
    cars: dict[str, str]
    token: Path
    began_us: int
    far: OtherZone

    def consent(self, *numbers: int) -> None:
        for number in numbers:
            answer = self.here.client.post(
                f"/v1/vehicles/{list(self.cars)[number]}/grants", json={"grantee": "zone", "purpose": "research"}
            )
            assert answer.status_code == 201, answer.text

    def read(self, out: Path, limit: int) -> Any:
        options = (
            "--from",
            self.here.url,
            "--token-file",
            str(self.token),
            "--out",
            str(out),
            "--limit",
            str(limit),
            "--since",
            "2026-01-01T00:00Z",
        )
        return carcloud("flow", "read", "research-eu", *options)

    def asked(self, path: str, **body: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.token.read_text()}"}
        return httpx.post(f"{self.here.url}{path}", json=body, headers=headers, timeout=30, trust_env=False)

    def meter(self, kind: str) -> dict[str, Any]:
        meters = self.here.get("/v1/flows")["flows"][0]["meters"]
        return next(meter for meter in meters if meter["class"] == kind)


def exact(number: int) -> dict[str, np.ndarray]:
    """Return what a car measured: SAMPLES values of each signal, a second apart."""
    at = np.arange(SAMPLES)
    return {LATITUDE: 31.2304567 + number / 10 + at * 1.7e-5, SPEED: 41.37 + number + at * 0.5, CHARGE: 50.0 + at}


def send(zone: RunningZone, number: int, began_us: int) -> tuple[str, str]:
    """Let one car drive; return its id and VIN once all is acknowledged."""
    enrolled, place = zone.enrol(f"car-{number}")
    values = np.concatenate(list(exact(number).values()))
    times = np.tile(np.arange(SAMPLES, dtype="i4") * 1_000_000, len(TABLE.signals))
    signals, counts = np.arange(len(TABLE.signals), dtype="u2"), np.full(len(TABLE.signals), SAMPLES, "u4")
    batch = Batch(TABLE.hash, 1, 1, began_us, signals, counts, times, values, Provenance.MEASURED)
    queue = Queue(zone.data.parent / f"car-{number}.queue")
    queue.append([(encode(batch), len(values))])
    agent = Agent(place, queue, TABLE)
    agent.start()
    try:
        until(lambda: queue.acked == 1, "the car is not acknowledged")
    finally:
        agent.stop()
    return enrolled.vehicle.id, enrolled.vehicle.vin


@pytest.fixture(scope="module")
def zones(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zones]:
    folder = tmp_path_factory.mktemp("zones")
    governance, flows = folder / "governance.yaml", folder / "flows.yaml"
    governance.write_text(GOVERNANCE)
    flows.write_text(FLOWS)
    config = f'zone = "cn-sh"\ngovernance = "{governance}"\nflows = "{flows}"\n'
    with ExitStack() as stack:
        here = stack.enter_context(running_zone(folder / "here", config=config))
        made = carcloud("flow", "token", "research-eu", "--data", str(here.data))
        assert made.returncode == 0, made.stderr
        far, far_url = stack.enter_context(other_zone())
        token, far_token, incoming, law = (folder / name for name in ("token", "far", "incoming.yaml", "law.yaml"))
        write_file(token, made.stdout.strip().encode())
        write_file(far_token, far.token.encode())
        incoming.write_text(REPLICAS.format(url=here.url, token=token, far=far_url, far_token=far_token))
        law.write_text(LAW)
        config = f'zone = "eu-fra"\nregion = "EU"\ngovernance = "{law}"\nflows = "{incoming}"\n'
        there = stack.enter_context(running_zone(folder / "there", config=config))
        began_us = time.time_ns() // 1000 - 3_600_000_000
        cars = dict(send(here, number, began_us) for number in range(CARS))
        until(lambda: here.sql("SELECT count(*) FROM samples") == [[CARS * 3 * SAMPLES]], "the lake has not all rows")
        yield Zones(here, there, cars, token, began_us, far)


def test_what_no_flow_declares_does_not_leave(zones: Zones, tmp_path: Path) -> None:
    with httpx.Client(base_url=zones.here.url, trust_env=False) as foreign:
        foreign.headers["authorization"] = f"Bearer {zones.there.token}"
        assert foreign.post("/v1/lake/sql", json={"sql": "SELECT * FROM samples"}).status_code == 401
        assert foreign.post("/v1/flows/research-eu/read", json={}).status_code == 401
    for path, body in (
        ("/v1/lake/sql", {"sql": "SELECT * FROM samples"}),
        ("/v1/flows/another/read", {}),
    ):
        refused = zones.asked(path, **body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_allowed")
    assert zones.asked("/v1/flows/research-eu/read").json()["rows"] == []  # nobody has agreed yet
    assert zones.there.get("/v1/flows")["flows"] == []


def test_declared_flow_passes_changed_and_the_meter_stops_it_for_good(zones: Zones, tmp_path: Path) -> None:
    zones.consent(*range(STOP))
    done = zones.read(tmp_path / "out", 50)
    assert done.returncode == 0, done.stderr
    files = sorted((tmp_path / "out").glob("*.parquet"))
    assert len(files) > 1
    rows = [row for file in files for row in pyarrow.parquet.read_table(file).to_pylist()]
    _changed_as_declared(zones, rows)
    answer = zones.asked("/v1/flows/research-eu/read", limit=100_000)
    _tells_of_nobody(zones, b"".join([answer.content, *(file.read_bytes() for file in files)]))
    assert sorted(map(str, answer.json()["rows"])) == sorted(
        str([row["vehicle"], row["signal"], _written(row["time"]), row["value"], row["text"], row["provenance"]])
        for row in rows
    )
    assert "0 rows in 0 new files" in zones.read(tmp_path / "out", 50).stdout

    assert zones.meter("sensitive") == {"class": "sensitive", "people": STOP, "limit": 5, "stop": STOP}
    _replicated(zones, rows)
    zones.consent(STOP)
    _stopped(zones, tmp_path)
    zones.here.kill("api")
    until(zones.here.health, "the API does not come back")
    _stopped(zones, tmp_path)
    assert len(zones.asked("/v1/flows/research-eu/read", paths=[SPEED]).json()["rows"]) == (STOP + 1) * SAMPLES
    assert zones.meter("personal")["people"] == STOP + 1
    found = zones.here.get("/v1/audit", action="readFlow", limit=100)["leaves"]
    assert {leaf["object"] for leaf in found} >= {"flow:research-eu", "flow:another"}
    assert {leaf["outcome"] for leaf in found if leaf["object"] == "flow:research-eu"} == {"done", "denied"}
    assert {leaf["actor"].partition(":")[0] for leaf in found} == {"token"}
    shown = carcloud("flow", "list", "--data", str(zones.here.data))
    assert f"sensitive data of {STOP} people left, stops at {STOP} of 5" in shown.stdout
    until(lambda: "replica_refused" in _alarms(zones), "the refused replica raises no alarm")


def test_process_killed_at_any_moment_loses_and_doubles_no_row(zones: Zones) -> None:
    before = zones.there.sql("SELECT count(*) FROM samples")[0][0]
    cars, pages = [f"{number:032x}" for number in range(3)], 12
    zones.far.pages = [
        [row(car, 7200 * (number % 3) + 40 * number + at, float(at)) for car in cars for at in range(40)]
        for number in range(pages)
    ]
    for kill in range(3):
        asked = len(zones.far.asked)
        until(lambda: len(zones.far.asked) > asked, "the replica is not asked for")  # noqa: B023 (asked at once)
        time.sleep(0.17 * kill)
        zones.there.kill("replicas")
    until(lambda: zones.far.asked[-1].get("after") == f"p{pages}", "not all pages are asked for")
    until(zones.there.lake_is_level, "the lake does not come")
    ours = [car["id"] for car in zones.there.get("/v1/vehicles")["vehicles"] if car["source"] == "from-far"]
    assert len(ours) == len(cars)
    assert zones.there.sql("SELECT count(*) FROM samples") == [[before + zones.far.rows]]
    for car in ours:
        of = zones.there.sql("SELECT count(*), count(DISTINCT time) FROM samples WHERE vehicle = $car", car=car)
        assert of == [[zones.far.rows // len(cars)] * 2]
    assert any("upto" in question for question in zones.far.asked)


def test_zone_that_lies_does_no_harm_and_raises_an_alarm(zones: Zones) -> None:
    there, own = zones.there, zones.there.enrol("own")[0].vehicle
    before, refused = there.sql("SELECT count(*) FROM samples")[0][0], there.status()["stream"]["refused"]
    end = len(zones.far.pages)
    lies: list[Row] = [
        row(own.id, 0, 77.0),
        row(own.id, 1, float("nan")),
        row(own.id, 2, 1e300, CHARGE),
        row(own.id, 3, None, text="fast"),
        row(own.id, 4, 1.0, "Vehicle.NoSuchThing"),
        row(own.id, 5, 31.2, LATITUDE),
        row(own.id, 10**10, 1.0),
    ]
    zones.far.pages = [*zones.far.pages, lies]
    until(lambda: zones.far.asked[-1].get("after") == f"p{end + 1}", "the page of lies does not pass by")
    until(there.lake_is_level, "the lake does not come")
    assert there.sql("SELECT count(*) FROM samples") == [[before + 1]]
    assert there.sql("SELECT count(*) FROM samples WHERE vehicle = $own", own=own.id) == [[0]]
    now = there.status()["stream"]["refused"]
    causes = ("not_finite", "out_of_range", "wrong_type", "unknown_signal", "not_permitted", "time_future")
    assert [now[cause] - refused.get(cause, 0) for cause in causes] == [1] * len(causes)

    for answer, code in (
        ((200, {"x-carcloud-next": "p9", "x-carcloud-more": "false"}, b"<html>"), "replica_nonsense"),
        (page([row("../../etc/passwd", 0, 1.0)], "p9"), "replica_nonsense"),
        (refusal(403, "flow_ended", "Over."), "replica_refused"),
        ((500, {}, b""), "replica_away"),
    ):
        zones.far.say = functools.partial(_saying, answer)
        until(functools.partial(_alarmed, zones, code), f"no alarm {code}")
    zones.far.say = None
    until(lambda: not _alarms(zones, "from-far"), "the alarm stays")
    assert there.sql("SELECT count(*) FROM samples") == [[before + 1]]


def _saying(answer: Answer, _: dict[str, Any]) -> Answer:
    return answer


def _alarmed(zones: Zones, code: str) -> bool:
    return code in _alarms(zones, "from-far")


def _alarms(zones: Zones, replica: str = "from-cn") -> set[str]:
    return {alarm["code"] for alarm in zones.there.alarms() if f"Replica {replica}:" in alarm["message"]}


def _changed_as_declared(zones: Zones, rows: list[dict[str, Any]]) -> None:
    assert len(rows) == STOP * 2 * SAMPLES
    assert len({row["vehicle"] for row in rows}) == STOP
    assert {row["signal"] for row in rows} == {LATITUDE, SPEED}
    minutes = {(zones.began_us // 1_000_000 + at) // 60 * 60 for at in range(SAMPLES)}
    assert {int(row["time"].timestamp()) for row in rows} <= minutes
    for signal, step in ((LATITUDE, 0.01), (SPEED, 10.0)):
        sent = sorted(row["value"] for row in rows if row["signal"] == signal)
        true = np.sort(np.concatenate([exact(number)[signal] for number in range(STOP)]))
        np.testing.assert_allclose(sent, (np.floor(true / step) + 0.5) * step, atol=1e-9)


def _replicated(zones: Zones, rows: list[dict[str, Any]]) -> None:
    """What left stands in the other zone's lake, once, as far as that zone's own governance keeps it."""
    speeds = sorted((row["time"].timestamp(), row["value"]) for row in rows if row["signal"] == SPEED)
    there = zones.there
    until(lambda: there.sql("SELECT count(*) FROM samples")[0][0] >= len(speeds), "nothing is replicated")
    kept = there.sql("SELECT epoch(time), value FROM samples WHERE signal = $signal ORDER BY 1, 2", signal=SPEED)
    assert [tuple(row) for row in kept] == speeds
    assert there.sql("SELECT count(*), count(DISTINCT vehicle) FROM samples") == [[len(speeds), STOP]]
    assert there.status()["stream"]["refused"]["not_permitted"] == len(rows) - len(speeds)
    shown = there.get("/v1/zone")
    assert (shown["name"], shown["region"], shown["governance"]["name"]) == ("eu-fra", "EU", "europe")
    assert [(one["replica"], one["cars"], one["rows"]) for one in shown["comes"][:1]] == [("from-cn", STOP, len(rows))]
    assert zones.token.read_text() not in str(shown)
    listed = there.get("/v1/vehicles")["vehicles"]
    assert {(car["state"], car["vin"], car["source"]) for car in listed} == {("replica", None, "from-cn")}
    names = {row["vehicle"] for row in rows}
    assert len(listed) == len(names) == STOP
    assert not {car["id"] for car in listed} & (names | zones.cars.keys())


def _tells_of_nobody(zones: Zones, content: bytes) -> None:
    for vehicle, vin in zones.cars.items():
        assert vehicle.encode() not in content
        assert vin.encode() not in content
    assert b"31.23" not in content.replace(b"31.235", b"")


def _stopped(zones: Zones, tmp_path: Path) -> None:
    refused = zones.asked("/v1/flows/research-eu/read")
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "export_stopped")
    by_command = zones.read(tmp_path / "more", 100_000)
    assert by_command.returncode == 1
    assert f"may let out sensitive data of {STOP} people" in by_command.stderr
    assert not list((tmp_path / "more").glob("*.parquet"))
    assert zones.meter("sensitive")["people"] == STOP
    until(lambda: "export_stopped" in {alarm["code"] for alarm in zones.here.alarms()}, "no alarm stands")


def _written(at: Any) -> str:
    return str(at.strftime("%Y-%m-%dT%H:%M:%SZ"))
