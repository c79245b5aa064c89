"""What a partner does with a token beyond what is granted to it, on a running zone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.attacks.attacker import Car
from tests.zone import RunningZone, carcloud, running_zone, until

SPEED, CHARGE = "Vehicle.Speed", "Vehicle.Powertrain.TractionBattery.StateOfCharge.Current"


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    with running_zone(tmp_path_factory.mktemp("granting") / "data") as zone:
        yield zone


def said(*command: str) -> str:
    answer = carcloud(*command)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.strip()


def test_a58_partner_with_a_token_reaches_nothing_outside_its_scope(zone: RunningZone) -> None:
    data = ("--data", str(zone.data))
    mine, other = (Car(zone, zone.enrol(name)[1]) for name in ("granted", "not-granted"))
    secret = said("token", "make", "insurer", "--role", "partner", "--app", "insurer", *data)
    partner = httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=30)
    assert partner.get("/v1/vehicles").status_code == 403  # no grant yet
    purpose = zone.get("/v1/governance")["purposes"][0]["name"]
    steps = ("--path", SPEED, "--precision", f"{SPEED}=10")
    grant = said("grant", "give", mine.id, "app:insurer", purpose, *steps, *data).split()[0]

    def drive(speed: float) -> None:
        for car in (mine, other):
            at = int(time.time() * 1e6)
            both = [{"signal": SPEED, "value": speed, "time": at}, {"signal": CHARGE, "value": 61.0, "time": at}]
            car.say(json.dumps({"samples": both}).encode())

    def ask(sql: str) -> list[list[object]]:
        answer = partner.post("/v1/lake/sql", json={"sql": sql})
        assert answer.status_code == 200, answer.text
        found: list[list[object]] = answer.json()["rows"]
        return found

    for car in (mine, other):
        assert car.connect() == "Success"
    drive(51.5)
    every = "SELECT DISTINCT vehicle, signal, value FROM samples"
    until(lambda: len(zone.sql("SELECT DISTINCT vehicle, signal FROM samples")) == 4, "not in the lake")
    assert ask(every) == [[mine.id, SPEED, 55.0]]
    signals = partner.get(f"/v1/vehicles/{mine.id}/signals").json()["signals"]
    assert {path: value["value"] for path, value in signals.items()} == {SPEED: 55.0}
    assert [car["id"] for car in partner.get("/v1/vehicles").json()["vehicles"]] == [mine.id]
    for side in ("", "/signals", "/grants"):
        assert partner.get(f"/v1/vehicles/{other.id}{side}").status_code == 404
    assert partner.get("/v1/events", params={"vehicles": other.id}).status_code == 404
    order = {"authorisation": "{}", "signatures": [{"key": "0" * 16, "signature": "AA=="}]}
    assert partner.post("/v1/orders", json=order).status_code == 403
    assert partner.get("/v1/audit").status_code == 403
    assert partner.post("/v1/lake/sql", json={"sql": "EXPLAIN SELECT * FROM samples"}).status_code == 403
    for around in (
        "SELECT json_serialize_plan('SELECT max(text) FROM read_parquet(''**/*.parquet'')', optimize := true)",
        "SELECT stats(vehicle) FROM samples",
    ):
        assert partner.post("/v1/lake/sql", json={"sql": around}).status_code == 403
    with partner.stream("GET", "/v1/events") as stream:
        lines = (line for line in stream.iter_lines() if line)
        assert next(lines) == ": welcome"
        said("grant", "revoke", mine.id, grant, *data)
        assert next(lines) == "event: error"
    assert partner.get("/v1/vehicles").status_code == 403
    partner.close()
    for car in (mine, other):
        car.stop()


def test_partner_learns_no_value_by_searching_for_cars(zone: RunningZone) -> None:
    data = ("--data", str(zone.data))
    mine, other = (Car(zone, zone.enrol(name)[1]) for name in ("searched", "not-searched"))
    secret = said("token", "make", "searcher", "--role", "partner", "--app", "searcher", *data)
    purpose = zone.get("/v1/governance")["purposes"][0]["name"]
    steps = ("--path", SPEED, "--precision", f"{SPEED}=10")
    said("grant", "give", mine.id, "app:searcher", purpose, *steps, *data)
    at = int(time.time() * 1e6)
    for car in (mine, other):
        assert car.connect() == "Success"
        both = [{"signal": SPEED, "value": 51.5, "time": at}, {"signal": CHARGE, "value": 62.0, "time": at}]
        car.say(json.dumps({"samples": both}).encode())
    every = f"{CHARGE} = 62 % and {SPEED} > 51 km/h and {SPEED} < 52 km/h stale after 1 h"
    wanted = {"condition": every}
    until(lambda: len(zone.get("/v1/vehicles/search", **wanted)["vehicles"]) == 2, "not in the twin")
    with httpx.Client(base_url=zone.url, headers={"authorization": f"Bearer {secret}"}, timeout=30) as partner:

        def found(condition: str) -> tuple[list[str], int]:
            answer = partner.get("/v1/vehicles/search", params={"condition": f"{condition} stale after 1 h"})
            assert answer.status_code == 200, answer.text
            said = answer.json()
            return [car["id"] for car in said["vehicles"]], said["unknown"]

        for guess in range(0, 101, 10):  # out of reach
            assert found(f"{CHARGE} >= {guess} %") == ([], 1)
        assert found(f"{CHARGE} is known or {CHARGE} * 0 = 0 %") == ([], 1)
        reached = [guess for guess in range(40, 71) if found(f"{SPEED} >= {guess} km/h") == ([mine.id], 0)]
        assert reached == list(range(40, 56))  # halving the interval ends at the middle of the step
        assert found(f"{SPEED} > 51 km/h and {SPEED} < 52 km/h") == ([], 0)
        for around in (f"{SPEED} > 0 km/h for at least 1 s", f"count of {CHARGE} over 1 h > 0"):
            assert partner.get("/v1/vehicles/search", params={"condition": around}).status_code == 400
    told = said("vehicles", "--where", every, *data).splitlines()
    assert told == sorted([f"{mine.id}  searched", f"{other.id}  not-searched"])
    for car in (mine, other):
        car.stop()
