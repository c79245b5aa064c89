"""Joining and renewing: claims stolen, replayed and guessed, requests that ask for more, doors without certificates."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from carcloud.backends.records import Certificate
from carcloud.gateway.enrolment import Endpoints, Enrolment, write_credentials
from carcloud.safety.claim import new_token, request_for
from carcloud.safety.identity import Authority
from tests.attacks.attacker import HOST, Car, hung_up, sample, second_door, seen, tls, until_seen
from tests.attacks.conftest import enrolled
from tests.csr import wrong_requests
from tests.zone import ROOT, RunningZone, until

_vins = count(1)
PKCS10 = {"content-type": "application/pkcs10"}


@pytest.fixture(scope="module")
def joining(victim: RunningZone) -> Iterator[httpx.Client]:
    """Give a stranger at the claims' door, who has no certificate."""
    trust = ssl.create_default_context(cafile=victim.folder.keys / "authority" / "server-trust.pem")
    with httpx.Client(
        base_url=f"https://localhost:{victim.file.claims}", verify=trust, trust_env=False, timeout=15, headers=PKCS10
    ) as client:
        yield client


def claimed(zone: RunningZone, **more: object) -> tuple[str, str]:
    """Let a car join; return its id and the claim's token."""
    answer = zone.client.post("/v1/claims", json={"vin": f"WBA{next(_vins):014}"} | more)
    assert answer.status_code == 201, answer.text
    return answer.json()["vehicle"], answer.json()["token"]


def stranger(zone: RunningZone, address: str) -> httpx.Client:
    """Return a stranger at the claims' door who comes from an address of his own."""
    trust = ssl.create_default_context(cafile=zone.folder.keys / "authority" / "server-trust.pem")
    way = httpx.HTTPTransport(verify=trust, local_address=address)
    return httpx.Client(
        base_url=f"https://localhost:{zone.file.claims}", transport=way, trust_env=False, timeout=15, headers=PKCS10
    )


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def ask(door: httpx.Client, vehicle: str, token: str) -> httpx.Response:
    return door.post("/v1/est/enroll", content=request_for(new_key(), vehicle, token))


def aged(zone: RunningZone, days: float) -> tuple[str, Path]:
    """Enrol a car so many days ago; return its id and folder."""
    enrolment, place = zone.enrol(f"aged {next(_vins)}")
    past = Authority(zone.folder.keys, lambda: datetime.now(UTC) - timedelta(days=days))
    old = past.issue_vehicle(enrolment.vehicle.id, "default")
    records = zone.records()
    records.add_certificate(Certificate(old.serial, enrolment.vehicle.id, old.issued_at, old.not_after))
    records.close()
    endpoints = Endpoints("localhost", zone.file.mqtt, f"https://localhost:{zone.file.https}")
    write_credentials(Enrolment(enrolment.vehicle, old, endpoints, past.server_trust.read_bytes()), place)
    return enrolment.vehicle.id, place


def test_a15_used_claim_is_replayed(victim: RunningZone, joining: httpx.Client) -> None:
    vehicle, token = claimed(victim)
    body = request_for(new_key(), vehicle, token)
    assert joining.post("/v1/est/enroll", content=body).status_code == 201
    for again in (body, request_for(new_key(), vehicle, token)):
        answer = joining.post("/v1/est/enroll", content=again)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert len(victim.get(f"/v1/vehicles/{vehicle}/identity")["certificates"]) == 1


def test_a15_claim_overheard_is_put_under_another_key(victim: RunningZone, joining: httpx.Client) -> None:
    vehicle, token = claimed(victim)
    overheard = x509.load_pem_x509_csr(request_for(new_key(), vehicle, token))
    stolen = overheard.attributes.get_attribute_for_oid(x509.oid.AttributeOID.CHALLENGE_PASSWORD).value
    key = new_key()
    forged = x509.CertificateSigningRequestBuilder().subject_name(overheard.subject)
    forged = forged.add_attribute(x509.oid.AttributeOID.CHALLENGE_PASSWORD, stolen)
    answer = joining.post("/v1/est/enroll", content=forged.sign(key, SHA256()).public_bytes(Encoding.DER))
    assert (answer.status_code, answer.json()["error"]["message"]) == (403, "The claim is wrong.")
    assert ask(joining, vehicle, token).status_code == 201


def test_a15_claim_that_was_replaced_or_whose_car_was_revoked(victim: RunningZone, joining: httpx.Client) -> None:
    vehicle, old = claimed(victim)
    newer = victim.client.post(f"/v1/vehicles/{vehicle}/rekey", json={}).json()["token"]
    assert ask(joining, vehicle, old).status_code == 410
    assert victim.client.post(f"/v1/vehicles/{vehicle}/revoke").status_code == 200
    assert ask(joining, vehicle, newer).status_code == 410


