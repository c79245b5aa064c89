"""The VISS door, as a client meets it that knows the public specification only."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.exceptions
from ordered_zone import OrderedZone
from served import CARS, TOKEN
from sqlalchemy import select
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from carcloud.backends.records.audit import pending
from carcloud.safety.people.register import Register
from carcloud.stream import subjects
from carcloud.vehicle.commands import CarState
from tests.granted import granted

CAR, OTHER, THIRD = CARS
SPEED, LOCKED = "Vehicle.Speed", "Vehicle.Cabin.Door.Row1.DriverSide.IsLocked"
WIDE = "Vehicle.Cabin.HVAC.Station.Row1.Driver.Temperature"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrderedZone]:
    made = OrderedZone(tmp_path_factory.mktemp("viss"))
    made.door("lock", "unlock", "climate-temperature")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def fleet(zone: OrderedZone) -> dict[str, str]:
    """The token of a program that may set values, as a header."""
    return {"Authorization": f"Bearer {token(zone, 'fleet')}"}


@pytest.fixture
def http(zone: OrderedZone, fleet: dict[str, str]) -> Iterator[httpx.Client]:
    base = f"{zone.url}/v1/vehicles/{CAR}/viss"
    with httpx.Client(base_url=base, headers=fleet, timeout=20) as client:
        yield client


class Client:
    """A client as the specification has it."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.number, self.events = socket, 0, list[dict[str, Any]]()

    def ask(self, action: str, **said: Any) -> dict[str, Any]:
        self.number += 1
        self.socket.send(json.dumps({"action": action, "requestId": str(self.number)} | said))
        while (answer := self.receive()).get("action") == "subscription":
            self.events.append(answer)
        assert (answer["action"], answer["requestId"]) == (action, str(self.number))
        assert answer["ts"].endswith("Z")
        return answer

    def receive(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv(timeout=15))
        return found

    def event(self) -> dict[str, Any]:
        found = self.events.pop(0) if self.events else self.receive()
        assert found["action"] == "subscription"
        return found

    def subscribe(self, path: str, variant: str, parameter: Any, **more: Any) -> str:
        answer = self.ask("subscribe", path=path, filter={"variant": variant, "parameter": parameter}, **more)
        assert "error" not in answer, answer
        return str(answer["subscriptionId"])


@pytest.fixture
def client(zone: OrderedZone, fleet: dict[str, str]) -> Iterator[Client]:
    with opened(zone, headers=fleet) as opened_:
        yield Client(opened_)


def opened(zone: OrderedZone, car: str = CAR, headers: dict[str, str] | None = BEARER, **more: Any) -> ClientConnection:
    address = f"{zone.url.replace('http', 'ws')}/v1/vehicles/{car}/viss"
    return connect(address, subprotocols=[Subprotocol("VISSv3")], additional_headers=headers, proxy=None, **more)


def token(zone: OrderedZone, role: str, app: str | None = None) -> str:
    return Register(zone.records).make_token(None, role, [role], 30, "default", app)[1]


def until(question: Any) -> None:
    deadline = time.monotonic() + 15
    while not question():
        assert time.monotonic() < deadline
        time.sleep(0.02)


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
    filter_ = {"variant": "paths", "parameter": "*/*/IsOpen"}
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
    whole = json.dumps({"variant": "metadata", "parameter": ""})
    found = http.get("/Vehicle/Speed", params={"filter": whole}).json()["metadata"]
    assert found["Speed"] | {"description": ""} == {
        "type": "sensor",
        "datatype": "float",
        "unit": "km/h",
        "description": "",
    }
    some = json.dumps({"variant": "metadata", "parameter": ["type", "datatype"]})
    tree = http.get("/Vehicle/Cabin/HVAC", params={"filter": some}).json()["metadata"]["HVAC"]
    assert tree["type"] == "branch"
    leaf = tree["children"]["Station"]["children"]["Row1"]["children"]["Driver"]["children"]["Temperature"]
    assert leaf == {"type": "actuator", "datatype": "float"}


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
    assert (error["number"], error["reason"]) == (number, reason)
    assert error["description"]


