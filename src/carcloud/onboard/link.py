"""One connection of a car to its zone: MQTT 3.1.1 over mutual TLS, clean session, QoS 1 up.

A link lives as long as its connection. The agent makes a new one, so that nothing of an old one is ever sent again
behind the agent's back.

Source: docs/wire.md for topics and messages.
"""

from __future__ import annotations

import json
import selectors
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from carcloud.errors import TryLaterError
from carcloud.onboard.credentials import Credentials
from carcloud.vehicle.batch import BatchError, parse_queue

CONNECT_TIMEOUT_S = 8.0
KEEPALIVE_S = 30
UNLIMITED = 0
LIMIT_DOCUMENTS = 8


@dataclass(frozen=True)
class Ack:
    """What the zone says: the highest contiguous durable number of a queue, a table it wants, and what it refused."""

    queue: int
    number: int
    want: str | None = None
    refused: dict[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, payload: bytes) -> Ack | None:
        """Read an acknowledgement; None where it is none."""
        try:
            body = json.loads(payload)
            queue = parse_queue(body["queue"]) if "queue" in body else 0
            number, want, refused = body.get("number", 0), body.get("want"), body.get("refused", {})
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BatchError):
            return None
        counted = isinstance(refused, dict) and all(isinstance(count, int) for count in refused.values())
        if not isinstance(number, int) or number < 0 or not isinstance(want, str | None) or not counted:
            return None
        return cls(queue, number, want, refused)


class Link:
    """A connection, from CONNACK and SUBACK on."""

    def __init__(self, credentials: Credentials) -> None:
        self._up = f"cc/1/{credentials.tenant}/{credentials.vehicle}/up"
        self._acks: deque[Ack] = deque()
        self._orders: deque[bytes] = deque()
        self._documents: deque[bytes] = deque(maxlen=LIMIT_DOCUMENTS)
        self._granted = False
        self.lost: str | None = None
        self.strange = 0
        self._selector = selectors.DefaultSelector()
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2, credentials.vehicle, clean_session=True, reconnect_on_failure=False
        )
        client.tls_set_context(credentials.context())
        client.max_inflight_messages_set(UNLIMITED)  # the window decides
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_disconnect = self._on_disconnect
        down = f"cc/1/{credentials.tenant}/{credentials.vehicle}/dn"
        self._ack_topic, self._order_topic, self._plan_topic = f"{down}/ack", f"{down}/order", f"{down}/plan"
        self._open(credentials)

    def _open(self, credentials: Credentials) -> None:
        where = f"{credentials.host}:{credentials.port}"
        try:
            self._client.connect(credentials.host, credentials.port, KEEPALIVE_S)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            self.close()
            do = "Check that the zone runs and knows this car; the agent keeps trying."
            raise TryLaterError(f"No connection to {where}: {error}.", do) from None
        self._selector.register(self._socket(), selectors.EVENT_READ)
        until = time.monotonic() + CONNECT_TIMEOUT_S
        while not self._granted and self.lost is None and time.monotonic() < until:
            self._turn(0.1)
        if not self._granted:
            reason = self.lost or "no answer in time"
            self.close()
            raise TryLaterError(f"{where} did not accept the car: {reason}.", "Is it enrolled, and not revoked?")

    def _socket(self) -> Any:
        sock = self._client.socket()
        if sock is None:
            self.lost = self.lost or "connection closed"
        return sock

    def hello(self, queue: int, acked: int, table: bytes, agent: str) -> None:
        """Greet the zone with a queue, up to which number of it is acknowledged, and the id table (JSON) it names."""
        greeting = {"event": "hello", "queue": f"{queue:016x}", "acked": acked, "table": json.loads(table)}
        greeting["agent"] = agent
        self._client.publish(f"{self._up}/event", json.dumps(greeting, ensure_ascii=False).encode(), qos=1)

    def send(self, payload: bytes) -> None:
        """Put a batch on the wire."""
        self._client.publish(f"{self._up}/batch", payload, qos=1)

    def answer(self, message: bytes) -> None:
        """Answer an order. Nobody stores it: who misses it asks again."""
        self._client.publish(f"{self._up}/result", message, qos=0)

    def orders(self) -> list[bytes]:
        """Return the messages of orders that came with the last poll."""
        orders = list(self._orders)
        self._orders.clear()
        return orders

    def documents(self) -> list[bytes]:
        """Return the documents of plans that came with the last poll; only the last few of them."""
        documents = list(self._documents)
        self._documents.clear()
        return documents

    def poll(self, timeout_s: float) -> list[Ack]:
        """Move bytes for at most so long; return the acknowledgements that came."""
        self._turn(timeout_s)
        acks = list(self._acks)
        self._acks.clear()
        return acks

    def _turn(self, timeout_s: float) -> None:
        sock = self._socket()
        if sock is None:
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._client.want_write() else 0)
        self._selector.modify(sock, wanted)
        waiting = sock.pending() > 0  # decrypted bytes the selector cannot see
        events = self._selector.select(0 if waiting else timeout_s)
        mask = events[0][1] if events else 0
        if waiting or mask & selectors.EVENT_READ:
            self._client.loop_read()
        if mask & selectors.EVENT_WRITE and self._client.socket() is not None:
            self._client.loop_write()
        if self._client.socket() is not None:
            self._client.loop_misc()

    def _on_connect(self, client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if reason.is_failure:
            self.lost = f"refused ({reason})"
        else:
            client.subscribe([(self._ack_topic, 0), (self._order_topic, 0), (self._plan_topic, 0)])

    def _on_subscribe(self, _client: mqtt.Client, _data: Any, _mid: int, reasons: list[Any], _properties: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            self.lost = "subscription to its own topics refused"
        else:
            self._granted = True

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        if message.topic == self._order_topic:
            self._orders.append(bytes(message.payload))
            return
        if message.topic == self._plan_topic:
            self._documents.append(bytes(message.payload))
            return
        ack = Ack.parse(bytes(message.payload))
        if ack is None:
            self.strange += 1
        else:
            self._acks.append(ack)

    def _on_disconnect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self.lost = self.lost or f"connection lost ({reason})"

    def close(self) -> None:
        """Say goodbye and close."""
        self._client.disconnect()
        sock = self._client.socket()
        if sock is not None:  # it was too full for a goodbye
            sock.close()
        self._selector.close()
