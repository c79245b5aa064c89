"""A33: one tenant of a zone wants what is another's: two tenants, each with a car that speaks and a token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import httpx
import pytest

from carcloud.backends.records import Quotas
from tests.end_to_end.tenants import SPEED, TenantCar, driving, made
from tests.zone import RunningZone, until

Pair = tuple[TenantCar, TenantCar]


@pytest.fixture(scope="module")
def pair(target: RunningZone) -> Iterator[Pair]:
    """Give two tenants whose cars are connected, and have rows in the lake and one payload each in quarantine."""
    ours, theirs = made(target, ["ours", "theirs"], {"theirs": Quotas(vehicles=1)})
    with driving([ours, theirs]):
        for car in (ours, theirs):
            car.send()
            car.mqtt.publish(f"cc/1/{car.tenant}/{car.id}/up/batch", b'{"samples": "none"}', 1)
        for car in (ours, theirs):
            until(lambda car=car: counted(target, car) == 5, "the rows are not in the lake", 40)
            until(lambda car=car: len(entries(target, car)) == 1, "nothing is in quarantine", 20)
        yield ours, theirs


def asked(zone: RunningZone, car: TenantCar, method: str, path: str, **more: object) -> httpx.Response:
    """Ask the API as a tenant's program."""
    headers = {"authorization": f"Bearer {car.token}"}
    return httpx.request(method, f"{zone.url}{path}", headers=headers, timeout=20, trust_env=False, **more)  # type: ignore[arg-type]


def sql(zone: RunningZone, car: TenantCar, text: str) -> httpx.Response:
    """Ask the lake as a tenant's program."""
    return asked(zone, car, "POST", "/v1/lake/sql", json={"sql": text})


def counted(zone: RunningZone, car: TenantCar) -> int:
    """Return how many rows of the lake a tenant sees."""
    return int(sql(zone, car, "SELECT count(*) FROM samples").json()["rows"][0][0])


def entries(zone: RunningZone, car: TenantCar) -> list[dict[str, str]]:
    """Return what a tenant sees of the quarantine."""
    found: list[dict[str, str]] = asked(zone, car, "GET", "/v1/quarantine").json()["entries"]
    return found


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM '{data}/lake/samples/tenant=theirs/*/*.parquet'",
        "SELECT * FROM read_parquet('{data}/lake/samples/tenant=ours/../tenant=theirs/*/*.parquet')",
        "SELECT * FROM read_parquet('{data}/lake/samples/*/*/*.parquet', hive_partitioning = true)",
        "SELECT * FROM glob('{data}/lake/samples/tenant=theirs/**')",
        "SELECT * FROM parquet_metadata('{data}/lake/samples/tenant=theirs/*/*.parquet')",
        "SET allowed_directories = ['{data}/']",
    ],
)
def test_sql_that_reads_another_tenants_folder(target: RunningZone, pair: Pair, text: str) -> None:
    answer = sql(target, pair[0], text.replace("{data}", str(target.data)))
    assert answer.status_code in (400, 403), answer.text
    assert pair[1].id not in answer.text


def test_query_twin_and_events_of_another_tenants_car(target: RunningZone, pair: Pair) -> None:
    ours, theirs = pair
    named = f"SELECT * FROM samples WHERE vehicle = '{theirs.id}'"
    for _ in range(4):  # both processes answer both tenants in turn
        assert sql(target, theirs, named).json()["rows"]
        assert sql(target, ours, named).json()["rows"] == []
        assert sql(target, ours, "SELECT DISTINCT vehicle FROM samples").json()["rows"] == [[ours.id]]
        assert sql(target, ours, "SELECT vehicle FROM vehicles").json()["rows"] == [[ours.id]]
    for path in (f"/v1/vehicles/{theirs.id}", f"/v1/vehicles/{theirs.id}/signals", f"/v1/events?vehicles={theirs.id}"):
        assert asked(target, ours, "GET", path).status_code == 404
    fleet = asked(target, ours, "GET", f"/v1/signals?paths={SPEED}").json()["vehicles"]
    assert [car["id"] for car in fleet] == [ours.id]
    headers = {"authorization": f"Bearer {ours.token}"}
    with httpx.stream("GET", f"{target.url}/v1/events", headers=headers, timeout=20, trust_env=False) as live:
        heard, lines = set[str](), live.iter_lines()
        deadline = time.monotonic() + 20
        while ours.id not in heard and time.monotonic() < deadline:
            theirs.send()
            ours.send()
            for line in lines:
                if line.startswith("data: "):
                    heard.add(json.loads(line[6:])["vehicle"])
                    break
        assert heard == {ours.id}


def test_quarantine_and_lists_of_another_tenant(target: RunningZone, pair: Pair) -> None:
    ours, theirs = pair
    (entry,) = entries(target, theirs)
    assert entry["vehicle"] == theirs.id
    for path in (
        "/v1/quarantine",
        "/v1/vehicles",
        "/v1/identity",
        "/v1/people",
        "/v1/tokens",
        "/v1/orders",
    ):
        answer = asked(target, ours, "GET", path)
        assert answer.status_code == 200, (path, answer.text)
        assert theirs.id not in answer.text, path
    for leaf in asked(target, ours, "GET", "/v1/audit?limit=1000").json()["leaves"]:
        assert theirs.id not in leaf["object"] or leaf["outcome"] == "denied"  # what one tried oneself
    status = asked(target, ours, "GET", "/v1/status").json()
    assert (status["vehicles"]["enrolled"], status["stream"]["batches"]) == (1, 0)


def test_acts_on_another_tenants_car_and_on_tenants(target: RunningZone, pair: Pair) -> None:
    ours, theirs = pair
    for act in ("revoke", "quarantine", "retire"):
        assert asked(target, ours, "POST", f"/v1/vehicles/{theirs.id}/{act}").status_code in (403, 404)
    for method, path in (("GET", "/v1/tenants"), ("POST", "/v1/tenants/theirs/suspend")):
        assert asked(target, ours, method, path).status_code == 403
    assert theirs.acked == theirs.sent or until(lambda: theirs.acked == theirs.sent, "it does not speak any more", 30)


def test_car_that_publishes_below_another_tenants_topics(target: RunningZone, pair: Pair) -> None:
    ours, theirs = pair
    payload = json.dumps({"samples": [{"signal": SPEED, "value": 66}]})
    for tenant, vehicle in (("ours", theirs.id), ("ours", ours.id), ("default", theirs.id)):
        theirs.mqtt.publish(f"cc/1/{tenant}/{vehicle}/up/batch", payload, 0)
    before = [counted(target, car) for car in pair]
    for car, rows in zip(pair, before, strict=True):  # what is said later is there: so what was forged never comes
        until(lambda car=car: car.acked == car.sent or car.again(), "the car does not speak any more", 30)
        car.send()
        until(lambda car=car, rows=rows: counted(target, car) > rows, "the rows are not in the lake", 40)
        assert sql(target, car, "SELECT count(*) FROM samples WHERE value = 66").json()["rows"] == [[0]]
    signals = asked(target, ours, "GET", f"/v1/vehicles/{ours.id}/signals").json()["signals"]
    assert signals[SPEED]["value"] != 66


def test_more_cars_than_the_quota_of_a_tenant(target: RunningZone, pair: Pair) -> None:
    wanted = {"vin": "WVWZZZ1JZXW000099"}
    answer = asked(target, pair[1], "POST", "/v1/claims", json=wanted)
    assert answer.status_code == 409, answer.text
    assert "quota" in answer.json()["error"]["message"]
    assert "larger quota" in answer.json()["error"]["do"]
