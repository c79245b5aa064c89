"""A hundred tenants with a car each on one zone, one of them flooding: none sees, starves or loses another's data."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from carcloud.backends.records import Quotas
from carcloud.stream import subjects
from tests.end_to_end.tenants import ROWS, SPEED, Flood, TenantCar, driving, made, quantile
from tests.zone import RunningZone, running_zone, told, until

TENANTS = 100
BATCHES = 12
FLOODER = "t000"


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningZone]:
    with running_zone(tmp_path_factory.mktemp("tenants") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def cars(zone: RunningZone) -> list[TenantCar]:
    quota = {FLOODER: Quotas(messages_per_s=20, queries=1, streams=1)}
    return made(zone, [f"t{number:03}" for number in range(TENANTS)], quota)


def asked(zone: RunningZone, car: TenantCar, method: str, path: str, **more: Any) -> Any:
    headers = {"authorization": f"Bearer {car.token}"}
    answer = httpx.request(method, f"{zone.url}{path}", headers=headers, timeout=40, trust_env=False, **more)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(zone: RunningZone, car: TenantCar, sql: str) -> list[list[Any]]:
    return list(asked(zone, car, "POST", "/v1/lake/sql", json={"sql": sql})["rows"])


def test_hundred_tenants_of_which_one_floods(zone: RunningZone, cars: list[TenantCar]) -> None:
    flooder, *quiet = cars
    with driving(cars), Flood(flooder) as flood:
        for _ in range(BATCHES):
            for car in quiet:
                car.send()
            time.sleep(0.5)
        until(lambda: _all_acknowledged(quiet), "a quiet tenant's batches are not acknowledged", 60)
        assert until(lambda: zone.status()["stream"]["refused"].get("quota", 0) > 20, "no quota was met", 30)
        assert "quota" in {alarm["code"] for alarm in zone.status()["alarms"]}
    assert flood.messages > 0
    assert all(quantile(car.delays_s, 1.0) < 20 for car in quiet)
    until(zone.lake_is_level, "the lake is behind", 60)
    for car in quiet:
        assert rows(zone, car, "SELECT vehicle, count(*) FROM samples GROUP BY 1") == [[car.id, BATCHES * ROWS]]
    assert {row[0] for row in rows(zone, flooder, "SELECT DISTINCT vehicle FROM samples")} <= {flooder.id}
    assert rows(zone, quiet[0], "SELECT vehicle FROM vehicles") == [[quiet[0].id]]
    assert zone.sql("SELECT count(*) FROM samples") == [[0]]  # the tenant that the zone is run for has no car


def _all_acknowledged(quiet: list[TenantCar]) -> bool:
    late = [car for car in quiet if car.acked < BATCHES]
    for car in late:
        if time.monotonic() - car.sent_at[car.acked + 1] > 10:
            car.again()
    return not late


def test_twin_status_and_lists_show_a_tenant_its_own(zone: RunningZone, cars: list[TenantCar]) -> None:
    one = cars[1]
    assert [car["id"] for car in asked(zone, one, "GET", "/v1/vehicles")["vehicles"]] == [one.id]
    assert [car["id"] for car in asked(zone, one, "GET", f"/v1/signals?paths={SPEED}")["vehicles"]] == [one.id]
    status = asked(zone, one, "GET", "/v1/status")
    assert (status["tenant"], status["vehicles"]["enrolled"]) == ("t001", 1)
    assert (status["lake"]["rows"], status["stream"]["batches"], status["alarms"]) == (BATCHES * ROWS, 0, [])
    assert asked(zone, one, "GET", "/v1/status/history")["at"] == []
    assert asked(zone, one, "GET", "/v1/quarantine")["entries"] == []
    assert zone.get("/v1/signals", paths=SPEED)["vehicles"] == []


def test_a_suspended_tenant_is_out_within_a_second_and_comes_back_whole(
    zone: RunningZone, cars: list[TenantCar]
) -> None:
    one, other = cars[2], cars[3]
    cut = threading.Event()
    one.mqtt.on_disconnect = lambda *_: cut.set()
    with driving([one, other]):
        answer = zone.client.post("/v1/tenants/t002/suspend")
        assert answer.status_code == 200, answer.text
        assert cut.wait(15)
        headers = {"authorization": f"Bearer {one.token}"}
        assert httpx.get(f"{zone.url}/v1/vehicles", headers=headers, trust_env=False).status_code == 401
        before = one.acked
        one.send()
        other.send()
        until(lambda: other.acked == other.sent, "another tenant's car is not heard", 30)
        assert one.acked == before
        assert zone.client.post("/v1/tenants/t002/resume").status_code == 200
        told(zone, subjects.TENANT, b"t002")
        until(lambda: _sent_again(one), "what was kept did not come", 60)
        assert [car["id"] for car in asked(zone, one, "GET", "/v1/vehicles")["vehicles"]] == [one.id]


def _sent_again(car: TenantCar) -> bool:
    car.again()
    return car.acked == car.sent


def test_live_streams_of_a_tenant_end_at_its_quota(zone: RunningZone, cars: list[TenantCar], tmp_path: Path) -> None:
    url, headers = f"{zone.url}/v1/events", {"authorization": f"Bearer {cars[0].token}"}
    with httpx.stream("GET", url, headers=headers, timeout=20, trust_env=False) as first:
        assert first.status_code == 200
        second = httpx.get(url, headers=headers, timeout=20, trust_env=False)
        assert second.status_code == 503
        assert "quota" in second.json()["error"]["message"]
        assert "larger quota" in second.json()["error"]["do"]
