"""The callout and the sessions against the real broker, with real certificates and a real MQTT client."""

import asyncio
import contextlib
import secrets
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType

import paho.mqtt.client as mqtt
import pytest

from carcloud.backends.nats import Bus
from carcloud.backends.nats_server import ACCOUNTS, ServerFiles, ServerPorts, configuration, executable
from carcloud.backends.records import Records
from carcloud.errors import TryLaterError
from carcloud.gateway.enrolment import Endpoints, Enrolment, enrol, revoke, write_credentials
from carcloud.gateway.gate import Gate
from carcloud.gateway.mqtt.callout import AccountKey, Callout
from carcloud.gateway.sessions import Sessions
from carcloud.safety.identity import Authority, Credentials
from carcloud.stream.raw import prepare
from tests.zone import until

MQTT_CONNECT = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"  # 3.1.1, clean session, client id "a"
PASSWORDS = {name: secrets.token_hex(16) for name in ACCOUNTS}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Zone:
    """A broker with callout and sessions, and cars enrolled in it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ports = folder, ServerPorts(free_port(), free_port())
        self.records = Records.open(f"sqlite:///{folder}/records.db")
        self.authority = Authority(folder / "keys")
        self.callout = Callout(Gate(self.records), AccountKey(folder / "keys"))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._vins = iter(f"WBA{number:014}" for number in range(1000))

    def __enter__(self) -> "Zone":
        chain, key = self.authority.server_certificate(["127.0.0.1"])
        files = ServerFiles(self.folder / "store", chain, key, self.authority.vehicle_trust)
        issuer = AccountKey(self.folder / "keys").public
        log = self.folder / "nats-server.log"
        text = configuration("test", files, self.ports, PASSWORDS, issuer, 64 << 20, 64 << 20, log, "1.2")
        (self.folder / "nats.conf").write_text(text)
        self._log = (self.folder / "log").open("wb")
        self._broker = subprocess.Popen([executable(), "-c", self.folder / "nats.conf"], stderr=self._log)
        self._thread.start()
        self.cloud, system, self._auth = (self.run(self._connect(name)) for name in ("vehicles", "system", "auth"))
        self.run(prepare(self.cloud, 64 << 20))
        self.run(self._auth.answer("$SYS.REQ.USER.AUTH", self._answer, queue="callout"))
        self.run(self._auth.flush())
        self.sessions = Sessions(system.request)
        self._buses = [self.cloud, system, self._auth]
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for bus in self._buses:
            self.run(bus.close())
        self._broker.terminate()
        self._broker.wait(10)
        self._log.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self.records.close()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    async def _connect(self, name: str) -> Bus:
        return await Bus.connect(f"nats://{name}:{PASSWORDS[name]}@127.0.0.1:{self.ports.nats}", name)

    async def _answer(self, request: bytes) -> bytes:
        return self.callout.answer(request)

    def silence_callout(self) -> None:
        self.run(self._auth.close())

    def car(self) -> Enrolment:
        endpoints = Endpoints("127.0.0.1", self.ports.mqtt, "https://127.0.0.1")
        enrolment = enrol(self.records, self.authority, next(self._vins), endpoints)
        write_credentials(enrolment, self.folder / enrolment.vehicle.id)
        return enrolment


class Car:
    """A plain MQTT client with a car's credentials."""

    def __init__(self, zone: Zone, enrolment: Enrolment, client_id: str = "", **will: object) -> None:
        self.id, self._port = enrolment.vehicle.id, zone.ports.mqtt
        self.connected, self.disconnected, self.subscribed = threading.Event(), threading.Event(), threading.Event()
        self.reason, self.granted, self.heard = "", [], []
        folder = zone.folder / self.id
        self.mqtt = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id or self.id, protocol=mqtt.MQTTv311)
        self.mqtt.tls_set(str(folder / "ca.pem"), str(folder / "vehicle.pem"), str(folder / "vehicle.key"))
        self.mqtt.reconnect_delay_set(60, 60)
        if will:
            self.mqtt.will_set(**will)
        self.mqtt.on_connect = self._on_connect
        self.mqtt.on_disconnect = lambda *_: self.disconnected.set()
        self.mqtt.on_subscribe = self._on_subscribe
        self.mqtt.on_message = lambda _client, _data, message: self.heard.append((message.topic, message.payload))

    def _on_connect(self, _client, _data, _flags, reason, _properties) -> None:
        self.reason = str(reason)
        self.connected.set()

    def _on_subscribe(self, _client, _data, _mid, reasons, _properties) -> None:
        self.granted = [not reason.is_failure for reason in reasons]
        self.subscribed.set()

    def connect(self) -> str:
        self.mqtt.connect("127.0.0.1", self._port, 30)
        self.mqtt.loop_start()
        self.connected.wait(10)
        return self.reason

    def subscribe(self, topic: str) -> bool:
        self.subscribed.clear()
        self.mqtt.subscribe(topic, 1)
        return self.subscribed.wait(5) and self.granted == [True]

    def stop(self) -> None:
        self.mqtt.disconnect()
        self.mqtt.loop_stop()


