"""Nobody but a person with a registered key has a car do anything, whatever else was taken over."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from carcloud.backends.records.plans import KeptPlan
from carcloud.errors import CarcloudError, MissingError, NotAllowedError, TryLaterError
from carcloud.onboard.agent import Agent
from carcloud.onboard.drive import drive
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import Queue
from carcloud.onboard.simulator import Simulator
from carcloud.safety import tenants
from carcloud.safety.identity import Authority
from carcloud.safety.orders.authorisation import parse, sign
from carcloud.safety.orders.certificates import ORDER_PURPOSE
from carcloud.safety.orders.client import OrderSignerClient
from carcloud.safety.orders.keys import certify, is_certified, orders_folder
from carcloud.safety.orders.ledger import Finished
from carcloud.safety.orders.server import OrderServer, OrderSigners, order_signer
from carcloud.safety.orders.session import info_tag, point, seal_order, seal_result, session_key, shared
from carcloud.safety.people.register import MACHINE, Register
from carcloud.settings import Settings, catalogue_in_force
from carcloud.stream import subjects
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.order import (
    Fault,
    OrderError,
    Refused,
    SessionInfo,
    SessionRequest,
    SignedOrder,
    canonical,
    read,
)
from tests.attacks.attacker import seen, tls, until_seen
from tests.attacks.ordered import TABLE, OrderedCar, Person, Taken, as_sent, car_process
from tests.zone import RunningZone, carcloud, told, until

BODY = canonical({"command": "unlock", "expires_at": 1_990_000_000, "parameters": {}})


@pytest.fixture(scope="module")
def taken(victim: RunningZone) -> Iterator[Taken]:
    attacker = Taken(victim)
    yield attacker
    attacker.close()


@pytest.fixture(scope="module")
def ada(victim: RunningZone) -> Person:
    return Person(victim, "ada")


@pytest.fixture(scope="module")
def _car(victim: RunningZone) -> Iterator[OrderedCar]:
    made = OrderedCar(victim, "ordered")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def _other(victim: RunningZone) -> Iterator[OrderedCar]:
    made = OrderedCar(victim, "another")
    yield made
    made.stop()


@pytest.fixture
def car(_car: OrderedCar) -> OrderedCar:
    _car.body.done.clear()
    _car.body.speed_kmh = _car.body.takes_s = 0.0
    return _car


@pytest.fixture
def other(_other: OrderedCar) -> OrderedCar:
    _other.body.done.clear()
    return _other


def faults(answers: list[bytes]) -> list[Fault]:
    return [Fault(found.fault) for answer in answers if isinstance(found := read(answer), Refused)]


def test_order_of_a_registered_person_is_carried_out_once(taken: Taken, car: OrderedCar, ada: Person) -> None:
    order = taken.outcome(taken.give(*ada.authorise("unlock", car.id)))
    assert (order.state, order.reason, car.body.done) == ("done", None, ["unlock"])
    assert None not in (order.delivered_at, order.accepted_at, order.ended_at)


def test_ordered_car_reports_what_it_was_told_and_the_api_tells_it(taken: Taken, ada: Person, tmp_path: Path) -> None:
    enrolment, place = taken.zone.enrol("sim-000")
    vehicle, simulator, stop = enrolment.vehicle.id, Simulator(1, 4, time.time_ns() // 1000), threading.Event()
    simulator._cars["sim-000"].rest_s = 3600.0
    given = (simulator, {"sim-000": place}, tmp_path / "queues")
    driving = threading.Thread(target=drive, args=given, kwargs={"stop": stop, "body": simulator.body})
    driving.start()
    blinks = "Vehicle.Body.Lights.Hazard.IsSignaling"
    try:
        until(lambda: seen(taken.zone, vehicle).get(blinks) is False, "the car does not report")
        with taken.zone.client.stream("GET", "/v1/orders/events", params={"vehicle": vehicle}) as events:
            order = taken.outcome(taken.give(*ada.authorise("lights", vehicle, seconds=30)))
            assert order.state == "done"
            lines = (line for line in events.iter_lines() if line.startswith("data: "))
            told = [json.loads(next(lines).removeprefix("data: ")) for _ in range(3)]
        assert [(one["id"], one["state"]) for one in told] == [
            (order.id, "delivered"),
            (order.id, "accepted"),
            (order.id, "done"),
        ]
        until_seen(taken.zone, vehicle, True, blinks)
        assert taken.zone.get(f"/v1/orders/{order.id}")["state"] == "done"
        assert {one["name"] for one in taken.zone.get("/v1/orders/keys")["keys"]} >= {"ada"}
    finally:
        stop.set()
        driving.join()


def test_a34_order_without_second_factor_or_token_is_denied(taken: Taken, car: OrderedCar, ada: Person) -> None:
    text, signatures = ada.authorise("unlock", car.id)
    wanted = {"authorisation": text.decode(), "signatures": as_sent(signatures)}
    answer = taken.zone.client.post("/v1/orders", json=wanted)
    assert answer.status_code == 403, answer.text
    assert httpx.post(f"{taken.zone.url}/v1/orders", json=wanted, trust_env=False).status_code == 401
    digest = parse(text).digest
    assert digest not in {one["authorisation"] for one in taken.zone.get("/v1/orders")["orders"]}
    assert car.body.done == []


def test_a35_replayed_order_changes_nothing(taken: Taken, car: OrderedCar, ada: Person) -> None:
    taken.outcome(taken.give(*ada.authorise("unlock", car.id)))
    for message in taken.said(subjects.order("default", car.id)):
        if message[4] == SignedOrder.KIND:
            assert faults(taken.tell(car.id, message))
    assert car.body.done == ["unlock"]


def test_a36_expired_order_changes_nothing(taken: Taken, car: OrderedCar, ada: Person) -> None:
    text, signatures = ada.authorise("unlock", car.id, lasts_s=2)
    message = taken.signed(car.id, text, signatures)
    time.sleep(3.5)
    assert faults(taken.tell(car.id, message)) == [Fault.EXPIRED]
    with pytest.raises(NotAllowedError, match="expired"):
        taken.signer.sign(car.id, text.decode(), as_sent(signatures))
    assert car.body.done == []


def test_a37_order_of_an_older_epoch_changes_nothing(taken: Taken, car: OrderedCar, ada: Person) -> None:
    held = taken.signed(car.id, *ada.authorise("unlock", car.id))
    car.reboot()
    assert faults(taken.tell(car.id, held)) == [Fault.SESSION]
    taken.session(car.id)
    assert faults(taken.tell(car.id, held)) == [Fault.EPOCH]
    assert car.body.done == []


def test_a38_order_with_a_flipped_bit_changes_nothing(taken: Taken, car: OrderedCar, ada: Person) -> None:
    message = taken.signed(car.id, *ada.authorise("unlock", car.id))
    for at in range(len(message)):
        flipped = bytearray(message)
        flipped[at] ^= 1 << at % 8
        taken.run(taken.vehicles.publish(subjects.order("default", car.id), bytes(flipped)))
    assert taken.tell(car.id, message), "the car still answers"
    until(lambda: car.body.done == ["unlock"], "the true order is still carried out")


def test_a39_unlock_at_60_km_h_is_denied_in_the_cloud_and_in_the_car(
    taken: Taken, car: OrderedCar, ada: Person
) -> None:
    car.body.speed_kmh = 60.0
    _tell_speed(taken, car, 60.0)
    with pytest.raises(NotAllowedError, match="moves"):
        taken.give(*ada.authorise("unlock", car.id))
    text, signatures = ada.authorise("unlock", car.id)
    answers = taken.tell(car.id, taken.signed(car.id, text, signatures))
    assert taken.signer.result(car.id, answers[-1]).reason == "moving"
    assert car.body.done == []
    _tell_speed(taken, car, 0.0)


def _tell_speed(taken: Taken, car: OrderedCar, speed_kmh: float) -> None:
    door = f"https://localhost:{taken.zone.file.https}/v1/vehicles/{car.id}/batches"
    with httpx.Client(verify=tls(car.place, car.place / "ca.pem"), trust_env=False) as https:
        https.post(door, json={"samples": [{"signal": "Vehicle.Speed", "value": speed_kmh}]})
    until_seen(taken.zone, car.id, speed_kmh)


def test_taken_over_cloud_cannot_forge_an_order(taken: Taken, car: OrderedCar, ada: Person) -> None:
    eve = ec.generate_private_key(ec.SECP256R1())
    text, signatures = ada.authorise("lock", car.id)
    forged = text.replace(b'"lock"', b'"unlock"')
    for wrong in ([sign(eve, text)], [replace(sign(eve, forged), key=signatures[0].key)], signatures, []):
        with pytest.raises(NotAllowedError):
            taken.signer.sign(car.id, forged.decode(), as_sent(wrong))
    for certificate, authority, key in _roles_of_an_attacker(taken.zone):
        asked = SessionRequest(1, "fleet", os.urandom(16), certificate, authority)
        assert faults(taken.tell(car.id, asked.encode())) == [Fault.ROLE]
        secret = session_key(os.urandom(32), car.id, 1, "fleet")
        order = seal_order(secret, car.id, os.urandom(16), 1, "fleet", car.agent._orders.epoch, 999, 2**31, BODY)
        assert faults(taken.tell(car.id, order.encode())) in ([Fault.SEAL], [Fault.SESSION])
        assert key.curve.name == "secp256r1"
    assert car.body.done == []


def _roles_of_an_attacker(zone: RunningZone) -> Iterator[tuple[bytes, bytes, ec.EllipticCurvePrivateKey]]:
    """Yield certificates that the gateway's and the zone's own keys can make: server, vehicle, and self-made."""
    chain = x509.load_pem_x509_certificates((zone.folder.keys / "server.pem").read_bytes())
    server_key = serialization.load_pem_private_key((zone.folder.keys / "server.key").read_bytes(), None)
    assert isinstance(server_key, ec.EllipticCurvePrivateKey)
    yield chain[0].public_bytes(Encoding.DER), chain[1].public_bytes(Encoding.DER), server_key
    authority, key = Authority(zone.folder.keys), ec.generate_private_key(ec.SECP256R1())
    uri: list[x509.GeneralName] = [x509.UniformResourceIdentifier("spiffe://default/order/fleet")]
    for name in ("vehicle-ca", "server-ca"):
        issuer, issuer_key = authority._load(name)
        leaf = _self_made(key, issuer.subject, issuer_key, uri)
        yield leaf.public_bytes(Encoding.DER), issuer.public_bytes(Encoding.DER), key
    leaf = _self_made(key, x509.Name([]), key, uri)
    yield leaf.public_bytes(Encoding.DER), leaf.public_bytes(Encoding.DER), key


def _self_made(
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    names: list[x509.GeneralName],
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(issuer)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ORDER_PURPOSE]), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def test_taken_over_cloud_cannot_redirect_an_order(
    taken: Taken, car: OrderedCar, other: OrderedCar, ada: Person
) -> None:
    text, signatures = ada.authorise("unlock", car.id)
    with pytest.raises(NotAllowedError, match="does not name"):
        taken.signer.sign(other.id, text.decode(), as_sent(signatures))
    taken.session(other.id)
    message = taken.signed(car.id, text, signatures)
    assert faults(taken.tell(other.id, message)) == [Fault.EPOCH]
    moved = replace(SignedOrder.decode(message), epoch=other.agent._orders.epoch)
    assert faults(taken.tell(other.id, moved.encode())) == [Fault.SEAL]
    request = taken.signer.begin(car.id, 1, "fleet")
    (answer,) = taken.tell(other.id, request)[:1]
    with pytest.raises(NotAllowedError, match="another car"):
        taken.signer.open(car.id, answer)
    assert (car.body.done, other.body.done) == ([], [])


def test_taken_over_cloud_cannot_extend_or_reorder_an_order(taken: Taken, car: OrderedCar, ada: Person) -> None:
    text, signatures = ada.authorise("unlock", car.id)
    longer = text.replace(b'"expires_at":1', b'"expires_at":2', 1)
    with pytest.raises(CarcloudError):
        taken.signer.sign(car.id, longer.decode(), as_sent(signatures))
    message = SignedOrder.decode(taken.signed(car.id, text, signatures))
    for changed in (replace(message, expires_at=2**31), replace(message, counter=message.counter + 5)):
        assert faults(taken.tell(car.id, changed.encode())) == [Fault.SEAL]
    car.reboot()
    taken.session(car.id)
    carried_over = replace(message, epoch=car.agent._orders.epoch)
    assert faults(taken.tell(car.id, carried_over.encode())) == [Fault.SEAL]
    assert car.body.done == []


def test_taken_over_cloud_cannot_have_an_order_carried_out_twice(taken: Taken, car: OrderedCar, ada: Person) -> None:
    text, signatures = ada.authorise("unlock", car.id)
    for message in [taken.signed(car.id, text, signatures) for _ in range(3)]:
        taken.tell(car.id, message)
    assert car.body.done == ["unlock"]
    again = until(lambda: taken.signer.sign(car.id, text.decode(), as_sent(signatures)), "no answer")
    assert again == Finished("done", None), "the order signer signs no order that is done"


def test_taken_over_broker_cannot_forge_what_a_car_says(
    taken: Taken, car: OrderedCar, other: OrderedCar, ada: Person
) -> None:
    car.body.takes_s = 2.0
    order = taken.give(*ada.authorise("unlock", car.id))
    until(lambda: taken.records.orders.order(order.id).state == "accepted", "the order was not accepted")
    message = SignedOrder.decode(taken.said(subjects.order("default", car.id))[-1])
    for key in (bytes(32), session_key(os.urandom(32), car.id, 1, "fleet")):
        said = seal_result(key, car.id, message, 2, canonical({"reason": "moving", "state": "rejected"}))
        taken.claim(car.id, said.encode())
    for fault in Fault:
        taken.claim(car.id, Refused(1, "fleet", message.order, int(fault)).encode())
    assert taken.outcome(order).state == "done"
    assert car.body.done == ["unlock"]
    forger = ec.generate_private_key(ec.SECP256R1())
    request = SessionRequest.decode(taken.signer.begin(car.id, 1, "fleet"))
    true = SessionInfo.decode(taken.tell(car.id, request.encode())[0])
    role_key = x509.load_der_x509_certificate(request.certificate).public_key()
    assert isinstance(role_key, ec.EllipticCurvePublicKey)
    secret = session_key(shared(forger, role_key), car.id, 1, "fleet")
    lie = replace(true, point=point(forger.public_key()), clock=true.clock + 10_000)
    lie = replace(lie, tag=info_tag(secret, car.id, lie.challenge, lie.signed))
    with pytest.raises(NotAllowedError, match="not signed"):
        taken.signer.open(car.id, lie.encode())
    assert other.body.done == []


def test_taken_over_cloud_cannot_put_another_plan_in_place_of_the_ordered_one(
    victim: RunningZone, taken: Taken, ada: Person
) -> None:
    enrolment, place = victim.enrol("collecting")
    car, queue = enrolment.vehicle.id, Queue(victim.data / "collecting.queue")
    plans = Plans(queue, {"Vehicle.Speed": Signal("Vehicle.Speed", "float", "km/h")}, ["Vehicle.Speed"])
    agent = Agent(place, queue, TABLE, None, plans)
    agent.start()
    try:
        until(lambda: agent.connected, "the car did not connect")
        said = {"plan": "speed", "version": 1, "signals": ["Vehicle.Speed"], "purpose": "research"}
        said |= {"basis": "legitimate-interest", "budget": "1 MB", "until": "2028-01-01T00:00:00Z", "priority": 5}
        ordered, forged = canonical(said), canonical(said | {"budget": "1 GB"})
        digest, now = hashlib.sha256(ordered).hexdigest(), datetime.now(UTC)
        kept = KeptPlan("default", "speed", 1, digest, forged, now + timedelta(days=1), "machine", now)
        taken.records.plans.add(kept)  # the records say that what was ordered is the forged one
        order = taken.give(*ada.authorise("plan-take", car, plan=digest))
        document = subjects.plan("default", car)
        until(lambda: len(taken.said(document)) > 2, "the courier does not offer the plan again")
        assert set(taken.said(document)) == {forged}
        assert plans.current() == []
        taken.run(taken.vehicles.publish(document, ordered))
        assert taken.outcome(order).state == "done", "whoever brings it, the document that was ordered is taken"
        assert [one.digest for one in plans.current()] == [digest]
    finally:
        agent.stop()


def test_a33_person_of_one_tenant_orders_nothing_of_another(taken: Taken) -> None:
    zone = taken.zone
    for tenant in ("ours", "theirs"):
        wanted, catalogue = tenants.Wanted(tenant), catalogue_in_force(Settings(), zone.folder)
        tenants.create(taken.records, zone.folder.keys, "default", catalogue, wanted, MACHINE)
        told(zone, subjects.TENANT, tenant.encode())
        folder = orders_folder(zone.folder.keys, tenant, "default")
        until(partial(is_certified, folder), "the tenant got no keys of orders")
    _, token = Register(taken.records).make_token(None, "test", ["operator"], 1, "ours")
    eve, bob = Person(zone, "eve", tenant="ours"), Person(zone, "bob", tenant="theirs")
    car = OrderedCar(zone, "theirs", "theirs")
    try:
        with pytest.raises(MissingError, match="No vehicle"):
            taken.give(*eve.authorise("lock", car.id), tenant="ours")
        eve.tenant = "theirs"
        posing, signatures = eve.authorise("lock", car.id)
        for tenant, why in (("ours", "another tenant"), ("theirs", "does not know")):
            with pytest.raises(NotAllowedError, match=why):
                taken.client.of(tenant).sign(car.id, posing.decode(), as_sent(signatures))
        with pytest.raises(NotAllowedError, match="does not know"):
            taken.give(posing, signatures, tenant="theirs")
        for tenant in ("ours", "default"):
            asked = taken.client.of(tenant).begin(car.id, 1, "fleet")
            assert faults(taken.tell(car.id, asked, "theirs")) == [Fault.ROLE]
        assert car.body.done == []
        assert taken.outcome(taken.give(*bob.authorise("lock", car.id), tenant="theirs")).state == "done"
        assert car.body.done == ["lock"]
        tenants.suspend(taken.records, "default", "theirs", MACHINE)
        with pytest.raises(NotAllowedError, match="suspended"):
            taken.give(*bob.authorise("lock", car.id), tenant="theirs")
    finally:
        car.stop()
    until(partial(_denied, zone, token, car.id), "the refusal is not in the log of whose person it was")


def _denied(zone: RunningZone, token: str, vehicle: str) -> bool:
    headers = {"authorization": f"Bearer {token}"}
    leaves = httpx.get(f"{zone.url}/v1/audit?limit=1000", headers=headers, trust_env=False).json()["leaves"]
    return any((leaf["object"], leaf["outcome"]) == (f"vehicle:{vehicle}", "denied") for leaf in leaves)


def test_courier_killed_in_mid_order_ends_it_truly_and_once(taken: Taken, car: OrderedCar, ada: Person) -> None:
    car.body.takes_s = 1.5
    order = taken.give(*ada.authorise("unlock", car.id))
    until(lambda: car.body.done, "the car did not begin")
    taken.zone.kill("orders")
    assert taken.outcome(order, 60).state == "done"
    assert car.body.done == ["unlock"]


def test_order_signer_killed_in_mid_order_ends_it_truly_and_once(taken: Taken, car: OrderedCar, ada: Person) -> None:
    car.body.takes_s = 1.5
    order = taken.give(*ada.authorise("unlock", car.id))
    until(lambda: car.body.done, "the car did not begin")
    taken.zone.kill("order-signer")
    assert taken.outcome(order, 60).state == "done"
    assert car.body.done == ["unlock"]


def test_car_killed_in_mid_order_says_that_nobody_knows_and_does_not_repeat_it(
    taken: Taken, car: OrderedCar, ada: Person, tmp_path: Path
) -> None:
    car.stop()
    told = tmp_path / "told"
    process = car_process(car, told, 30)
    try:
        order = taken.give(*ada.authorise("unlock", car.id))
        until(told.exists, "the car did not begin")
        process.kill()
        process.wait()
        process = car_process(car, told, 0)
        ended = taken.outcome(order, 60)
        assert (ended.state, ended.reason) == ("failed", "interrupted")
        assert told.read_text() == "unlock\n"
    finally:
        process.kill()
        process.wait()
        car.start()


def test_order_to_a_car_that_never_comes_expires_as_not_delivered(taken: Taken, other: OrderedCar, ada: Person) -> None:
    other.stop()
    order = taken.give(*ada.authorise("lock", other.id, lasts_s=1))
    ended = taken.outcome(order)
    other.start()
    assert (ended.state, ended.reason) == ("expired", "not_delivered")
    assert other.body.done == []


def test_order_waits_for_a_car_and_is_given_on_its_hello(taken: Taken, other: OrderedCar, ada: Person) -> None:
    other.stop()
    order = taken.give(*ada.authorise("lock", other.id))
    time.sleep(1)
    assert taken.records.orders.order(order.id).state == "queued"
    other.start()
    assert taken.outcome(order).state == "done"
    assert other.body.done == ["lock"]


def test_command_line_orders_with_a_key_of_its_own(taken: Taken, other: OrderedCar, tmp_path: Path) -> None:
    key, data = tmp_path / "own.key", str(taken.zone.data)
    made = carcloud(
        "operator", "add", "own", "--role", "owner", "--vehicle", other.id, "--out", str(key), "--data", data
    )
    assert made.returncode == 0, made.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    said = carcloud("order", "lock", other.id, "--role", "owner", "--key", str(key), "--wait", "--data", data)
    assert said.returncode == 0, said.stderr
    assert " done" in said.stdout
    assert other.id in carcloud("order", "list", "--data", data).stdout
    assert other.body.done == ["lock"]


def test_order_signer_with_a_folder_of_its_own_signs_what_the_cars_take(
    taken: Taken, other: OrderedCar, tmp_path: Path
) -> None:
    keys, path, data = tmp_path / "own", Path(tempfile.mkdtemp()) / "s", str(taken.zone.data)
    made = carcloud("operator", "init", "--keys", str(keys), "--data", data)
    assert made.returncode == 0, made.stderr
    person = Person(taken.zone, "eva", folder=keys)
    command = [sys.executable, "-m", "carcloud", "order-signer", "--keys", str(keys), "--socket", str(path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    client = OrderSignerClient(lambda: path).of("default")
    try:
        until(lambda: _people(path) is not None, "it does not listen")
        (answer,) = taken.tell(other.id, client.begin(other.id, 1, "fleet"))[:1]
        client.open(other.id, answer)
        text, signatures = person.authorise("lock", other.id)
        message = client.sign(other.id, text.decode(), as_sent(signatures))
        assert isinstance(message, bytes)
        taken.tell(other.id, message)
        until(lambda: other.body.done == ["lock"], "the car did not do it")
        with pytest.raises(NotAllowedError, match="not know"):
            taken.signer.sign(other.id, text.decode(), as_sent(signatures))
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


@pytest.mark.skipif(os.getuid() != 0, reason="only root can run the order signer as another user")
def test_order_signer_of_another_user_answers_those_it_knows_only() -> None:
    nobody = 65534
    place = Path(tempfile.mkdtemp(prefix="carcloud-signer-"))
    place.chmod(0o755)
    keys = place / "keys"
    certify(keys, Authority(place / "zone"), "default")
    order_signer(keys).ledger.close()  # what it loads is loaded while this process may still read it
    for path in (place, keys, *keys.rglob("*")):
        os.chown(path, nobody, nobody)
    strict, open_ = place / "strict.sock", place / "open.sock"
    if (child := os.fork()) == 0:
        try:
            os.setgid(nobody)
            os.setuid(nobody)
            for path, users in ((strict, ()), (open_, (0,))):
                listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                listener.bind(str(path))
                path.chmod(0o666)
                OrderServer(OrderSigners([order_signer(keys)]), listener, users).start()
            signal.pause()
        finally:
            os._exit(1)
    try:
        until(lambda: open_.exists() and open_.stat().st_uid == nobody, "it does not listen")
        with pytest.raises(TryLaterError):
            OrderSignerClient(lambda: strict).of("default").people()
        assert until(lambda: _people(open_) == [], "it does not answer")
        with pytest.raises(OrderError):
            SessionInfo.decode(OrderSignerClient(lambda: open_).of("default").begin("a1", 1, "fleet"))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _people(path: Path) -> object:
    try:
        return OrderSignerClient(lambda: path).of("default").people()
    except TryLaterError:
        return None