def test_a16_request_that_asks_for_more_or_proves_nothing(victim: RunningZone) -> None:
    vehicle, _ = claimed(victim)
    for number, (wrong, body) in enumerate(wrong_requests(vehicle)):
        with stranger(victim, f"127.0.1.{number + 1}") as door:  # each from an address of its own, or it had to wait
            answer = door.post("/v1/est/enroll", content=body)
            assert answer.status_code in (400, 413), (wrong, answer.text)
            assert answer.json()["error"]["code"] == "input"
    assert victim.get(f"/v1/vehicles/{vehicle}")["state"] == "claimable"


def test_a16_claim_for_another_car_and_without_a_claim(victim: RunningZone) -> None:
    vehicle, token = claimed(victim)
    other, _ = claimed(victim)
    with stranger(victim, "127.0.2.1") as door:
        assert ask(door, other, token).status_code == 403
        assert door.post("/v1/est/enroll", content=request_for(new_key(), vehicle)).status_code == 400


def test_guessing_claims_has_to_wait_and_keeps_nobody_else_out(victim: RunningZone, joining: httpx.Client) -> None:
    vehicle, token = claimed(victim)
    with stranger(victim, "127.0.3.1") as guesser:
        answers = [ask(guesser, vehicle, new_token(vehicle)).status_code for _ in range(15)]
        assert set(answers) == {403, 429}
        assert answers[-1] == 429
    assert ask(joining, vehicle, token).status_code == 201


def test_claims_door_has_one_route_and_asks_for_nothing_else(victim: RunningZone, joining: httpx.Client) -> None:
    for path in ("/", "/v1/est/renew", "/v1/vehicles/aaaaaaaaaaaaaaaa/batches", "/v1/identity", "/v1/claims"):
        assert joining.post(path, content=b"x").status_code == 404
    assert joining.get("/v1/est/enroll").status_code == 405
    assert joining.post("/v1/est/enroll", content=b" " * 5000).status_code == 413


def test_second_door_still_ends_a_stranger_in_the_handshake_on_every_path(victim: RunningZone) -> None:
    place = enrolled(victim)
    for path in ("/v1/est/renew", "/v1/est/enroll", "/"):
        with second_door(victim, tls(None, place / "ca.pem")) as door, pytest.raises(httpx.TransportError):
            door.post(path, content=b"x")


def test_one_address_cannot_take_all_connections_of_the_claims_door(victim: RunningZone) -> None:
    context = ssl.create_default_context(cafile=victim.folder.keys / "authority" / "server-trust.pem")
    with ExitStack() as stack:
        lines = []
        for _ in range(60):
            raw = socket.create_connection((HOST, victim.file.claims), 10, source_address=("127.0.4.1", 0))
            with suppress(OSError):
                lines.append(stack.enter_context(context.wrap_socket(raw, server_hostname="localhost")))
        assert sum(hung_up(line, 0.1) for line in lines) + 60 - len(lines) >= 28  # two gateways, 16 each
        vehicle, token = claimed(victim)
        with stranger(victim, "127.0.4.2") as door:
            assert ask(door, vehicle, token).status_code == 201


def test_renewal_too_early_with_the_old_key_or_for_another_car(victim: RunningZone) -> None:
    vehicle, place = aged(victim, 10)
    with second_door(victim, tls(place, place / "ca.pem")) as door:
        early = door.post("/v1/est/renew", content=request_for(new_key()))
        assert (early.status_code, early.json()["error"]["do"][:14]) == (409, "Ask again from")
    vehicle, place = aged(victim, 25)
    other = claimed(victim)[0]
    with second_door(victim, tls(place, place / "ca.pem")) as door:
        assert door.post("/v1/est/renew", content=request_for(new_key(), other)).status_code == 400
        for wrong, body in wrong_requests(vehicle):
            assert door.post("/v1/est/renew", content=body).status_code in (400, 413), wrong
        assert door.post("/v1/est/renew", content=request_for(new_key(), vehicle)).status_code == 201


def test_renewal_by_a_revoked_and_by_a_quarantined_car(victim: RunningZone) -> None:
    for act, status in (("revoke", 403), ("quarantine", 503)):
        vehicle, place = aged(victim, 25)
        with second_door(victim, tls(place, place / "ca.pem")) as door:
            assert victim.client.post(f"/v1/vehicles/{vehicle}/{act}").status_code == 200
            until(
                lambda door=door, status=status: (
                    door.post("/v1/est/renew", content=request_for(new_key())).status_code == status
                ),
                f"{act} has no effect",
                5,
            )


