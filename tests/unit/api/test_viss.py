"""The VISS door by HTTP, as a client meets it that knows the public specification only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from ordered_zone import OrderedZone
from sqlalchemy import select
from viss_client import BEARER, CAR, LOCKED, OTHER, SPEED, WIDE, filter_of, headers_of, opened_zone, token

from carcloud.backends.records.audit import pending
from carcloud.stream import subjects
from carcloud.vehicle.commands import CarState
from tests.granted import granted


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderedZone]:
    made = opened_zone(tmp_path_factory.mktemp("viss"))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fleet(zone: OrderedZone) -> dict[str, str]:
    """The token of a program that may set values, as a header."""
    return headers_of(zone, "fleet")


@pytest.fixture
def http(zone: OrderedZone, fleet: dict[str, str]) -> Iterator[httpx.Client]:
    base = f"{zone.url}/v1/vehicles/{CAR}/viss"
    with httpx.Client(base_url=base, headers=fleet, timeout=20) as client:
        yield client


# reading


def test_a_leaf_is_read_by_its_address(zone: OrderedZone, http: httpx.Client) -> None:
    zone.say(SPEED, 50.5)
    for path in ("Vehicle/Speed", "Vehicle.Speed"):
        answer = http.get(f"/{path}").json()
        assert answer["data"]["path"] == SPEED
        assert answer["data"]["dp"]["value"] == "50.5"
        assert answer["data"]["dp"]["ts"].startswith("2026-03-01T12:")
        assert answer["ts"].endswith("Z")


def test_several_leaves_are_read_by_a_filter_of_paths(zone: OrderedZone, http: httpx.Client) -> None:
    zone.say("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", False)
    zone.say("Vehicle.Cabin.Door.Row1.PassengerSide.IsOpen", True)
    filter_ = {"variant": "paths", "parameter": "Row1/*/IsOpen"}
    data = http.get("/Vehicle/Cabin/Door", params={"filter": json.dumps(filter_)}).json()["data"]
    assert {one["path"].rsplit(".", 2)[1]: one["dp"]["value"] for one in data} == {
        "DriverSide": "false",
        "PassengerSide": "true",
    }
    branch = {"variant": "paths", "parameter": ["Row1.DriverSide", "Row1.DriverSide.IsOpen"]}
    found = http.get("/Vehicle/Cabin/Door", params={"filter": json.dumps(branch)}).json()["data"]
    paths = [one["path"] for one in (found if isinstance(found, list) else [found])]
    assert paths.count("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen") == 1


def test_metadata_are_read_as_a_tree(http: httpx.Client) -> None:
    found = http.get("/Vehicle/Speed", params=filter_of("metadata", "")).json()["metadata"]
    assert found["Speed"] | {"description": ""} == {
        "type": "sensor",
        "datatype": "float",
        "unit": "km/h",
        "description": "",
    }
    tree = http.get("/Vehicle/Cabin/HVAC", params=filter_of("metadata", "0")).json()["metadata"]["HVAC"]
    assert tree["type"] == "branch"
    leaf = tree["children"]["Station"]["children"]["Row1"]["children"]["Driver"]["children"]["Temperature"]
    assert (leaf["type"], leaf["datatype"], leaf["min"], leaf["max"]) == ("actuator", "float", 16, 28), (
        "as it can be set"
    )
    some = http.get("/Vehicle/Cabin/HVAC/Station/Row1", params=filter_of("metadata", ["type", "datatype"])).json()
    assert some["metadata"]["Row1"]["children"]["Driver"]["children"]["Temperature"] == {
        "type": "actuator",
        "datatype": "float",
    }


@pytest.mark.parametrize(
    ("parameter", "tree"),
    [
        ("1", {"HVAC": {}}),
        ("2", {"HVAC": {"Station": {}, "AmbientAirTemperature": {}}}),
        ("3", {"HVAC": {"Station": {"Row1": {}}, "AmbientAirTemperature": {}}}),
        ("9", {"HVAC": {"Station": {"Row1": {"Driver": {"Temperature": {}}}}, "AmbientAirTemperature": {}}}),
    ],
)
def test_metadata_have_as_many_generations_as_are_asked_for(
    http: httpx.Client, parameter: str, tree: dict[str, Any]
) -> None:
    found = http.get("/Vehicle/Cabin/HVAC", params=filter_of("metadata", parameter)).json()["metadata"]
    assert within(found, tree), found
    both = json.dumps([{"variant": "paths", "parameter": ["HVAC"]}, {"variant": "metadata", "parameter": parameter}])
    below = http.get("/Vehicle/Cabin", params={"filter": both}).json()["metadata"]
    assert below == {"Cabin": {"type": "branch", "children": found}}, "generations count from what a path addresses"


def within(found: dict[str, Any], tree: dict[str, Any]) -> bool:
    """Tell whether a tree of metadata has these nodes, and of those that have none here no children."""
    return tree.keys() <= found.keys() and all(
        within(found[name].get("children", {}), below) if below else "children" not in found[name]
        for name, below in tree.items()
    )


def test_the_server_says_what_it_can_do(zone: OrderedZone, http: httpx.Client) -> None:
    said = http.get("/Server/Support/Filter").json()["data"]
    assert (said["path"], set(said["dp"]["value"])) == (
        "Server.Support.Filter",
        {"paths", "timebased", "change", "range", "curvelog", "metadata"},
    )
    assert http.get("/Server.Support.Protocol").json()["data"]["dp"]["value"] == ["http", "ws"]
    port = http.get("/Server", params=filter_of("paths", "Config.Protocol.*.Primary.PortNum")).json()["data"]
    assert {one["dp"]["value"] for one in port} == {zone.url.rsplit(":", 1)[1]}
    tree = http.get("/Server", params=filter_of("metadata", "2")).json()["metadata"]["Server"]
    assert tree["children"] == {"Support": {"type": "branch"}, "Config": {"type": "branch"}}
    assert http.get("/Server/Support/Magic").json()["error"]["number"] == "404"
    assert http.post("/Server/Support/Filter", json={"value": "x"}).json()["error"]["number"] == "404"


def test_what_is_not_known_beside_what_is_stands_in_its_line(zone: OrderedZone, http: httpx.Client) -> None:
    zone.say(SPEED, 12.0)
    engaged = "Vehicle.ADAS.ESC.IsEngaged"
    data = http.get("/Vehicle", params=filter_of("paths", ["Speed", "ADAS.ESC.IsEngaged"])).json()["data"]
    assert [(one["path"], one["dp"]["value"]) for one in data] == [
        (SPEED, "12"),
        (engaged, "viss-inline:Data-not-available"),
    ]
    assert data[1]["dp"]["ts"].endswith("Z")
    alone = http.get("/Vehicle", params=filter_of("paths", ["ADAS.ESC.IsEngaged"])).json()["error"]
    assert (alone["number"], alone["reason"]) == ("404", "unavailable_data")


def test_head_answers_as_get_does_without_a_body(http: httpx.Client) -> None:
    assert (http.head("/Vehicle/Speed").status_code, http.head("/Vehicle/Speed").content) == (200, b"")
    assert http.head("/Vehicle/Nothing").status_code == 404


@pytest.mark.parametrize(
    ("path", "filter_", "number", "reason"),
    [
        ("Vehicle/Nothing", None, 404, "unavailable_data"),
        ("Vehicle/ADAS/ESC/IsEngaged", None, 404, "unavailable_data"),
        ("Vehicle/Cabin", None, 400, "invalid_data"),
        ("Vehicle/Cabin", "{", 400, "bad_request"),
        ("Vehicle/Cabin", '{"variant": "paths"}', 400, "bad_request"),
        ("Vehicle/Cabin", '{"variant": "paths", "parameter": [1]}', 400, "bad_request"),
        ("Vehicle/Cabin", '{"variant": "paths", "parameter": ["Nothing", "HVAC"]}', 404, "unavailable_data"),
        ("Vehicle/Speed", '{"variant": "timebased", "parameter": {"period": "500"}}', 400, "bad_request"),
        ("Vehicle/Speed", '{"variant": "history", "parameter": "P1D"}', 404, "unavailable_data"),
        ("Vehicle/Speed", '{"variant": "other", "parameter": ""}', 400, "bad_request"),
        ("Vehicle/Speed", '{"variant": "metadata", "parameter": "-1"}', 400, "bad_request"),
        ("Vehicle/Speed", '{"variant": "metadata", "parameter": ["weight"]}', 400, "bad_request"),
        ("Vehicle/Nothing", '{"variant": "metadata", "parameter": "0"}', 404, "unavailable_data"),
        ("Vehicle/*", '{"variant": "metadata", "parameter": "0"}', 404, "unavailable_data"),
        ("Vehicle", json.dumps({"variant": "paths", "parameter": ["*"] * 101}), 400, "invalid_data"),
        ("Vehicle", json.dumps({"variant": "paths", "parameter": "x" * 9000}), 400, "bad_request"),
    ],
)
def test_a_wrong_request_to_read_is_told_so(
    http: httpx.Client, path: str, filter_: str | None, number: int, reason: str
) -> None:
    answer = http.get(f"/{path}", params={} if filter_ is None else {"filter": filter_})
    assert answer.status_code == number
    error = answer.json()["error"]
    assert (error["number"], error["reason"]) == (str(number), reason)
    assert error["description"]
    if number == 404 and filter_ and "metadata" in filter_:
        assert f" {path.replace('/', '.')}. " in error["description"], "as it was sent"


def test_strangers_and_other_methods_get_errors_of_viss(zone: OrderedZone, http: httpx.Client) -> None:
    address = f"{zone.url}/v1/vehicles/{CAR}/viss/Vehicle/Speed"
    for headers, told in (({}, "token is missing"), ({"Authorization": "Bearer wrong"}, "token is invalid")):
        answer = httpx.get(address, headers=headers)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (401, "invalid_token")
        assert told in answer.json()["error"]["description"]
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert http.delete("/Vehicle/Speed").json()["error"]["reason"] == "bad_request"
    unknown = httpx.get(address.replace(CAR, "nobody"), headers=BEARER)
    assert (unknown.status_code, unknown.json()["error"]["reason"]) == (404, "unavailable_data")


# setting


def acts(zone: OrderedZone) -> list[tuple[str, str, str, dict[str, Any]]]:
    rows = zone.records.rows(select(pending).where(pending.c.action == "sendOrder").order_by(pending.c.at))
    return [(row.actor, row.object, row.outcome, json.loads(row.facts)) for row in rows]


def test_an_actuator_is_set_by_an_order_that_names_caller_and_door(zone: OrderedZone, http: httpx.Client) -> None:
    answer = http.post("/Vehicle/Cabin/Door/Row1/DriverSide/IsLocked", json={"value": "true"})
    assert (answer.status_code, set(answer.json())) == (200, {"ts"}), answer.text
    order = zone.records.orders.order(answer.headers["x-carcloud-order"])
    assert (order.command, order.vehicle, order.state) == ("lock", CAR, "queued")
    (door,) = [one for one in zone.pair.people.all() if one.name == "viss"]
    assert order.keys == door.key
    actor, object_, outcome, facts = acts(zone)[-1]
    assert actor.startswith("token:")
    assert (object_, outcome, facts["keys"]) == (f"order:{order.id}", "done", door.key)
    assert (subjects.ORDERED, CAR.encode()) in zone.notices


def test_desired_tells_what_was_set_and_what_came_of_it(zone: OrderedZone, http: httpx.Client) -> None:
    id_ = http.put("/Vehicle.Cabin.Door.Row1.DriverSide.IsLocked", json={"value": "false"}).headers["x-carcloud-order"]

    def desired() -> dict[str, Any]:
        answer = httpx.get(f"{zone.url}/v1/vehicles/{CAR}/desired", headers=BEARER).json()
        return {one["path"]: one for one in answer["desired"]}[LOCKED]

    zone.say(LOCKED, True)
    found = desired()
    assert (found["wanted"], found["reported"], found["state"], found["order"]) == (False, True, "waiting", id_)
    zone.records.orders.advance(id_, "done", None, zone.records.orders.order(id_).queued_at, "vehicle")
    zone.say(LOCKED, False)
    assert (desired()["reported"], desired()["state"]) == (False, "converged")


@pytest.mark.parametrize(
    ("path", "value", "number", "reason"),
    [
        (SPEED, "3", 400, "invalid_data"),
        ("Vehicle.Cabin", "3", 400, "invalid_data"),
        ("Vehicle.Nothing", "3", 404, "unavailable_data"),
        (LOCKED, True, 400, "bad_request"),
        (LOCKED, ["true"], 400, "bad_request"),
        (LOCKED, None, 400, "bad_request"),
        (LOCKED, "1", 400, "invalid_data"),
        (WIDE, "warm", 400, "invalid_data"),
        (WIDE, "1e999", 400, "invalid_data"),
        (WIDE, "21.3", 400, "invalid_data"),
        (WIDE, "99", 400, "invalid_data"),
        ("Vehicle.Body.Hood.IsOpen", "true", 400, "invalid_data"),
        ("Vehicle.Body.Horn.IsActive", "true", 403, "forbidden_request"),
    ],
)
def test_what_cannot_be_set_is_refused(
    http: httpx.Client, zone: OrderedZone, path: str, value: Any, number: int, reason: str
) -> None:
    before = len(zone.records.orders.listed("default"))
    answer = http.post(f"/{path}", json={"value": value})
    assert (answer.status_code, answer.json()["error"]["reason"]) == (number, reason), answer.text
    wants = "as a string" if value is True else f"{WIDE} cannot be set" if value == "99" else ""
    assert wants in answer.json()["error"]["description"]
    assert len(zone.records.orders.listed("default")) == before


def test_nonsense_bodies_are_refused(http: httpx.Client) -> None:
    for body in (b"", b"[]", b"{", b'"true"', b"\xff"):
        answer = http.post(f"/{LOCKED}", content=body)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (400, "bad_request")


def test_a_car_that_no_door_is_for_and_one_that_moves_are_not_set(
    zone: OrderedZone, http: httpx.Client, fleet: dict[str, str]
) -> None:
    other = httpx.post(f"{zone.url}/v1/vehicles/{OTHER}/viss/{LOCKED}", json={"value": "true"}, headers=fleet)
    assert other.json()["error"]["reason"] == "forbidden_request"
    assert "carcloud operator door" in other.json()["error"]["description"]
    assert acts(zone)[-1][1:3] == (f"vehicle:{OTHER}", "denied")
    zone.states[CAR] = CarState(speed_kmh=90.0)
    moving = http.post(f"/{LOCKED}", json={"value": "false"})
    zone.states.clear()
    assert (moving.status_code, moving.json()["error"]["reason"]) == (403, "forbidden_request")


def test_a_caller_sets_only_what_they_may_order_whatever_the_door_may(zone: OrderedZone) -> None:
    address = f"{zone.url}/v1/vehicles/{CAR}/viss/{LOCKED}"
    for role in ("analyst", "operator", "engineer"):
        reader = {"Authorization": f"Bearer {token(zone, role)}"}
        assert httpx.post(address, json={"value": "true"}, headers=reader).status_code == 403
    partner = {"Authorization": f"Bearer {token(zone, 'partner', 'wash')}"}
    assert httpx.post(address, json={"value": "true"}, headers=partner).status_code in (403, 404)
    granted(zone.records, zone.ground, CAR, "app:wash", "operation", paths=(SPEED,))
    looks = httpx.post(address, json={"value": "true"}, headers=partner)
    assert (looks.status_code, looks.json()["error"]["reason"]) == (403, "forbidden_request")
    assert acts(zone)[-1][2] == "denied"