def test_strangers_and_other_methods_get_errors_of_viss(zone: OrderedZone, http: httpx.Client) -> None:
    address = f"{zone.url}/v1/vehicles/{CAR}/viss/Vehicle/Speed"
    for headers in ({}, {"Authorization": "Bearer wrong"}):
        answer = httpx.get(address, headers=headers)
        assert (answer.status_code, answer.json()["error"]["reason"]) == (401, "invalid_token")
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


# over a WebSocket


def test_get_set_and_errors_over_a_websocket(zone: OrderedZone, client: Client) -> None:
    assert client.socket.subprotocol == "VISSv3"
    zone.say(SPEED, 60.0)
    assert client.ask("get", path=SPEED)["data"] == {"path": SPEED, "dp": {"value": "60", "ts": ANY_TIME}}
    assert set(client.ask("set", path=LOCKED, value="true")) == {"action", "requestId", "ts"}
    for said, number, reason in (
        ({"path": "Vehicle.Nothing"}, 404, "unavailable_data"),
        ({}, 400, "bad_request"),
        ({"path": SPEED, "dc": "2+1"}, 400, "bad_request"),
        ({"path": 5}, 400, "bad_request"),
    ):
        error = client.ask("get", **said)["error"]
        assert (error["number"], error["reason"]) == (number, reason)
    for text in ("{", "[]", '{"action": "fly", "requestId": "1"}', '"x"', '{"action": "get", "path": "\\ud800"}'):
        client.socket.send(text)
        assert client.receive()["error"]["number"] in (400, 404)
    client.socket.send(b"bytes")
    assert client.receive()["error"]["reason"] == "bad_request"


class _AnyTime:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.endswith("Z")

    def __hash__(self) -> int:
        return 0


ANY_TIME = _AnyTime()


def test_timebased_tells_at_its_rhythm(zone: OrderedZone, client: Client) -> None:
    zone.say(SPEED, 61.0)
    id_ = client.subscribe(SPEED, "timebased", {"period": "100"})
    for _ in range(3):
        event = client.event()
        assert event["subscriptionId"] == id_
        assert event["data"] == {"path": SPEED, "dp": {"value": "61", "ts": ANY_TIME}}
        assert event["ts"].endswith("Z")
    assert set(client.ask("unsubscribe", subscriptionId=id_)) == {"action", "requestId", "ts"}
    client.events.clear()
    assert client.ask("unsubscribe", subscriptionId=id_)["error"]["reason"] == "invalid_data"
    assert not client.events


def watched(zone: OrderedZone, count: int = 1) -> None:
    until(lambda: len(zone.twin.watchers) >= count)
    time.sleep(0.1)  # the first values are read


def test_range_and_change_tell_when_the_value_does(zone: OrderedZone, client: Client) -> None:
    until(lambda: not zone.twin.watchers)
    zone.say(SPEED, 0.0)
    high = [{"boundary-op": "gt", "boundary": "100"}, {"boundary-op": "lt", "boundary": "110"}]
    client.subscribe(SPEED, "range", high)
    grown = client.subscribe(SPEED, "change", {"logic-op": "gt", "diff": "10"})
    watched(zone, 2)
    told = []
    for value in (8.0, 12.0, 20.0, 105.0, 120.0):
        zone.say(SPEED, value)
        client.ask("get", path=SPEED)
        time.sleep(0.05)
    client.ask("get", path=SPEED)
    told = [(one["subscriptionId"] == grown, one["data"]["dp"]["value"]) for one in client.events]
    assert sorted(told) == [(False, "105"), (True, "105"), (True, "12"), (True, "120")]


def test_change_of_a_boolean_tells_each_time_it_flips_as_asked(zone: OrderedZone, client: Client) -> None:
    until(lambda: not zone.twin.watchers)
    zone.say(LOCKED, False)
    client.subscribe(LOCKED, "change", {"logic-op": "gt", "diff": "0"})
    watched(zone)
    for value in (True, False, True, True):
        zone.say(LOCKED, value)
    assert [client.event()["data"]["dp"]["value"] for _ in range(2)] == ["true", "true"]
    client.ask("get", path=LOCKED)
    assert client.events == []