def test_gateway_comes_back_and_renews_where_it_cannot_read_any_authoritys_key(victim: RunningZone) -> None:
    """The signer holds the keys since its start; then they are taken away, and the gateways are killed."""
    vehicle, place = aged(victim, 25)
    keys = [victim.folder.keys / "authority" / f"{name}.key" for name in ("root", "vehicle-ca", "server-ca")]
    away = [key.rename(key.with_suffix(".away")) for key in keys]
    try:
        before = {name: pid for name, pid in victim.children().items() if name.startswith("gateway")}
        for name in before:
            victim.kill(name)
        until(lambda: _replaced(victim, before), "the gateways do not come back without the authority's keys")
        with second_door(victim, tls(place, place / "ca.pem")) as door:
            renewed = until(lambda: _renewed(door), "the door stays closed")
        assert (renewed.status_code, renewed.json()["vehicle"]["id"]) == (201, vehicle)
    finally:
        for hidden, key in zip(away, keys, strict=True):
            hidden.rename(key)


def _replaced(zone: RunningZone, before: dict[str, int]) -> bool:
    now = zone.children()
    return all(now.get(name, pid) != pid for name, pid in before.items())


def _renewed(door: httpx.Client) -> httpx.Response | None:
    try:
        answer = door.post("/v1/est/renew", content=request_for(new_key()))
    except httpx.TransportError:
        return None
    return answer if answer.status_code != 503 else None


def test_quarantined_car_reaches_neither_twin_nor_lake_and_nothing_is_lost(victim: RunningZone) -> None:
    place = enrolled(victim)
    with Car(victim, place) as car:
        car.say(sample(11))
        until_seen(victim, car.id, 11)
        assert victim.client.post(f"/v1/vehicles/{car.id}/quarantine").status_code == 200
        assert car.cut.wait(1)
    numbered = sample(12) | {"queue": "00000000000000aa", "number": 1}
    with Car(victim, place) as car:
        assert car.subscribe(f"cc/1/default/{car.id}/dn/ack")
        car.say(numbered)
        car.say({"event": "hello", "queue": "00000000000000aa"}, car.up("event"))
        until(lambda: any(b"not_enrolled" in payload for _, payload in car.heard), "the car is told nothing", 10)
        assert seen(victim, car.id)["Vehicle.Speed"] == 11
        assert not any(b'"number":1' in payload for _, payload in car.heard)
        assert victim.client.post(f"/v1/vehicles/{car.id}/release").status_code == 200
        assert car.cut.wait(1)
    with Car(victim, place) as car:
        car.say(numbered)
        until_seen(victim, car.id, 12)


def test_a57_dependency_with_a_wrong_hash_is_not_installed(tmp_path: Path) -> None:
    """Build two packages, pin them by hash, change one digit: pip must take the one and refuse the other."""
    wheel = _package(tmp_path)
    digest = (
        subprocess.run([sys.executable, "-m", "pip", "hash", str(wheel)], capture_output=True, text=True, check=True)
        .stdout.rpartition("sha256:")[2]
        .strip()
    )
    flipped = ("0" if digest[0] != "0" else "1") + digest[1:]
    for hash_, fails in ((digest, False), (flipped, True)):
        pinned = tmp_path / "requirements.txt"
        pinned.write_text(f"tampered==1.0 --hash=sha256:{hash_}\n")
        found = subprocess.run(
            [
                *(sys.executable, "-m", "pip", "install", "--require-hashes", "--no-index", "--no-deps"),
                *("--find-links", str(tmp_path), "--target", str(tmp_path / hash_[:4]), "-r", str(pinned)),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (found.returncode != 0) == fails, found.stderr
        assert ("DO NOT MATCH THE HASHES" in found.stderr) == fails
        assert (tmp_path / hash_[:4] / "tampered.py").exists() != fails


def test_a57_every_dependency_is_pinned_by_hash_and_make_installs_by_hash_only() -> None:
    entries = (ROOT / "requirements.txt").read_text().replace("\\\n", " ").splitlines()
    pinned = [entry for entry in entries if entry.strip() and not entry.startswith("#")]
    assert len(pinned) > 50
    assert not [entry for entry in pinned if "==" not in entry or "--hash=sha256:" not in entry]
    assert "pip install --quiet --require-hashes --requirement requirements.txt" in (ROOT / "Makefile").read_text()


def _package(folder: Path) -> Path:
    """Write a wheel by hand: no build, no network."""
    wheel = folder / "tampered-1.0-py3-none-any.whl"
    meta = "Metadata-Version: 2.1\nName: tampered\nVersion: 1.0\n"
    about = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files = {"tampered.py": "", "tampered-1.0.dist-info/METADATA": meta, "tampered-1.0.dist-info/WHEEL": about}
    files["tampered-1.0.dist-info/RECORD"] = "".join(
        f"{name},,\n" for name in [*files, "tampered-1.0.dist-info/RECORD"]
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return wheel
