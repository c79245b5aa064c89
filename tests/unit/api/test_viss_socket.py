"""The VISS door by WebSocket, as a client meets it that knows the public specification only."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets.exceptions
from ordered_zone import OrderedZone
from served import TOKEN
from viss_client import (
    BEARER,
    CAR,
    LOCKED,
    OTHER,
    SPEED,
    THIRD,
    WIDE,
    Client,
    headers_of,
    opened,
    opened_zone,
    token,
    until,
)
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from carcloud.safety.people.register import Register
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
def client(zone: OrderedZone, fleet: dict[str, str]) -> Iterator[Client]:
    with opened(zone, headers=fleet) as opened_:
        yield Client(opened_)


def test_get_set_and_errors_over_a_websocket(zone: OrderedZone, client: Client) -> None:
    assert client.socket.subprotocol == "VISSv3"
    zone.say(SPEED, 60.0)
    assert client.ask("get", path=SPEED)["data"] == {"path": SPEED, "dp": {"value": "60", "ts": ANY_TIME}}
    assert set(client.ask("set", path=LOCKED, value="true")) == {"action", "requestId", "ts"}
    for said, number, reason in (
        ({"path": "Vehicle.Nothing"}, 404, "unavailable_data"),
        ({}, 400, "bad_request"),
        ({"path": SPEED, "dc": "2+1"}, 404, "unavailable_data"),
        ({"path": 5}, 400, "bad_request"),
    ):
        error = client.ask("get", **said)["error"]
        assert (error["number"], error["reason"]) == (str(number), reason)
    for text in ("{", "[]", '{"action": "fly", "requestId": "1"}', '"x"', '{"action": "get", "path": "\\ud800"}'):
        client.socket.send(text)
        assert client.receive()["error"]["number"] in ("400", "404")
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
    for said, number, reason in (({"subscriptionId": id_}, "404", "unavailable_data"), ({}, "400", "bad_request")):
        error = client.ask("unsubscribe", **said)["error"]
        assert (error["number"], error["reason"]) == (number, reason)
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
        ({"variant": "range", "parameter": [{"logic-op": "gt", "boundary": "5"}] * 3}, "bad_request"),
        ({"variant": "range", "parameter": [{"logic-op": "gt", "boundary": "5"}]}, "bad_request"),
        ({"variant": "metadata", "parameter": "0"}, "bad_request"),
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


@pytest.mark.parametrize("name", ["logic-op", "boundary-op"])
def test_a_wrong_comparison_is_told_by_the_name_it_came_with(client: Client, name: str) -> None:
    wrong = {"variant": "range", "parameter": {name: "near", "boundary": "5"}}
    told = client.ask("subscribe", path=SPEED, filter=wrong)["error"]["description"]
    assert f" {name} is one of" in told


def test_events_say_which_signals_are_not_known(zone: OrderedZone, client: Client) -> None:
    zone.say(SPEED, 13.0)
    paths = {"variant": "paths", "parameter": ["Speed", "ADAS.ESC.IsEngaged"]}
    often = {"variant": "timebased", "parameter": {"period": "100"}}
    assert "subscriptionId" in client.ask("subscribe", path="Vehicle", filter=[paths, often])
    assert [one["dp"]["value"] for one in client.event()["data"]] == ["13", "viss-inline:Data-not-available"]


def test_the_server_says_over_a_websocket_what_it_can_do(client: Client) -> None:
    assert client.ask("get", path="Server.Support.Protocol")["data"]["dp"]["value"] == ["http", "ws"]


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
            assert (error["number"], error["reason"]) == ("401", "invalid_token")
        assert client.ask("get", path=SPEED, authorization=TOKEN)["data"]["dp"]["value"] == "62"
        assert client.ask("get", path=SPEED)["error"]["number"] == "401"


def test_sub_protocols_without_ours_are_refused_and_none_or_a_slash_more_is_let_in(zone: OrderedZone) -> None:
    other = [Subprotocol("VISSv2"), Subprotocol("wamp")]
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        opened(zone, subprotocols=other)
    assert refused.value.response.status_code == 400
    with opened(zone, subprotocols=[*other, Subprotocol("VISSv3")]) as socket:
        assert socket.subprotocol == "VISSv3"
    with opened(zone, subprotocols=None) as socket:
        assert (socket.subprotocol, "data" in Client(socket).ask("get", path="Server.Support.Filter")) == (None, True)
    with opened(zone, car=f"{CAR}/viss/?x=") as socket:
        assert "data" in Client(socket).ask("get", path="Server.Support.Filter")


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
        assert Client(socket).ask("get", path=SPEED)["error"]["number"] == "404"
    partner = {"Authorization": f"Bearer {token(zone, 'partner', 'rental')}"}
    with opened(zone, car=THIRD, headers=partner) as socket:
        client = Client(socket)
        assert client.ask("get", path=SPEED)["error"]["number"] == "404"
        assert client.ask("set", path=LOCKED, value="true")["error"]["number"] in ("403", "404")


def test_a_grant_opens_what_it_says_and_its_end_ends_the_subscription(zone: OrderedZone) -> None:
    partner = {"Authorization": f"Bearer {token(zone, 'partner', 'insurer')}"}
    grant = granted(zone.records, zone.ground, OTHER, "app:insurer", "operation", paths=(SPEED,))
    zone.say(SPEED, 44.0, OTHER)
    zone.say("Vehicle.Cabin.Door.Row1.DriverSide.IsOpen", True, OTHER)
    with opened(zone, car=OTHER, headers=partner) as socket:
        client = Client(socket)
        assert client.ask("get", path="Vehicle.Cabin.Door.Row1.DriverSide.IsOpen")["error"]["number"] == "404"
        zone.at_us = time.time_ns() // 1000
        zone.say(SPEED, 45.0, OTHER)
        id_ = client.subscribe(SPEED, "timebased", {"period": "100"})
        assert "data" in client.event()
        answer = httpx.delete(f"{zone.url}/v1/vehicles/{OTHER}/grants/{grant.id}", headers=BEARER)
        assert answer.status_code == 200, answer.text
        while "data" in (event := client.event()):
            pass
        assert (event["subscriptionId"], event["error"]["number"]) == (id_, "403")


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
        assert (event["error"]["number"], event["error"]["reason"]) == ("401", "invalid_token")


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
