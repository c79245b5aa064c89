"""Sessions: which cars are connected now, and closing one.

The broker is asked over its system account; `request(subject, payload)` sends a request there and returns the answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson

Request = Callable[[str, bytes], Awaitable[bytes]]

ACCOUNT = "VEHICLES"
PAGE = 4096


class Sessions:
    """The live MQTT sessions of one broker."""

    def __init__(self, request: Request) -> None:
        self._request = request

    async def close(self, vehicle: str) -> int:
        """Disconnect a vehicle. Return how many sessions were closed: 0 where it was not connected."""
        answer = await self._connections({"mqtt_client": vehicle})
        server, found = answer["server"]["id"], answer["data"].get("connections") or []
        for connection in found:
            await self._request(f"$SYS.REQ.SERVER.{server}.KICK", orjson.dumps({"cid": connection["cid"]}))
        return len(found)

    async def of(self, vehicle: str) -> list[dict[str, str]]:
        """Return a vehicle's sessions: since when, from which address."""
        found = (await self._connections({"mqtt_client": vehicle}))["data"].get("connections") or []
        return [{"since": connection["start"], "address": connection["ip"]} for connection in found]

    async def vehicles(self) -> dict[str, int]:
        """Return the connected vehicles, and how many messages the session of each brought; one request for 4,096."""
        found: dict[str, int] = {}
        offset, total = 0, 1
        while offset < total:
            data = (await self._connections({"limit": PAGE, "offset": offset}))["data"]
            for connection in data.get("connections") or []:
                if car := connection.get("mqtt_client"):
                    found[car] = connection["in_msgs"]
            offset, total = offset + PAGE, data["total"]
        return found

    async def _connections(self, options: dict[str, Any]) -> dict[str, Any]:
        asked = {"acc": ACCOUNT, "sort": "cid"} | options
        answer: dict[str, Any] = orjson.loads(await self._request("$SYS.REQ.SERVER.PING.CONNZ", orjson.dumps(asked)))
        return answer


def flooding(before: dict[str, int], now: dict[str, int], limit: int) -> set[str]:
    """Return the vehicles that sent more than `limit` messages between two looks, whatever became of the messages.

    The governor sees only what is stored: neither QoS 0 nor what the broker drops. A new session counts from nothing.
    """
    return {car for car, count in now.items() if count - (last if (last := before.get(car, 0)) <= count else 0) > limit}
