"""What every peer's sink shares: it subscribes, hands payloads to a store in groups, and says when all is stored.

Run: python -m peers.NAME CONFIG.json with {"port", "samples", "size", "folder", …}. It prints {"event": "ready"}, then
{"event": "stored"} when every sample is in, and on the next line from the driver {"event": "queried"} with the sizes
and times of its queries.
"""

from __future__ import annotations

import json
import queue
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

TOPIC = "cc/1/+/+/up/batch"
REPEATS = 9

Message = tuple[str, bytes]


class Store(Protocol):
    """Where a peer puts samples."""

    def write(self, messages: list[Message]) -> int:
        """Store the samples of some messages and return how many they are."""

    def finish(self) -> None:
        """Make everything stored and queryable."""

    def measures(self) -> dict[str, Any]:
        """Return {"bytes", "aggregate_s", "point_s", …}."""


def receive(port: int) -> queue.SimpleQueue[Message]:
    """Subscribe to all cars at QoS 1; messages come as (vehicle, payload)."""
    arrived: queue.SimpleQueue[Message] = queue.SimpleQueue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sink")
    client.on_message = lambda _c, _u, m: arrived.put((m.topic.split("/")[3], bytes(m.payload)))
    client.on_connect = lambda c, *_: c.subscribe(TOPIC, 1)
    client.on_subscribe = lambda *_: say("ready")
    client.connect("127.0.0.1", port)
    client.loop_start()
    return arrived


def serve(make: Callable[[dict[str, Any]], Store], group: int, wait_s: float = 0.2) -> None:
    """Store everything the configuration promises; a write takes about `group` samples, or what came in `wait_s`."""
    config = json.loads(Path(sys.argv[1]).read_text())
    store, left = make(config), int(config["samples"])
    arrived = receive(config["port"])
    per_message = max(1, int(config["size"]))
    while left > 0:
        messages = [arrived.get()]
        deadline = time.perf_counter() + wait_s
        while len(messages) * per_message < group:
            try:
                messages.append(arrived.get(timeout=max(0.0, deadline - time.perf_counter())))
            except queue.Empty:
                break
        left -= store.write(messages)
    store.finish()
    say("stored", at=time.time())
    sys.stdin.readline()
    say("queried", **store.measures())


def say(event: str, **fields: Any) -> None:
    """Tell the driver where we are."""
    print(json.dumps({"event": event, **fields}), flush=True)


def median_s(query: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median seconds of a query."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        query()
        times.append(time.perf_counter() - began)
    return statistics.median(times)
