"""Plans by the API: kept as they were made, checked, tried, aimed at cars, and followed on a car."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from served import CARS, MOMENT_US, Last, Zone

from carcloud.backends.records.orders import Given, Order
from carcloud.gateway.collection import SAID
from carcloud.lake.rows import SCHEMA

SOON = (datetime.now(UTC) + timedelta(days=30)).isoformat(timespec="seconds")
TEXT = f"""
plan: fast
version: 1
signals: [Vehicle.Speed]
when: Vehicle.Speed > 80 km/h
before: 2 s
after: 2 s
purpose: operation
basis: contract
budget: 1 MB
until: {SOON}
"""


def plan(**changed: Any) -> dict[str, Any]:
    given = {
        "plan": "fast",
        "version": 1,
        "signals": ["Vehicle.Speed"],
        "purpose": "operation",
        "basis": "contract",
        "budget": "1 MB",
        "until": SOON,
    }
    return given | changed


def fill(zone: Zone, car: str) -> None:
    """Give the lake a hundred seconds of a car that is fast twice."""
    times = [MOMENT_US + second * 1_000_000 for second in range(100)]
    rows = [
        {"vehicle": car, "signal": "Vehicle.Speed", "time": at, "value": 90.0 if second % 50 == 30 else 50.0}
        for second, at in enumerate(times)
    ]
    said = {"provenance": "measured", "chunk": 1, "tenant": "default", "day": "2026-03-01"}
    rows = [row | said for row in rows]
    path = zone.log_folder.parent / "lake"
    write_deltalake(str(path), pa.Table.from_pylist(rows, schema=SCHEMA), partition_by=["tenant", "day"])


def events(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if block.startswith("event:")]
    return [(lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in blocks]


def test_plan_is_kept_and_never_changes(api: httpx.Client) -> None:
    (made,) = api.post("/v1/plans", json={"document": TEXT}).json()["plans"]
    assert (made["name"], made["version"], made["made_by"]) == ("fast", 1, "token:machine")
    assert made["document"]["before"] == "2 s"
    assert api.post("/v1/plans", json={"document": made["document"]}).json()["plans"] == [made]
    other = api.post("/v1/plans", json={"document": TEXT.replace("2 s", "3 s")})
    assert (other.status_code, other.json()["error"]["do"]) == (409, "Plans never change: give it version 2.")
    assert api.post("/v1/plans", json={"document": TEXT.replace("version: 1", "version: 2")}).status_code == 200
    listed = api.get("/v1/plans")
    assert listed.status_code == 200, listed.text
    assert [one["version"] for one in listed.json()["plans"]] == [2, 1]
    assert api.get("/v1/plans/fast").json()["version"] == 2
    assert api.get("/v1/plans/fast", params={"version": 1}).json() == made
    gone = api.post("/v1/plans/fast/withdraw", json={"version": 1}).json()
    assert gone["withdrawn_at"]
    assert api.get("/v1/plans/slow").status_code == 404


def test_problems_are_told_with_their_places(api: httpx.Client) -> None:
    said = api.post("/v1/plans/check", json={"document": TEXT}).json()
    assert (said["ok"], said["errors"], said["plan"]["plan"]) == (True, [], "fast")
    wrong = TEXT.replace("80 km/h", "80 degrees").replace("operation", "curiosity").replace("1 MB", "1 PB")
    said = api.post("/v1/plans/check", json={"document": wrong}).json()
    assert (said["ok"], said["plan"]) == (False, None)
    assert [one["key"] for one in said["errors"]] == ["purpose", "budget", "when"]
    place = said["errors"][2]
    assert "degrees" in "Vehicle.Speed > 80 degrees"[place["at"] : place["at"] + place["length"]]
    for document, key in (
        (plan(signals=["Vehicle.Cabin.Name"]), "signals[0]"),
        (plan(signals=["Vehicle.Cabin.Door.Count"]), "signals[0]"),
        (plan(purpose="research"), "basis"),
        ("{", ""),
        (TEXT + "---\n" + TEXT.replace("version: 1", "version: x"), "[1].version"),
    ):
        said = api.post("/v1/plans/check", json={"document": document}).json()
        assert [one["key"] for one in said["errors"]] == [key], document
    refused = api.post("/v1/plans", json={"document": plan(budget="1 B")})
    assert (refused.status_code, refused.json()["error"]["message"]) == (400, "budget: `budget` is 1 B.")


def test_plan_is_tried_on_history(api: httpx.Client, zone: Zone) -> None:
    fill(zone, CARS[0])
    answer = api.post("/v1/plans/try", json={"document": TEXT}, timeout=30)
    assert answer.headers["content-type"].startswith("text/event-stream")
    said = events(answer.text)
    assert [name for name, _ in said] == ["progress", "progress", "result"]
    assert said[1][1] == {"cars": 1, "done": 1, "firings": 2}
    (found,) = said[2][1]["plans"]
    assert [(one["vehicle"], one["time"]) for one in found["moments"]] == [
        (CARS[0], "2026-03-01T12:00:30Z"),
        (CARS[0], "2026-03-01T12:01:20Z"),
    ]
    assert found["days"][0]["samples"] == 10
    assert found["unknown"] == [{"signal": "Vehicle.Speed", "why": ["the governance rounds it to steps of 5"]}]
    late = {"document": TEXT, "since": "2026-03-01T12:01:00Z"}
    assert events(api.post("/v1/plans/try", json=late, timeout=30).text)[-1][1]["plans"][0]["firings"] == 1
    assert api.post("/v1/plans/try", json={"document": plan(budget="none")}).status_code == 400
    many = "---\n".join(TEXT.replace("version: 1", f"version: {at}") for at in range(1, 13))
    assert [name for name, _ in events(api.post("/v1/plans/try", json={"document": many}).text)] == ["error"]


def test_cars_are_aimed_at_by_name_or_by_sql(api: httpx.Client, zone: Zone) -> None:
    fill(zone, CARS[1])
    by_sql = api.post("/v1/plans/targets", json={"sql": "SELECT DISTINCT vehicle FROM samples"}, timeout=30)
    assert by_sql.json() == {"vehicles": [CARS[1]]}
    assert api.post("/v1/plans/targets", json={"vehicles": [CARS[2], CARS[0]]}).json()["vehicles"] == [CARS[0], CARS[2]]
    for asked, status in (
        ({"vehicles": ["nobody"]}, 404),
        ({}, 400),
        ({"vehicles": [CARS[0]], "sql": "SELECT 1"}, 400),
        ({"sql": "SELECT 1 AS one"}, 400),
        ({"sql": "SELECT 'nobody' AS vehicle"}, 200),
        ({"condition": "Vehicle.Speed > 80 degrees"}, 400),
        ({"condition": "Vehicle.Speed > 80 km/h for at least 2 s"}, 400),
    ):
        assert api.post("/v1/plans/targets", json=asked, timeout=30).status_code == status, asked


@pytest.mark.parametrize("state", ["queued", "rejected", "done"])
def test_where_plans_stand_on_a_car(api: httpx.Client, zone: Zone, state: Any) -> None:
    (made,) = api.post("/v1/plans", json={"document": TEXT}).json()["plans"]
    parameters = orjson.dumps({"plan": made["digest"]}).decode()
    at = datetime.now(UTC)
    known = ("fleet", "00", state, "full" if state == "rejected" else None, at, at)
    order = Order("o1", "given", "default", CARS[0], "plan-take", parameters, *known)
    zone.records.orders.add(Given("given", b"{}", "[]", at), [order], "person:fred")
    (shown,) = api.get(f"/v1/vehicles/{CARS[0]}/plans").json()["plans"]
    assert shown["state"] == {"queued": "waiting", "rejected": "refused", "done": "active"}[state]
    assert (shown["name"], shown["reason"], shown["budget_bytes"]) == ("fast", order.reason, 1_000_000)
    row = json.dumps({"fast": [1, 3, 4000, 10, 20], "odd": "no", "other": [7, 0, 0, 0, 0]})
    zone.twin.put(CARS[0], SAID, Last(row, MOMENT_US, "measured"))
    said = api.get(f"/v1/vehicles/{CARS[0]}/plans").json()
    assert said["said_at"] == "2026-03-01T12:00:00Z"
    fast, other = said["plans"]
    assert (fast["fired"], fast["bytes_today"], fast["cut"], fast["waiting_bytes"]) == (3, 4000, 10, 20)
    assert fast["state"] == ("waiting" if state == "queued" else "active")
    assert (other["name"], other["version"], other["digest"], other["state"]) == ("other", 7, None, "active")
    assert api.get("/v1/vehicles/nobody/plans").status_code == 404


def test_a_version_whose_successor_was_dropped_is_dropped_too(api: httpx.Client, zone: Zone) -> None:
    digests = [
        api.post("/v1/plans", json={"document": TEXT.replace("version: 1", f"version: {n}")}).json()["plans"][0][
            "digest"
        ]
        for n in (1, 2)
    ]
    begun = datetime.now(UTC)
    given = [("plan-take", digests[0]), ("plan-take", digests[1]), ("plan-drop", digests[1])]
    orders = []
    for second, (command, digest) in enumerate(given):
        at = begun + timedelta(seconds=second)
        known = command, orjson.dumps({"plan": digest}).decode(), "fleet", "00", "done", None, at, at, at, at, at
        orders.append(Order(f"o{second}", "given", "default", CARS[0], *known))
    zone.records.orders.add(Given("given", b"{}", "[]", begun), orders, "person:fred")
    shown = api.get(f"/v1/vehicles/{CARS[0]}/plans").json()["plans"]
    assert [(one["version"], one["state"]) for one in shown] == [(2, "dropped"), (1, "dropped")]
    counted = {one["version"]: one["cars"] for one in api.get("/v1/plans").json()["plans"]}
    assert (counted[1]["active"], counted[1]["dropped"], counted[2]["dropped"]) == (0, 1, 1)


@pytest.mark.parametrize("said", ["{}", '{"fast": [2, 0, 0, 0, 0]}'])
def test_what_a_car_says_later_counts_more_than_what_it_took(api: httpx.Client, zone: Zone, said: str) -> None:
    (made,) = api.post("/v1/plans", json={"document": TEXT}).json()["plans"]
    at = datetime.fromtimestamp(MOMENT_US / 1e6 - 60, UTC)
    known = (
        "plan-take",
        orjson.dumps({"plan": made["digest"]}).decode(),
        "fleet",
        "00",
        "done",
        None,
        at,
        at,
        at,
        at,
        at,
    )
    zone.records.orders.add(Given("given", b"{}", "[]", at), [Order("o", "given", "default", CARS[0], *known)], "p")
    zone.twin.put(CARS[0], SAID, Last(said, MOMENT_US, "measured"))
    shown = api.get(f"/v1/vehicles/{CARS[0]}/plans").json()["plans"]
    assert [one["state"] for one in shown if one["version"] == 1] == ["dropped"]


def test_what_no_plan_could_be_is_left_out_of_what_a_car_says(api: httpx.Client, zone: Zone) -> None:
    odd = {"\ud800": [1, 2, 3, 4, 5], "a b": [1, 2, 3, 4, 5], "less": [-1, 2, 3, 4, 5], "great": [2**64, 2, 3, 4, 5]}
    many = {f"plan{number}": [1, 0, 0, 0, 0] for number in range(500)}
    zone.twin.put(CARS[0], SAID, Last(json.dumps(odd | many), MOMENT_US, "measured"))
    shown = api.get(f"/v1/vehicles/{CARS[0]}/plans").json()["plans"]
    assert len(shown) == 64
    assert all(one["name"].startswith("plan") for one in shown)


def test_numbers_written_to_cost_much_are_refused(api: httpx.Client) -> None:
    digits = "f" * 5_000
    for wrong in (TEXT.replace("version: 1", f"version: 0x{digits}"), plan(signals=[_banded("5 10**10**10")])):
        answer = api.post("/v1/plans/check", json={"document": wrong})
        assert (answer.status_code, answer.json()["ok"]) == (200, False), answer.text


def _banded(band: str) -> dict[str, str]:
    return {"path": "Vehicle.Speed", "band": band}


def test_cars_of_a_plan_are_counted_and_shown(api: httpx.Client, zone: Zone) -> None:
    made = api.post("/v1/plans", json={"document": TEXT}).json()["plans"][0]
    parameters = orjson.dumps({"plan": made["digest"]}).decode()
    at = datetime.now(UTC)
    states: list[tuple[str, Any, str | None]] = [(CARS[0], "queued", None), (CARS[1], "rejected", "full")]
    orders = [
        Order(f"o{car}", "given", "default", car, "plan-take", parameters, "fleet", "00", state, reason, at, at)
        for car, state, reason in states
    ]
    zone.records.orders.add(Given("given", b"{}", "[]", at), orders, "person:fred")
    zone.twin.put(CARS[2], SAID, Last(json.dumps({"fast": [1, 3, 4000, 10, 20]}), MOMENT_US, "measured"))
    (listed,) = api.get("/v1/plans").json()["plans"]
    assert listed["cars"] == {"waiting": 1, "active": 1, "refused": 1, "dropped": 0, "expired": 0}
    said = api.get("/v1/plans/fast/cars").json()
    assert (said["found"], said["version"]) == (3, 1)
    shown = {one["vehicle"]: (one["state"], one["reason"], one["fired"]) for one in said["cars"]}
    assert shown == {
        CARS[0]: ("waiting", None, None),
        CARS[1]: ("refused", "full", None),
        CARS[2]: ("active", None, 3),
    }
    assert len(api.get("/v1/plans/fast/cars", params={"limit": 1}).json()["cars"]) == 1
    assert api.get("/v1/plans/slow/cars").status_code == 404
