"""A car in about a hundred lines: sends batches as docs/wire.md says, and again until the zone acknowledges them.

    carcloud enrol --vin WVWZZZ1JZXW000001 --out my-car && python examples/wire_client.py my-car

It imports nothing of carcloud. It keeps batches in memory; a car keeps them on disk, under a queue id kept with them.
"""

import hashlib
import json
import math
import secrets
import struct
import sys
import threading
import time
from pathlib import Path

import google_crc32c
import paho.mqtt.client as mqtt
import zstandard

TABLE = {"signals": [["Vehicle.Speed", "km/h"], ["Vehicle.LowVoltageSystemState", None]]}


def table_hash(table):
    """Return the first 8 bytes of the SHA-256 of the table's canonical JSON."""
    text = json.dumps(table, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).digest()[:8]


def encode(table, queue, number, rows, provenance=0, base_us=None):
    """Return one batch of rows (index in the id table, microseconds since 1970, number or text) as a payload."""
    rows = sorted(rows, key=lambda row: row[:2])
    base = base_us if base_us is not None else min((at for _, at, _ in rows), default=0)
    signals = sorted({signal for signal, _, _ in rows})
    counts = [sum(1 for row in rows if row[0] == signal) for signal in signals]
    texts = [(at, row[2].encode()) for at, row in enumerate(rows) if isinstance(row[2], str)]
    body = struct.pack(f"<{len(signals)}H{len(counts)}I", *signals, *counts)
    body += struct.pack(f"<{len(rows)}i", *(at - base for _, at, _ in rows))
    body += struct.pack(f"<{len(rows)}d", *(math.nan if isinstance(value, str) else value for _, _, value in rows))
    if texts:
        body += struct.pack(f"<I{2 * len(texts)}I", len(texts), *(row for row, _ in texts), *(len(t) for _, t in texts))
        body += b"".join(text for _, text in texts)
    packed = zstandard.ZstdCompressor(3).compress(body)
    head = struct.pack("<4sBBH8sQQq", b"CCB1", 1, provenance, bool(texts), table, queue, number, base)
    head += struct.pack("<III", len(signals), len(rows), google_crc32c.value(packed))
    return head + struct.pack("<I", google_crc32c.value(head)) + packed


class Car:
    """One vehicle's connection: numbers batches, has at most 64 in flight, re-sends what is not acknowledged."""

    def __init__(self, folder):
        me = json.loads((Path(folder) / "vehicle.json").read_text())
        self.queue, self.number, self.kept, self.changed = secrets.randbits(63) + 1, 0, {}, threading.Condition()
        self.topic = f"cc/1/{me['tenant']}/{me['id']}"
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=me["id"])
        self.mqtt.tls_set(f"{folder}/ca.pem", f"{folder}/vehicle.pem", f"{folder}/vehicle.key")
        self.mqtt.on_connect, self.mqtt.on_message = self.greet, self.take_ack
        self.mqtt.connect_async(me["mqtt"]["host"], me["mqtt"]["port"])
        self.mqtt.loop_start()

    def greet(self, *_):
        """Say hello with the id table, then send again whatever is not acknowledged."""
        with self.changed:
            acked = min(self.kept, default=self.number + 1) - 1
        hello = {"event": "hello", "queue": f"{self.queue:016x}", "acked": acked, "table": TABLE}
        self.mqtt.subscribe(f"{self.topic}/dn/ack")
        self.mqtt.publish(f"{self.topic}/up/event", json.dumps(hello), qos=1)
        for _, payload in sorted(self.kept.items()):
            self.mqtt.publish(f"{self.topic}/up/batch", payload, qos=1)

    def take_ack(self, _client, _data, message):
        """Forget what is durable in the zone."""
        ack = json.loads(message.payload)
        if ack.get("queue") == f"{self.queue:016x}":
            with self.changed:
                self.kept = {number: payload for number, payload in self.kept.items() if number > ack["number"]}
                self.changed.notify_all()
        if "refused" in ack:
            print("refused:", ack["refused"])
        if "want" in ack:
            self.greet()

    def send(self, rows):
        """Number a batch and send it, after room is made for it."""
        self.wait(below=64)
        with self.changed:
            self.number += 1
            self.kept[self.number] = encode(table_hash(TABLE), self.queue, self.number, rows)
        if self.mqtt.is_connected():
            self.mqtt.publish(f"{self.topic}/up/batch", self.kept[self.number], qos=1)

    def wait(self, below=1):
        """Return once fewer than `below` batches are unacknowledged; send again after 10 s without progress."""
        with self.changed:
            while len(self.kept) >= below:
                if not self.changed.wait(10) and self.mqtt.is_connected():
                    self.greet()


if __name__ == "__main__":
    car = Car(sys.argv[1])
    for step in range(50):
        now = time.time_ns() // 1000
        car.send([(0, now, 50 + 10 * math.sin(step / 8)), (1, now, "ON")])
        time.sleep(0.1)
    car.wait()
    print("acknowledged: 50 batches")
    car.mqtt.disconnect()