def test_curvelog_leaves_out_what_a_line_tells(zone: OrderedZone, client: Client) -> None:
    until(lambda: not zone.twin.watchers)
    zone.say(SPEED, 0.0)
    client.subscribe(SPEED, "curvelog", {"maxerr": "0.5", "bufsize": "7"})
    watched(zone)
    for value in (1.0, 2.0, 3.0, 2.0, 1.0, 0.0):
        zone.say(SPEED, value)
    points = client.event()["data"]["dp"]
    assert [one["value"] for one in points] == ["0", "3", "0"]
    assert points == sorted(points, key=lambda one: one["ts"])


def test_a_subscription_to_several_signals_compares_the_first(zone: OrderedZone, client: Client) -> None:
    until(lambda: not zone.twin.watchers)
    zone.say(WIDE, 20.0)
    paths = {"variant": "paths", "parameter": ["Speed", "Cabin.HVAC.*"]}
    change = {"variant": "change", "parameter": {"logic-op": "ne", "diff": "0"}}
    assert "subscriptionId" in client.ask("subscribe", path="Vehicle", filter=[paths, change])
    watched(zone)
    zone.say(WIDE, 21.0)
    zone.say(SPEED, 33.0)
    data = client.event()["data"]
    assert {one["path"]: one["dp"]["value"] for one in data}[SPEED] == "33"
    assert {one["path"]: one["dp"]["value"] for one in data}[WIDE] == "21"


@pytest.mark.parametrize(
    ("filter_", "reason"),
    [
        (None, "bad_request"),
        ({"variant": "timebased", "parameter": {"period": "5"}}, "bad_request"),
        ({"variant": "timebased", "parameter": {"period": 500}}, "bad_request"),
        ({"variant": "range", "parameter": {"boundary-op": "near", "boundary": "5"}}, "bad_request"),
        ({"variant": "range", "parameter": [{"boundary-op": "gt", "boundary": "5"}] * 3}, "bad_request"),
        ({"variant": "range", "parameter": {"boundary-op": "gt", "boundary": "nan"}}, "bad_request"),
        ({"variant": "change", "parameter": {"logic-op": "gt"}}, "bad_request"),
        ({"variant": "curvelog", "parameter": {"maxerr": "-1", "bufsize": "10"}}, "bad_request"),
        ({"variant": "curvelog", "parameter": {"maxerr": "1", "bufsize": "1000000"}}, "bad_request"),
        ([{"variant": "paths", "parameter": "Speed"}] * 2, "bad_request"),
        (5, "bad_request"),
    ],
)
def test_a_wrong_filter_is_refused(client: Client, filter_: Any, reason: str) -> None:
    assert client.ask("subscribe", path=SPEED, filter=filter_)["error"]["reason"] == reason


def test_huge_lists_and_too_many_subscriptions_are_refused(client: Client) -> None:
    many = [{"variant": "paths", "parameter": ["*"] * 100}, {"variant": "timebased", "parameter": {"period": "900"}}]
    assert client.ask("subscribe", path="Vehicle", filter=many)["error"]["reason"] == "invalid_data"
    for _ in range(16):
        client.subscribe(SPEED, "timebased", {"period": "86400000"})
    more = client.ask("subscribe", path=SPEED, filter={"variant": "timebased", "parameter": {"period": "100"}})
    assert more["error"]["reason"] == "service_unavailable"
    client.socket.send(" " * 65_537 + "{}")
    assert client.receive()["error"]["reason"] == "bad_request"


# who may come in


def test_a_token_may_come_with_each_request_instead_of_the_handshake(zone: OrderedZone) -> None:
    zone.say(SPEED, 62.0)
    with opened(zone, headers=None) as socket:
        client = Client(socket)
        for said in ({}, {"authorization": "wrong"}):
            error = client.ask("get", path=SPEED, **said)["error"]
            assert (error["number"], error["reason"]) == (401, "invalid_token")
        assert client.ask("get", path=SPEED, authorization=TOKEN)["data"]["dp"]["value"] == "62"
        assert client.ask("get", path=SPEED)["error"]["number"] == 401


