import asyncio
import json
from typing import Any

import pytest

from carcloud.gateway.sessions import PAGE, Sessions, flooding


class Broker:
    """Answers the system account's questions as nats-server 2.15 does: pages of connections, and kicks."""

    def __init__(self, connections: list[dict[str, Any]]) -> None:
        self.connections = connections

    async def request(self, subject: str, payload: bytes) -> bytes:
        asked = json.loads(payload)
        if subject == "$SYS.REQ.SERVER.PING.CONNZ":
            return json.dumps({"server": {"id": "NA"}, "data": self._page(asked)}).encode()
        assert subject == "$SYS.REQ.SERVER.NA.KICK"
        self.connections = [each for each in self.connections if each["cid"] != asked["cid"]]
        return b"{}"

    def _page(self, asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["acc"] == "VEHICLES"
        wanted = asked.get("mqtt_client")
        found = [each for each in self.connections if wanted is None or each.get("mqtt_client") == wanted]
        offset = asked.get("offset", 0)
        page = found[offset : offset + asked.get("limit", 1024)]
        return {"total": len(found)} | ({"connections": page} if page else {})


@pytest.mark.parametrize("cars", [0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE + 5])
def test_all_cars_are_listed_over_as_many_pages_as_it_takes(cars: int) -> None:
    broker = Broker(
        [{"cid": 0, "name": "governor"}]
        + [{"cid": n, "mqtt_client": f"v{n}", "in_msgs": n} for n in range(1, cars + 1)]
    )
    assert asyncio.run(Sessions(broker.request).vehicles()) == {f"v{n}": n for n in range(1, cars + 1)}


def test_sessions_of_a_car_are_shown_and_no_others() -> None:
    start = "2026-11-23T15:00:00.5Z"
    broker = Broker(
        [{"cid": n, "mqtt_client": name, "start": start, "ip": f"192.0.2.{n}"} for n, name in enumerate("ab")]
    )
    assert asyncio.run(Sessions(broker.request).of("b")) == [{"since": start, "address": "192.0.2.1"}]
    assert asyncio.run(Sessions(broker.request).of("c")) == []


def test_every_session_of_a_car_is_closed_and_no_others() -> None:
    broker = Broker([{"cid": n, "mqtt_client": name} for n, name in enumerate(["a", "b", "a"])])
    assert asyncio.run(Sessions(broker.request).close("a")) == 2
    assert [each["mqtt_client"] for each in broker.connections] == ["b"]


def test_car_that_sent_more_than_the_limit_since_the_last_look_floods() -> None:
    before = {"steady": 5000, "flooding": 5000, "back again": 5000, "gone": 9000}
    now = {"steady": 5100, "flooding": 6001, "back again": 900, "new": 1000, "new and flooding": 1001}
    assert flooding(before, now, 1000) == {"flooding", "new and flooding"}
