"""One car on the wire: MQTT 3.1.1 over mutual TLS at QoS 1, as lean as Python allows.

Rules:
* A batch is done when the zone has acknowledged it as durable (`dn/ack`); for a peer, which knows no such thing, by
  PUBACK.
* At most `WINDOW` batches or 4 MiB are in flight; without progress for 10 s (doubling up to 60) the car sends again
  from the first that is not done.
* Packets come ready made, so that the generator costs the machine as little as possible.

Source: docs/wire.md; MQTT 3.1.1.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

WINDOW = 64
WINDOW_BYTES = 4 * 1024 * 1024
PATIENCE_S = 10.0
LONGEST_PATIENCE_S = 60.0
HELLO_PACKET = 65_535

CONNACK, PUBLISH, PUBACK, SUBACK = 2, 3, 4, 9


def length(n: int) -> bytes:
    """Return n as MQTT's variable length."""
    out = bytearray()
    while True:
        n, low = divmod(n, 128)
        out.append(low | (128 if n else 0))
        if not n:
            return bytes(out)


def text(value: str) -> bytes:
    """Return value as an MQTT string."""
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def connect_packet(client: str) -> bytes:
    """Return a CONNECT with a clean session and no keep-alive."""
    body = text("MQTT") + b"\x04\x02\x00\x00" + text(client)
    return b"\x10" + length(len(body)) + body


def subscribe_packet(topic: str) -> bytes:
    """Return a SUBSCRIBE to one topic at QoS 0."""
    body = b"\x00\x01" + text(topic) + b"\x00"
    return b"\x82" + length(len(body)) + body


def publish_packet(topic: bytes, number: int, payload: bytes) -> bytes:
    """Return a PUBLISH at QoS 1; `topic` is an MQTT string, the packet id follows from the number."""
    packet = (number - 1) % (HELLO_PACKET - 1) + 1
    size = length(len(topic) + 2 + len(payload))
    return b"".join((b"\x32", size, topic, packet.to_bytes(2, "big"), payload))


class Tally:
    """What all cars together have seen; times are `time.time()` seconds."""

    def __init__(self) -> None:
        self.ready = self.published = self.pubacks = self.acked = self.resent = self.hellos = self.lost = 0
        self.refused: dict[str, int] = {}
        self.codes: dict[int, int] = {}
        self.last_puback = self.last_ack = 0.0
        self.ack_delays: list[float] = []


class Car(asyncio.Protocol):
    """A connected car that sends its packets in order, held back by what has been acknowledged."""

    def __init__(self, identity: dict[str, Any], tally: Tally, changed: Callable[[], None]) -> None:
        self.id, self.tally, self.changed = identity["id"], tally, changed
        self.prefix: str = identity["prefix"]
        self.durable: bool = identity["durable"]
        self.hello: bytes = identity["hello"]
        self.packets: list[bytes] = []
        self.sent_at: list[float] | None = None
        self.sent = self.done = self.in_flight = 0
        self.window = WINDOW
        self.progress, self.patience_s = 0.0, PATIENCE_S
        self.is_ready = self.is_held = False
        self.settled = asyncio.Event()
        self.transport: asyncio.Transport | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self._write(connect_packet(self.id))

    def close(self) -> None:
        """Drop the connection, if there is one."""
        if self.transport:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_ready:
            self.tally.lost += 1
        self.is_ready = False
        self.settled.set()
        self.changed()

    def pause_writing(self) -> None:
        self.is_held = True

    def resume_writing(self) -> None:
        self.is_held = False
        self.pump()

    def pump(self) -> None:
        """Send what the window allows."""
        ready = []
        while (
            self.sent < len(self.packets)
            and self.sent - self.done < self.window
            and self.in_flight < WINDOW_BYTES
            and not self.is_held
        ):
            packet = self.packets[self.sent]
            ready.append(packet)
            self.in_flight += len(packet)
            self.sent += 1
            if len(ready) == 8:
                self._write(b"".join(ready))
                ready = []
        if ready:
            self._write(b"".join(ready))

    def remind(self, now: float) -> None:
        """Send again from the first batch that is not done, where nothing has moved for long."""
        if self.done < self.sent and now - self.progress > self.patience_s:
            self.patience_s = min(LONGEST_PATIENCE_S, self.patience_s * 2)
            self.tally.resent += self.sent - self.done
            self.sent, self.in_flight, self.progress = self.done, 0, now
            self.pump()

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        at, end = 0, len(data)
        while at + 2 <= end:
            size, step, shift = 0, at + 1, 0
            while step < end and data[step] & 128:
                size |= (data[step] & 127) << shift
                step, shift = step + 1, shift + 7
            if step >= end or step + 1 + (size | data[step] << shift) > end:
                break
            size |= data[step] << shift
            start, at_next = step + 1, step + 1 + size
            self._packet(data[at] >> 4, data[at], data[start:at_next])
            at = at_next
        self._rest = data[at:]

    def _packet(self, kind: int, first: int, body: bytes) -> None:
        if kind == PUBACK:
            self._puback(int.from_bytes(body[:2], "big"))
        elif kind == PUBLISH:
            self._acknowledged(json.loads(body[2 + int.from_bytes(body[:2], "big") :]))
        elif kind == CONNACK:
            self.tally.codes[body[1]] = self.tally.codes.get(body[1], 0) + 1
            if body[1]:
                self.close()
            elif self.durable:
                self._write(subscribe_packet(f"{self.prefix}/dn/ack") + self.hello)
            else:
                self._begin()
        elif kind == SUBACK:
            self._begin()

    def _write(self, data: bytes) -> None:
        if self.transport:
            self.transport.write(data)

    def _begin(self) -> None:
        self.is_ready = True
        self.settled.set()
        self.tally.ready += 1

    def _puback(self, packet: int) -> None:
        if packet == HELLO_PACKET:
            self.tally.hellos += 1
            return
        self.tally.pubacks += 1
        self.tally.last_puback = time.time()
        if not self.durable:
            self._advance(self.done + 1)

    def _acknowledged(self, ack: dict[str, Any]) -> None:
        for cause, count in ack.get("refused", {}).items():
            self.tally.refused[cause] = self.tally.refused.get(cause, 0) + count
        if "want" in ack:
            self._write(self.hello)
        if ack.get("number", 0) > self.done:
            self._advance(ack["number"])

    def _advance(self, number: int) -> None:
        now = time.time()
        for packet in range(self.done, number):
            self.in_flight -= len(self.packets[packet])
            if self.sent_at is not None:
                self.tally.ack_delays.append(now - self.sent_at[packet])
        self.in_flight = max(self.in_flight, 0)
        self.tally.acked += number - self.done
        self.tally.last_ack = self.progress = now
        self.patience_s = PATIENCE_S
        self.done = number
        self.sent = max(self.sent, number)
        self.pump()
        if self.done == len(self.packets):
            self.changed()