def test_foreign_pages_hosts_and_wrong_tokens_open_no_websocket(zone: OrderedZone) -> None:
    foreign = {"Origin": "https://evil.example"}
    for headers in ({"Authorization": "Bearer wrong"}, foreign, BEARER | foreign):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            opened(zone, headers=headers)
        assert refused.value.response.status_code in (401, 403)
    address = f"{zone.url.replace('http', 'ws')}/v1/events"
    with pytest.raises(websockets.exceptions.InvalidStatus):
        connect(address, additional_headers=BEARER, proxy=None)


def test_a_host_of_another_name_opens_no_websocket(zone: OrderedZone) -> None:
    port = zone.url.rsplit(":", 1)[1]
    raw = socket.create_connection(("127.0.0.1", int(port)))
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        connect(f"ws://evil.example:{port}/v1/vehicles/{CAR}/viss", sock=raw, additional_headers=BEARER, proxy=None)
    assert refused.value.response.status_code == 403


def test_a_car_of_nobody_or_out_of_reach_is_not_there(zone: OrderedZone) -> None:
    with opened(zone, car="nobody") as socket:
        assert Client(socket).ask("get", path=SPEED)["error"]["number"] == 404
    partner = {"Authorization": f"Bearer {token(zone, 'partner', 'rental')}"}
    with opened(zone, car=THIRD, headers=partner) as socket:
        client = Client(socket)
        assert client.ask("get", path=SPEED)["error"]["number"] == 404
        assert client.ask("set", path=LOCKED, value="true")["error"]["number"] in (403, 404)


def test_a_grant_opens_what_it_says_and_its_end_ends_the_subscription(zone: OrderedZone) -> None:
    partner = {"Authorization": f"Bearer {token(zone, 'partner', 'insurer')}"}
    grant = granted(zone.records, zone.ground, OTHER, "app:insurer", "operation", paths=(SPEED,))
    zone.say(SPEED, 44.0, OTHER)
    zone.say("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", True, OTHER)
    with opened(zone, car=OTHER, headers=partner) as socket:
        client = Client(socket)
        assert client.ask("get", path="Vehicle.Cabin.Door.Row1.DriverSide.IsOpen")["error"]["number"] == 404
        zone.at_us = time.time_ns() // 1000
        zone.say(SPEED, 45.0, OTHER)
        id_ = client.subscribe(SPEED, "timebased", {"period": "100"})
        assert "data" in client.event()
        answer = httpx.delete(f"{zone.url}/v1/vehicles/{OTHER}/grants/{grant.id}", headers=BEARER)
        assert answer.status_code == 200, answer.text
        while "data" in (event := client.event()):
            pass
        assert (event["subscriptionId"], event["error"]["number"]) == (id_, 403)


def test_a_token_that_ended_ends_the_subscription(zone: OrderedZone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carcloud.api.visit.LOOK_EVERY_S", 0.1)
    register = Register(zone.records)
    made, secret = register.make_token(None, "short", ["operator"], 30, "default", None)
    zone.say(SPEED, 63.0)
    with opened(zone, headers=None) as socket:
        client = Client(socket)
        client.subscribe(SPEED, "timebased", {"period": "100"}, authorization=secret)
        assert "data" in client.event()
        register.revoke_token(None, made.id, "default")
        while "data" in (event := client.event()):
            pass
        assert (event["error"]["number"], event["error"]["reason"]) == (401, "invalid_token")


def test_who_stays_unknown_is_hung_up_on(zone: OrderedZone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("carcloud.api.viss.session.KNOWN_WITHIN_S", 0.2)
    with opened(zone, headers=None) as socket, pytest.raises(websockets.exceptions.ConnectionClosed) as closed:
        socket.recv(timeout=15)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


def test_a_slow_reader_gets_fewer_events_and_holds_nobody_up(zone: OrderedZone, tmp_path: Path) -> None:
    until(lambda: not zone.twin.watchers)
    with opened(zone, max_queue=1, close_timeout=0.1) as slow, opened(zone) as fast:
        quick = Client(fast)
        Client(slow).subscribe(SPEED, "change", {"logic-op": "ne", "diff": "0"})
        quick.subscribe(SPEED, "change", {"logic-op": "gt", "diff": "1999"})
        watched(zone, 2)
        for step in range(600):
            zone.say(SPEED, float(step % 7) / 7)
        zone.say(SPEED, 5000.0)
        assert quick.event()["data"]["dp"]["value"] == "5000"