@pytest.fixture(scope="module")
def zone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    with Zone(tmp_path_factory.mktemp("zone")) as zone:
        yield zone


@pytest.fixture
def car(zone: Zone) -> Iterator[Callable[..., Car]]:
    with contextlib.ExitStack() as stack:

        def make(enrolment: Enrolment | None = None, **options: object) -> Car:
            car = Car(zone, enrolment or zone.car(), **options)
            stack.callback(car.stop)
            return car

        yield make


def heard_by_cloud(zone: Zone, subject: str) -> list[tuple[str, bytes]]:
    heard: list[tuple[str, bytes]] = []

    async def note(subject: str, data: bytes) -> None:
        heard.append((subject, data))

    zone.run(zone.cloud.listen(subject, note))
    zone.run(zone.cloud.flush())
    return heard


def test_enrolled_car_connects_and_publishes_below_its_own_id(zone: Zone, car: Callable[..., Car]) -> None:
    own = car()
    heard = heard_by_cloud(zone, f"cc.1.default.{own.id}.>")
    assert own.connect() == "Success"
    own.mqtt.publish(f"cc/1/default/{own.id}/up/batch", b"batch", 1).wait_for_publish(5)
    until(lambda: heard, "the batch was not heard", 5)
    assert heard == [(f"cc.1.default.{own.id}.up.batch", b"batch")]


def test_car_hears_its_own_orders_and_acks(zone: Zone, car: Callable[..., Car]) -> None:
    own = car()
    own.connect()
    assert own.subscribe(f"cc/1/default/{own.id}/dn/#")
    zone.run(zone.cloud.publish(f"cc.1.default.{own.id}.dn.ack", b"{}"))
    zone.run(zone.cloud.flush())
    for _ in range(50):
        if own.heard:
            break
        own.disconnected.wait(0.05)
    assert own.heard == [(f"cc/1/default/{own.id}/dn/ack", b"{}")]


def test_publish_to_another_cars_topic_is_dropped(zone: Zone, car: Callable[..., Car]) -> None:
    own, other = car(), car()
    heard = heard_by_cloud(zone, "cc.1.default.*.up.>")
    own.connect()
    own.mqtt.publish(f"cc/1/default/{other.id}/up/batch", b"forged", 1)
    own.mqtt.publish(f"cc/1/default/{own.id}/dn/ack", b"forged", 1)
    own.mqtt.publish(f"cc/1/default/{own.id}/up/batch", b"own", 1).wait_for_publish(5)
    until(lambda: (f"cc.1.default.{own.id}.up.batch", b"own") in heard, "the batch was not heard", 5)
    assert b"forged" not in [data for _, data in heard]


@pytest.mark.parametrize(
    "topic",
    [
        "#",
        "+/#",
        "cc/1/default/+/dn/ack",
        "cc/1/default/{other}/dn/ack",
        "$SYS/#",
        "$MQTT/sub/#",
        "$JS/#",
        "cc/1/default/{own}/up/batch",
    ],
)
def test_subscription_beyond_its_own_topics_is_refused(zone: Zone, car: Callable[..., Car], topic: str) -> None:
    own, other = car(), zone.car()
    own.connect()
    assert not own.subscribe(topic.format(own=own.id, other=other.vehicle.id))


def test_car_with_anothers_client_id_is_refused_and_the_other_stays(car: Callable[..., Car]) -> None:
    victim = car()
    victim.connect()
    thief = car(client_id=victim.id)
    assert thief.connect() == "Not authorized"
    assert not victim.disconnected.is_set()


def test_forged_will_is_not_delivered(zone: Zone, car: Callable[..., Car]) -> None:
    victim = zone.car().vehicle.id
    heard = heard_by_cloud(zone, f"cc.1.default.{victim}.>")
    forger = car(topic=f"cc/1/default/{victim}/up/event", payload=b"forged", qos=1)
    forger.connect()
    zone.run(zone.sessions.close(forger.id))
    assert forger.disconnected.wait(5)
    zone.run(zone.cloud.flush())
    assert heard == []


