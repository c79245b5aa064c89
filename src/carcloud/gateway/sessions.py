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

    async def vehicles(self) -> set[str]:
        """Return the ids of all connected vehicles; one request for every 4,096 of them."""
        found: set[str] = set()
        offset, total = 0, 1
        while offset < total:
            data = (await self._connections({"limit": PAGE, "offset": offset}))["data"]
            found.update(car for connection in data.get("connections") or [] if (car := connection.get("mqtt_client")))
            offset, total = offset + PAGE, data["total"]
        return found

    async def _connections(self, options: dict[str, Any]) -> dict[str, Any]:
        asked = {"acc": ACCOUNT, "sort": "cid"} | options
        answer: dict[str, Any] = orjson.loads(await self._request("$SYS.REQ.SERVER.PING.CONNZ", orjson.dumps(asked)))
        return answer
