"""What an attacker on the road holds: a car's credentials, an MQTT client that obeys nobody, and raw sockets."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from pathlib import Path
from types import TracebackType

import httpx
import paho.mqtt.client as mqtt

from tests.zone import RunningZone, until

HOST = "127.0.0.1"
JSON = {"content-type": "application/json"}


class Car:
    """An MQTT client with the credentials in `place`. It does not come back by itself after it was cut."""

    def __init__(self, zone: RunningZone, place: Path, client_id: str = "", **will: object) -> None:
        self.place, self._port = place, zone.file.mqtt
        self.id = json.loads((place / "vehicle.json").read_text())["id"]
        self.heard: list[tuple[str, bytes]] = []
        self.reason, self._granted = "", list[bool]()
        self.connected, self.cut, self._answered = threading.Event(), threading.Event(), threading.Event()
        self.cut_at = 0.0
        self.mqtt = mqtt.Client(
            mqtt.CallbackAPIVersion.VERSION2, client_id or self.id, protocol=mqtt.MQTTv311, reconnect_on_failure=False
        )
        self.mqtt.tls_set(str(place / "ca.pem"), str(place / "vehicle.pem"), str(place / "vehicle.key"))
        self.mqtt.max_inflight_messages_set(1000)
        if will:
            self.mqtt.will_set(**will)  # type: ignore[arg-type]
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_disconnect = self._on_cut
        self.mqtt.on_subscribe = self._on_subscribe
        self.mqtt.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))

    def __enter__(self) -> Car:
        assert self.connect() == "Success"
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave politely."""
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def _on_connect(self, _client: object, _data: object, _flags: object, reason: object, _more: object) -> None:
        self.reason = str(reason)
        self.connected.set()

    def _on_cut(self, *_: object) -> None:
        self.cut_at = time.time()
        self.cut.set()

    def _on_subscribe(self, _client: object, _data: object, _mid: int, reasons: list[object], _more: object) -> None:
        self._granted = [not reason.is_failure for reason in reasons]  # type: ignore[attr-defined]
        self._answered.set()

    def connect(self, address: str = "", patience_s: float = 10) -> str:
        """Connect, from an address of one's own, and return the broker's answer, "" where there was none in time."""
        self.mqtt.connect(HOST, self._port, 30, bind_address=address)
        self.mqtt.loop_start()
        self.connected.wait(patience_s)
        return self.reason

    def up(self, kind: str = "batch") -> str:
        """Return one of the car's own topics."""
        return f"cc/1/default/{self.id}/up/{kind}"

    def say(self, body: object, topic: str = "", qos: int = 1) -> mqtt.MQTTMessageInfo:
        """Publish JSON or bytes, on the car's own batch topic unless told otherwise."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.mqtt.publish(topic or self.up(), payload, qos)

    def subscribe(self, topic: str) -> bool:
        """Say whether the broker granted a subscription."""
        self._answered.clear()
        self.mqtt.subscribe(topic, 1)
        return self._answered.wait(5) and self._granted == [True]


def sample(value: object, signal: str = "Vehicle.Speed", **more: object) -> dict[str, object]:
    """Return a JSON batch of one sample."""
    return {"samples": [{"signal": signal, "value": value, **more}]}


def seen(zone: RunningZone, car: str) -> dict[str, object]:
    """Return the car's newest values as the twin has them."""
    values = zone.get(f"/v1/vehicles/{car}/signals")["signals"]
    return {path: cell["value"] for path, cell in values.items()}


def until_seen(
    zone: RunningZone, car: str, value: object, signal: str = "Vehicle.Speed", patience_s: float = 20
) -> None:
    """Wait until the twin has this value."""
    until(lambda: seen(zone, car).get(signal) == value, f"{signal} = {value} did not reach the twin", patience_s)


def refused(zone: RunningZone) -> dict[str, int]:
    """Return the zone's refusals by cause."""
    counted: dict[str, int] = zone.status()["stream"]["refused"]
    return counted


