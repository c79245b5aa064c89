"""A small zone for the tests: a real nats-server with MQTT over mutual TLS, and a governor that acks in order."""

from __future__ import annotations

import datetime
import ipaddress
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import paho.mqtt.client as mqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from paho.mqtt.enums import CallbackAPIVersion

from carcloud.vehicle.batch import BatchError, decode

SERVER = Path(sys.executable).with_name("nats-server")


class Zone:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._root = certificate("root", self._key.public_key(), "root", self._key, ca=True)
        (folder / "root.pem").write_bytes(pem(self._root))
        self.issue(folder, "server")
        self.config = folder / "nats.conf"
        tls = f'cert_file: "{folder}/server.pem", key_file: "{folder}/server.key", ca_file: "{folder}/root.pem"'
        self.config.write_text(
            f'server_name: t\nlisten: "127.0.0.1:-1"\njetstream {{ store_dir: "{folder}/js" }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.port}", tls {{ {tls}, verify: true }} }}\n'
        )

    def issue(self, folder: Path, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        (folder / f"{name}.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, form, plain))
        (folder / f"{name}.pem").write_bytes(pem(certificate(name, key.public_key(), "root", self._key)))

    def enrol(self, vehicle: str) -> Path:
        folder = self.folder / "cars" / vehicle
        folder.mkdir(parents=True)
        self.issue(folder, "vehicle")
        shutil.copy(self.folder / "root.pem", folder / "ca.pem")
        car = {"id": vehicle, "tenant": "default", "vin": "", "mqtt": {"host": "127.0.0.1", "port": self.port}}
        (folder / "vehicle.json").write_text(json.dumps(car))
        return folder

    def start(self) -> None:
        with (self.folder / "nats.log").open("ab") as log:
            self.server = subprocess.Popen([SERVER, "-c", self.config], stdout=log, stderr=log)
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        raise RuntimeError((self.folder / "nats.log").read_text())

    def kill(self) -> None:
        assert self.server
        self.server.send_signal(signal.SIGKILL)
        self.server.wait()


class Governor:
    """Keeps what comes in order, and says how far. `loss` is the chance that a message or an ack is lost."""

    def __init__(self, zone: Zone, loss: float = 0.0, seed: int = 1) -> None:
        self.zone, self.loss, self.random = zone, loss, random.Random(seed)
        self.stored: dict[tuple[str, int], list[bytes]] = defaultdict(list)
        self.seen: dict[tuple[str, int, int], set[bytes]] = defaultdict(set)
        self.hellos: list[dict] = []
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.client = client = mqtt.Client(CallbackAPIVersion.VERSION2, "governor")
        client.tls_set(str(zone.folder / "root.pem"), str(zone.folder / "gov.pem"), str(zone.folder / "gov.key"))
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda c, *_: c.subscribe("cc/1/+/+/up/#", qos=1)
        client.on_message = lambda _c, _d, message: self.hear(message.topic, bytes(message.payload))
        client.connect("127.0.0.1", zone.port)
        client.loop_start()

    def hear(self, topic: str, payload: bytes) -> None:
        vehicle = topic.split("/")[3]
        if topic.endswith("event"):
            self.hellos.append(json.loads(payload))
            self.say(vehicle, int(self.hellos[-1]["queue"], 16))
            return
        if self.random.random() < self.loss:
            return
        try:
            batch = decode(payload)
        except BatchError as error:
            self.counts[error.cause] += 1
            return
        with self.lock:
            self.seen[vehicle, batch.queue, batch.number].add(payload)
            kept = self.stored[vehicle, batch.queue]
            if batch.number == len(kept) + 1:
                kept.append(payload)
        self.say(vehicle, batch.queue)

    def say(self, vehicle: str, queue: int) -> None:
        if self.random.random() >= self.loss:
            ack = {"queue": f"{queue:016x}", "number": len(self.stored[vehicle, queue])}
            self.client.publish(f"cc/1/default/{vehicle}/dn/ack", json.dumps(ack), qos=0)

    def samples(self, vehicle: str) -> int:
        with self.lock:
            return sum(len(decode(p)) for (car, _), kept in self.stored.items() if car == vehicle for p in kept)

    def stop(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pem(cert: x509.Certificate) -> bytes:
    return cert.public_bytes(serialization.Encoding.PEM)


def certificate(name, public_key, issuer, signer, ca=False):
    now = datetime.datetime.now(datetime.UTC)
    local = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(local, critical=False)
        .sign(signer, hashes.SHA256())
    )