def test_revoked_cars_session_is_closed_and_does_not_come_back(zone: Zone, car: Callable[..., Car]) -> None:
    enrolment = zone.car()
    own = car(enrolment)
    assert own.connect() == "Success"
    revoke(zone.records, own.id)
    zone.callout.forget(own.id)
    assert zone.run(zone.sessions.close(own.id)) == 1
    assert own.disconnected.wait(1)
    assert car(enrolment).connect() == "Not authorized"


def test_flooding_car_is_refused_until_its_time_is_over(zone: Zone, car: Callable[..., Car]) -> None:
    enrolment = zone.car()
    zone.callout.refuse(enrolment.vehicle.id, 60)
    assert car(enrolment).connect() == "Not authorized"
    zone.callout.refuse(enrolment.vehicle.id, 0)
    assert car(enrolment).connect() == "Success"


def test_connected_cars_are_listed_and_no_process_of_the_cloud(zone: Zone, car: Callable[..., Car]) -> None:
    cars = [car() for _ in range(3)]
    for each in cars:
        each.connect()
    listed = set(zone.run(zone.sessions.vehicles()))
    assert {each.id for each in cars} <= listed
    assert all(zone.records.vehicle(found) for found in listed)


def test_closing_a_car_that_is_not_connected_closes_nothing(zone: Zone) -> None:
    assert zone.run(zone.sessions.close("nobody")) == 0


def handshake(zone: Zone, credentials: Credentials | None, folder: Path) -> bool:
    """Say whether the broker answers an MQTT CONNECT sent with these credentials."""
    context = ssl.create_default_context(cafile=zone.authority.server_trust)
    if credentials is not None:
        (folder / "a.pem").write_bytes(credentials.chain)
        (folder / "a.key").write_bytes(credentials.key)
        context.load_cert_chain(folder / "a.pem", folder / "a.key")
    try:
        raw = socket.create_connection(("127.0.0.1", zone.ports.mqtt), 5)
        with raw, context.wrap_socket(raw, server_hostname="127.0.0.1") as channel:
            channel.sendall(MQTT_CONNECT)
            return channel.recv(4)[:1] == b"\x20"
    except OSError:
        return False


def test_handshake_with_an_enrolled_cars_certificate_is_answered(zone: Zone, tmp_path: Path) -> None:
    assert handshake(zone, zone.car().credentials, tmp_path)


def test_no_certificate_is_refused_in_the_handshake(zone: Zone, tmp_path: Path) -> None:
    assert not handshake(zone, None, tmp_path)


def test_expired_certificate_is_refused_in_the_handshake(zone: Zone, tmp_path: Path) -> None:
    past = Authority(zone.folder / "keys", lambda: datetime.now(UTC) - timedelta(days=60))
    assert not handshake(zone, past.issue_vehicle("a" * 16, "default"), tmp_path)


def test_rogue_authority_with_identical_names_is_refused_in_the_handshake(zone: Zone, tmp_path: Path) -> None:
    rogue = Authority(tmp_path / "rogue")
    assert not handshake(zone, rogue.issue_vehicle(zone.car().vehicle.id, "default"), tmp_path)


def test_servers_certificate_does_not_come_in_as_a_car(zone: Zone, tmp_path: Path) -> None:
    chain, key = zone.authority.server_certificate(["127.0.0.1"])
    at = datetime.now(UTC)
    assert not handshake(zone, Credentials(chain.read_bytes(), key.read_bytes(), "0", at, at), tmp_path)


def test_plain_tcp_is_refused(zone: Zone) -> None:
    with socket.create_connection(("127.0.0.1", zone.ports.mqtt), 5) as raw:
        raw.sendall(MQTT_CONNECT)
        with contextlib.suppress(ConnectionError):
            assert raw.recv(4)[:1] != b"\x20"


def test_car_that_stole_a_cloud_password_is_refused(car: Callable[..., Car]) -> None:
    for name in ACCOUNTS:
        thief = car()
        thief.mqtt.username_pw_set(name, PASSWORDS[name])
        assert thief.connect() == "Not authorized"


def test_no_car_comes_in_while_the_callout_is_away(tmp_path: Path) -> None:
    with Zone(tmp_path) as zone:
        own = Car(zone, zone.car())
        zone.silence_callout()
        assert own.connect() != "Success"
        own.stop()
        with pytest.raises(TryLaterError):
            zone.run(zone.cloud.request("nobody.answers", timeout_s=0.2))
