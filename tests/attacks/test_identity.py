"""Who may come in, and as whom: certificates, client ids, topics, wills, retained messages, revocation."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from carcloud.safety.identity import Authority, Credentials
from tests.attacks.attacker import HOST, Car, greeted, refused, sample, seen, tls, until_seen
from tests.attacks.conftest import enrolled
from tests.zone import RunningZone, carcloud, until

Cars = Callable[..., Car]
ALERT, HANDSHAKE, NOTHING = b"\x15", b"\x16", b""


def held(credentials: Credentials, folder: Path) -> Path:
    """Write stolen or forged credentials as a car keeps them."""
    (folder / "vehicle.pem").write_bytes(credentials.chain)
    (folder / "vehicle.key").write_bytes(credentials.key)
    return folder


def test_a01_no_client_certificate(target: RunningZone) -> None:
    place = enrolled(target)
    assert greeted(target.file.mqtt, tls(place, place / "ca.pem"), "a")
    assert not greeted(target.file.mqtt, tls(None, place / "ca.pem"), "a")


def test_a02_expired_certificate(target: RunningZone, tmp_path: Path) -> None:
    past = Authority(target.folder.keys, lambda: datetime.now(UTC) - timedelta(days=60))
    place = held(past.issue_vehicle("a" * 16, "default"), tmp_path)
    assert not greeted(target.file.mqtt, tls(place, enrolled(target) / "ca.pem"), "a" * 16)


def test_a03_rogue_authority_with_identical_names(target: RunningZone, tmp_path: Path) -> None:
    enrolment, true = target.enrol("impersonated")
    rogue = Authority(tmp_path / "rogue")
    place = held(rogue.issue_vehicle(enrolment.vehicle.id, "default"), tmp_path)
    assert not greeted(target.file.mqtt, tls(place, true / "ca.pem"), enrolment.vehicle.id)


def test_a03_certificate_of_the_true_authority_that_the_records_do_not_know(target: RunningZone, car: Cars) -> None:
    thief = car()
    forged = Authority(target.folder.keys).issue_vehicle(thief.id, "default")
    (thief.place / "vehicle.pem").write_bytes(forged.chain)
    (thief.place / "vehicle.key").write_bytes(forged.key)
    assert car(thief.place).connect() == "Not authorized"


def test_a03_certificate_of_another_tenant(target: RunningZone, tmp_path: Path, car: Cars) -> None:
    true = car()
    held(Authority(target.folder.keys).issue_vehicle(true.id, "other"), tmp_path)
    for name in ("vehicle.json", "ca.pem"):
        shutil.copy(true.place / name, tmp_path)
    assert car(tmp_path).connect() == "Not authorized"


def test_a04_valid_certificate_with_another_cars_client_id(car: Cars) -> None:
    victim = car()
    assert victim.connect() == "Success"
    assert car(client_id=victim.id).connect() == "Not authorized"
    assert not victim.cut.is_set()


@pytest.mark.parametrize("client_id", ["", "*", ">", "a.b", "../../x", "x" * 300, "$SYS", "a/b"])
def test_a04_client_id_that_is_no_vehicle(target: RunningZone, client_id: str) -> None:
    place = enrolled(target)
    channel = tls(place, place / "ca.pem").wrap_socket(
        socket.create_connection((HOST, target.file.mqtt), 8), server_hostname="localhost"
    )
    name = client_id.encode()
    body = b"\x00\x04MQTT\x04\x02\x00\x3c" + struct.pack(">H", len(name)) + name
    size = bytes([len(body)]) if len(body) < 128 else bytes([len(body) % 128 | 128, len(body) // 128])
    with channel:
        channel.sendall(b"\x10" + size + body)
        assert channel.recv(4)[3:] != b"\x00"


@pytest.mark.parametrize("door", ["mqtt", "https", "claims"])
@pytest.mark.parametrize("version", [0x0301, 0x0302, 0x0303])
def test_a05_downgrade_to_old_tls(target: RunningZone, door: str, version: int) -> None:
    assert _hello(getattr(target.file, door), version)[:1] in (ALERT, NOTHING)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("door", ["mqtt", "https", "claims"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2])
def test_a05_real_client_that_speaks_no_newer_tls(target: RunningZone, door: str, version: ssl.TLSVersion) -> None:
    place, port = enrolled(target), getattr(target.file, door)
    assert _shakes_hands(port, tls(place, place / "ca.pem"))
    old = tls(place, place / "ca.pem", minimum_version=ssl.TLSVersion.TLSv1, maximum_version=version)
    assert not _shakes_hands(port, old)


def _shakes_hands(port: int, context: ssl.SSLContext) -> bool:
    try:
        with socket.create_connection((HOST, port), 5) as raw:
            return context.wrap_socket(raw, server_hostname="localhost").version() == "TLSv1.3"
    except OSError:
        return False


def _hello(port: int, version: int) -> bytes:
    """Send a ClientHello by hand, for suites of every age, and return the record that comes back."""
    suites = b"\xc0\x2b\xc0\x2c\xc0\x23\xc0\x09\xc0\x0a\x00\x2f\x00\x35"
    groups = b"\x00\x0a\x00\x06\x00\x04\x00\x17\x00\x1d" + b"\x00\x0d\x00\x06\x00\x04\x04\x03\x02\x03"
    hello = struct.pack(">H", version) + bytes(range(32)) + b"\0"
    hello += struct.pack(">H", len(suites)) + suites + b"\x01\x00" + struct.pack(">H", len(groups)) + groups
    shake = b"\x01" + len(hello).to_bytes(3, "big") + hello
    with socket.create_connection((HOST, port), 5) as raw:
        raw.sendall(b"\x16\x03\x01" + struct.pack(">H", len(shake)) + shake)
        return raw.recv(16)


def test_a06_plain_tcp_to_the_tls_port(target: RunningZone) -> None:
    assert not greeted(target.file.mqtt, None, "a")


def test_a06_servers_certificate_as_a_cars(target: RunningZone, tmp_path: Path) -> None:
    chain, key = target.folder.keys / "server.pem", target.folder.keys / "server.key"
    at = datetime.now(UTC)
    place = held(Credentials(chain.read_bytes(), key.read_bytes(), "0", at, at), tmp_path)
    assert not greeted(target.file.mqtt, tls(place, enrolled(target) / "ca.pem"), "localhost")


@pytest.mark.parametrize("act", [["revoke"], ["vehicle", "retire"], ["vehicle", "rekey"]])
def test_a07_and_a08_car_that_lost_its_right_is_cut_within_a_second_and_does_not_come_back(
    target: RunningZone, car: Cars, act: list[str]
) -> None:
    enrolment, place = target.enrol(f"to be {act[-1]}d")
    own = car(place)
    assert own.connect() == "Success"
    assert carcloud(*act, own.id, "--data", str(target.data)).returncode == 0
    assert own.cut.wait(1)
    records = target.records()
    revoked_at = records.standing(enrolment.credentials.serial)[0].revoked_at
    records.close()
    assert revoked_at is not None
    assert own.cut_at - revoked_at.timestamp() < 1.0
    assert car(place).connect() == "Not authorized"


def test_a08_live_session_is_cut_within_a_second_of_a_word_to_the_api(target: RunningZone, car: Cars) -> None:
    own = car()
    assert own.connect() == "Success"
    (session,) = target.get(f"/v1/vehicles/{own.id}/identity")["sessions"]
    assert session["address"] == HOST
    began = time.time()
    assert target.client.post(f"/v1/vehicles/{own.id}/revoke").status_code == 200
    assert own.cut.wait(5)
    assert own.cut_at - began < 1.0
    assert car(own.place).connect() == "Not authorized"


def test_a09_clone_closes_the_older_session_and_there_is_one_only(car: Cars) -> None:
    older = car()
    assert older.connect() == "Success"
    newer = car(older.place)
    assert newer.connect() == "Success"
    assert older.cut.wait(2)
    assert not newer.cut.is_set()


def test_a09_clone_at_another_address_raises_an_alarm_that_stands_until_someone_acts(
    target: RunningZone, car: Cars
) -> None:
    place, calm = enrolled(target), car()
    for address in ("127.0.0.1", "127.0.0.2") * 3:
        one, back = car(place), car(calm.place)
        one.connect(address, 2)  # the broker itself makes a car wait that pushes itself out too fast
        assert back.connect() == "Success"  # another car that comes back as often, from one place
        back.stop()
    until(lambda: one.id in _suspected(target), "no clone is suspected", 15)
    assert calm.id not in _suspected(target)
    until(lambda: any(one.id in each["message"] for each in target.alarms()), "no alarm", 15)
    (alarm,) = [each for each in target.alarms() if one.id in each["message"]]
    assert alarm["code"] == "clone_suspected"
    assert "127.0.0" not in str(target.alarms())
    assert target.client.post(f"/v1/vehicles/{one.id}/rekey", json={}).status_code == 201
    assert one.id not in _suspected(target)
    until(lambda: not any(one.id in each["message"] for each in target.alarms()), "the alarm stays", 15)


def _suspected(zone: RunningZone) -> set[str]:
    return {each["vehicle"] for each in zone.get("/v1/identity")["clones"]}


def test_a10_publish_to_another_cars_topic(target: RunningZone, car: Cars) -> None:
    own, other = car(), car()
    for each in (own, other):
        assert each.connect() == "Success"
    before = refused(target).get("wrong_vehicle", 0)
    other.say(sample(20))
    until_seen(target, other.id, 20)
    for topic in (other.up(), other.up("event"), f"cc/1/default/{own.id}/dn/ack", f"cc/1/default/{other.id}/dn/ack"):
        own.say(sample(99), topic)
    own.say(sample(30))
    until_seen(target, own.id, 30)
    assert seen(target, other.id)["Vehicle.Speed"] == 20
    assert not other.heard
    assert not own.cut.is_set()
    until(lambda: refused(target).get("wrong_vehicle", 0) >= before + 4, "the refusals were not counted", 15)


@pytest.mark.parametrize(
    "topic",
    [
        *("#", "+/#", "+", "cc/#", "cc/1/default/+/dn/ack", "cc/1/default/{other}/dn/ack", "cc/1/default/{other}/up/#"),
        *("$SYS/#", "$MQTT/#", "$MQTT/sub/#", "$MQTT/rmsgs/#", "$JS/#", "$JS/API/#", "_INBOX/#", "governed/#"),
        *("cc/1/default/{own}/up/batch", "zone/#", "twin/#", "cc/1/default/{own}/../{other}/dn/ack"),
    ],
)
def test_a11_subscribe_beyond_its_own_topics(car: Cars, topic: str) -> None:
    own, other = car(), car()
    assert own.connect() == "Success"
    assert not own.subscribe(topic.format(own=own.id, other=other.id))


def test_a13_retained_message_is_not_read_by_another_car_and_touches_no_disk(target: RunningZone, car: Cars) -> None:
    own, other = car(), car()
    for each in (own, other):
        assert each.connect() == "Success"
    own.mqtt.publish(own.up(), b"retained-marker", 1, retain=True).wait_for_publish(5)
    assert not other.subscribe(own.up())
    assert not other.subscribe("cc/1/default/+/up/batch")
    assert not other.heard
    assert not _on_disk(target, b"retained-marker")


def test_a13_exactly_once_messages_are_refused_since_the_broker_would_store_them_apart(
    target: RunningZone, car: Cars
) -> None:
    own = car()
    assert own.connect() == "Success"
    own.mqtt.publish(own.up(), b"parked-marker", 2)
    assert own.cut.wait(5)
    assert not _on_disk(target, b"parked-marker")


def test_a14_forged_will_on_another_cars_topic(target: RunningZone, car: Cars) -> None:
    other = car()
    assert other.connect() == "Success"
    other.say(sample(21))
    until_seen(target, other.id, 21)
    forger = car(topic=other.up(), payload=b'{"samples":[{"signal":"Vehicle.Speed","value":98}]}', qos=1)
    assert forger.connect() == "Success"
    forger.mqtt.socket().close()  # type: ignore[union-attr]
    heir = car()
    assert heir.connect() == "Success"
    heir.say(sample(22))
    until_seen(target, heir.id, 22)
    time.sleep(0.5)
    assert seen(target, other.id)["Vehicle.Speed"] == 21


def test_a17_payload_over_the_limit_ends_the_session_and_the_zone_goes_on(target: RunningZone, car: Cars) -> None:
    for size in (140_000, 3_000_000):
        own = car()
        assert own.connect() == "Success"
        own.say(b"{" + b" " * size)
        assert own.cut.wait(5)
    own = car()
    assert own.connect() == "Success"
    own.say(sample(23))
    until_seen(target, own.id, 23)


@pytest.mark.parametrize(
    "topic",
    [
        *("up/other", "up/*", "up/>", "up/a.b", "up/batch.x", "up//batch", "up/batch/", "up/BATCH", "up", "dn/ack"),
        *("up/" + "x" * 5000, "up/ba\ntch", "up/батч", "../{other}/up/batch"),
    ],
)
def test_topic_beyond_the_alphabet_reaches_nothing_and_hurts_nobody(target: RunningZone, car: Cars, topic: str) -> None:
    own = car()
    assert own.connect() == "Success"
    own.say(sample(97, "Vehicle.TraveledDistance"), f"cc/1/default/{own.id}/{topic.format(other='a' * 16)}")
    own.say(sample(24))
    until(lambda: own.cut.is_set() or seen(target, own.id).get("Vehicle.Speed") == 24, "the car was stopped", 10)
    assert "Vehicle.TraveledDistance" not in seen(target, own.id)


@pytest.mark.parametrize("topic", ["cc/1/other/{own}/up/batch", "cc/2/default/{own}/up/batch", "cc.1.default.{own}.up"])
def test_topic_of_another_tenant_or_version(target: RunningZone, car: Cars, topic: str) -> None:
    own = car()
    assert own.connect() == "Success"
    own.say(sample(96), topic.format(own=own.id))
    own.say(sample(25))
    until_seen(target, own.id, 25)


@pytest.mark.parametrize(
    "topic", ["$JS/API/STREAM/DELETE/$MQTT_msgs", "$JS/API/STREAM/PURGE/$MQTT_msgs", "$MQTT/msgs/x", "governed/0"]
)
def test_a43_car_publishes_to_the_brokers_own_subjects(target: RunningZone, car: Cars, topic: str) -> None:
    own = car()
    assert own.connect() == "Success"
    own.say(b"", topic)
    own.say(sample(26))
    until_seen(target, own.id, 26)


def test_password_of_the_cloud_does_not_help_on_the_cars_door(target: RunningZone, car: Cars) -> None:
    for account, password in target.file.passwords.items():
        thief = car()
        thief.mqtt.username_pw_set(account, password)
        assert thief.connect() == "Not authorized"


def _on_disk(zone: RunningZone, marker: bytes) -> bool:
    """Say whether the bytes stand in any file of the broker's store."""
    files = [file for file in zone.folder.stream.rglob("*") if file.is_file()]
    return any(marker in file.read_bytes() for file in files)