def tls(place: Path | None, trust: Path, **versions: ssl.TLSVersion) -> ssl.SSLContext:
    """Return TLS as a car speaks it; with no folder, without a certificate."""
    context = ssl.create_default_context(cafile=str(trust))
    for name, version in versions.items():
        setattr(context, name, version)
    if versions:
        context.set_ciphers("ALL:@SECLEVEL=0")
    if place is not None:
        context.load_cert_chain(str(place / "vehicle.pem"), str(place / "vehicle.key"))
    return context


def mqtt_connect(client_id: str) -> bytes:
    """Return an MQTT 3.1.1 CONNECT packet with a clean session."""
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + len(name).to_bytes(2, "big") + name
    return b"\x10" + bytes([len(body)]) + body


def greeted(port: int, context: ssl.SSLContext | None, client_id: str) -> bool:
    """Say whether the broker answers a CONNECT at all: it does so only after a handshake that held."""
    try:
        with socket.create_connection((HOST, port), 5) as raw:
            channel = context.wrap_socket(raw, server_hostname="localhost") if context else raw
            channel.sendall(mqtt_connect(client_id))
            return channel.recv(4)[:1] == b"\x20"
    except OSError:
        return False


def second_door(zone: RunningZone, context: ssl.SSLContext) -> httpx.Client:
    """Return an HTTPS client for the second door."""
    return httpx.Client(base_url=f"https://localhost:{zone.file.https}", verify=context, trust_env=False, timeout=15)


class Storm:
    """A car that floods: raw MQTT over TLS, as fast as it goes, deaf to the broker's answers."""

    def __init__(self, zone: RunningZone, place: Path) -> None:
        self.id = json.loads((place / "vehicle.json").read_text())["id"]
        raw = socket.create_connection((HOST, zone.file.mqtt), 10)
        self._channel = tls(place, place / "ca.pem").wrap_socket(raw, server_hostname="localhost")
        self._channel.sendall(mqtt_connect(self.id))
        self.welcome = self._channel.recv(4)[3:] == b"\0"
        self._channel.settimeout(None)
        self.sent, self._packet = 0, 0
        self.cut = threading.Event()
        self._deaf = threading.Thread(target=self._drain, daemon=True)
        self._deaf.start()

    def _drain(self) -> None:
        try:
            while self._channel.recv(65536):
                pass
        except OSError:
            pass  # it was cut, which is what the storm is about
        self.cut.set()

    def send(self, payload: bytes, kind: str = "batch", qos: int = 1) -> None:
        """Publish once on one of the car's own topics."""
        try:
            self._channel.sendall(self._publish(f"cc/1/default/{self.id}/up/{kind}".encode(), payload, qos))
        except OSError:
            self.cut.set()

    def blow(self, payload: bytes, seconds: float, per_s: int, topic: str = "", qos: int = 1) -> None:
        """Publish a payload so many times a second, until cut or the time is over."""
        began = time.monotonic()
        name = (topic or f"cc/1/default/{self.id}/up/batch").encode()
        while (now := time.monotonic() - began) < seconds and not self.cut.is_set():
            due = int(min(now, seconds) * per_s) - self.sent
            try:
                self._channel.sendall(b"".join(self._publish(name, payload, qos) for _ in range(min(due, 500))))
            except OSError:
                break
            self.sent += max(min(due, 500), 0)
            time.sleep(0.002)

    def _publish(self, topic: bytes, payload: bytes, qos: int) -> bytes:
        self._packet = self._packet % 65535 + 1
        body = len(topic).to_bytes(2, "big") + topic + (self._packet.to_bytes(2, "big") if qos else b"") + payload
        size, digits = len(body), bytearray()
        while True:
            size, digit = divmod(size, 128)
            digits.append(digit | (128 if size else 0))
            if not size:
                return bytes([0x30 | qos << 1]) + bytes(digits) + body

    def close(self) -> None:
        """Hang up."""
        self._channel.close()


def hung_up(line: socket.socket, patience_s: float = 5.0) -> bool:
    """Say whether the zone closed a connection, after whatever answer is still on its way."""
    line.settimeout(patience_s)
    try:
        while line.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass
    return True
