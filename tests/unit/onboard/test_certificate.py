import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from hypothesis import given
from hypothesis import strategies as st

from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.gateway.https import ssl_context
from carcloud.onboard.certificate import LONGEST_WAIT_S, Renewal, join, renew, renewal_at, wait_s
from carcloud.onboard.credentials import FILES, Credentials, settle
from carcloud.safety.claim import new_token, proves, verifier_of
from carcloud.safety.identity import Authority, Trust, renewable_from
from carcloud.safety.keys import RENEWED
from carcloud.safety.request import read_request

VEHICLE = "abcdefghijklmnop"
CARD = {"id": VEHICLE, "tenant": "default", "mqtt": {"host": "localhost", "port": 1}}


class Door:
    """The smallest zone: real TLS, a real authority, and an answer that a test may change."""

    def __init__(self, keys: Path) -> None:
        self.authority = Authority(keys)
        self.authority.server_certificate(["localhost"])
        self.trust = Trust(keys)
        self.asked: list[tuple[str, bytes]] = []
        self.instead: tuple[int, bytes] | None = None
        door = self

        class Answers(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                door.asked.append((self.path, body))
                status, answer = door.instead or (201, door.given(body))
                self.send_response(status)
                self.send_header("content-length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Answers)
        self.server.socket = ssl_context(self.trust, "1.3", ask=False).wrap_socket(self.server.socket, server_side=True)
        self.url = f"https://localhost:{self.server.server_port}"

    def given(self, body: bytes) -> bytes:
        key = load_der_public_key(read_request(body).key)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        chain = self.authority.issue_for(key, VEHICLE, "default").chain.decode()
        card = CARD | {"https": {"url": self.url}}
        return json.dumps({"vehicle": card, "certificate": chain, "ca": self.trust.servers.read_text()}).encode()


@contextmanager
def open_door(keys: Path) -> Iterator[Door]:
    door = Door(keys)
    thread = threading.Thread(target=door.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield door
    finally:
        door.server.shutdown()
        door.server.server_close()
        thread.join()


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    with open_door(tmp_path / "keys") as door:
        yield door


@pytest.fixture
def car(door: Door, tmp_path: Path) -> Credentials:
    return join(new_token(VEHICLE), door.url, door.trust.servers, tmp_path / "car")


def fits(folder: Path) -> x509.Certificate:
    """Return the certificate in a folder, which must be the key's."""
    leaf = x509.load_pem_x509_certificate((folder / "vehicle.pem").read_bytes())
    key = serialization.load_pem_private_key((folder / "vehicle.key").read_bytes(), None)
    assert key.public_key() == leaf.public_key()
    Credentials.read(folder).context()
    return leaf


def test_car_joins_with_a_key_of_its_own_that_never_leaves_it(door: Door, tmp_path: Path) -> None:
    token = new_token(VEHICLE)
    credentials = join(token, door.url, door.trust.servers, tmp_path / "car")
    (path, body) = door.asked[0]
    request = read_request(body)
    assert (path, request.vehicle) == ("/v1/est/enroll", VEHICLE)
    assert request.proof is not None
    assert proves(verifier_of(token), request.proof, request.key)
    assert token.partition(".")[2].encode() not in body
    assert fits(tmp_path / "car").public_key() == load_der_public_key(request.key)
    assert (credentials.vehicle, credentials.https) == (VEHICLE, door.url)
    assert {file.name for file in (tmp_path / "car").iterdir()} == set(FILES)
    assert (tmp_path / "car" / "vehicle.key").stat().st_mode & 0o077 == 0


def test_car_speaks_to_no_zone_but_its_own(door: Door, tmp_path: Path) -> None:
    foreign = Authority(tmp_path / "rogue")
    with pytest.raises(TryLaterError, match="gave no answer"):
        join(new_token(VEHICLE), door.url, foreign.server_trust, tmp_path / "car")
    assert not door.asked
    assert not (tmp_path / "car").exists()


@pytest.mark.parametrize("address", ["", "http://localhost:1", "localhost", "https://", "https://localhost:x"])
def test_address_that_is_none_is_refused(door: Door, tmp_path: Path, address: str) -> None:
    with pytest.raises(InputError, match="no address"):
        join(new_token(VEHICLE), address, door.trust.servers, tmp_path / "car")


def test_folder_of_another_car_is_refused_before_the_claim_is_used(door: Door, tmp_path: Path) -> None:
    (tmp_path / "vehicle.json").write_text('{"id": "other"}')
    with pytest.raises(ConflictError, match="another car's"):
        join(new_token(VEHICLE), door.url, door.trust.servers, tmp_path)
    assert not door.asked


@pytest.mark.parametrize(
    ("code", "family"),
    [("conflict", ConflictError), ("not_allowed", NotAllowedError), ("missing", MissingError), ("x", TryLaterError)],
)
def test_refusal_of_the_zone_is_said_as_it_said_it(
    door: Door, tmp_path: Path, code: str, family: type[Exception]
) -> None:
    door.instead = 409, json.dumps({"error": {"code": code, "message": "No.", "do": "Ask."}}).encode()
    with pytest.raises(family, match=r"No\. Ask\."):
        join(new_token(VEHICLE), door.url, door.trust.servers, tmp_path / "car")


@pytest.mark.parametrize("answer", [b"", b"{}", b"[]", b'{"certificate": 1}', b"\xff", b'{"vehicle": {}, "ca": ""}'])
def test_answer_that_is_no_certificate_changes_nothing(door: Door, car: Credentials, answer: bytes) -> None:
    before = fits(car.folder)
    door.instead = 201, answer
    with pytest.raises(TryLaterError):
        renew(car)
    assert fits(car.folder) == before


def test_certificate_for_another_key_changes_nothing(door: Door, car: Credentials) -> None:
    before, other = fits(car.folder), door.given(door.asked[0][1])
    door.instead = 201, other
    with pytest.raises(TryLaterError, match="not for this car"):
        renew(car)
    assert fits(car.folder) == before


def test_renewal_puts_a_new_key_and_certificate_in_place(door: Door, car: Credentials) -> None:
    before = fits(car.folder)
    renew(car)
    after = fits(car.folder)
    assert after.public_key() != before.public_key()
    assert not (car.folder / RENEWED).exists()


@pytest.mark.parametrize("at", range(1, 12))
def test_power_cut_at_any_moment_of_a_renewal_leaves_a_usable_pair(
    door: Door, car: Credentials, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Every step on the disk may be the last one: what is found then must work, and so must the next renewal."""
    before, steps = fits(car.folder), iter(range(1, 100))

    class PowerCutError(BaseException):
        pass

    def may_fail(step: Any) -> Any:
        def done(*arguments: Any, **more: Any) -> Any:
            if next(steps) >= at:
                raise PowerCutError
            return step(*arguments, **more)

        return done

    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "fsync", "open"):
            patch.setattr(os, name, may_fail(getattr(os, name)))
        with suppress(PowerCutError):
            renew(car)
    whole = (car.folder / RENEWED).exists()
    leaf = fits(Credentials.read(car.folder).folder)
    assert whole <= (leaf != before)
    renew(Credentials.read(car.folder))
    assert fits(car.folder) != leaf


def test_settling_is_done_once_and_again_with_the_same_outcome(car: Credentials) -> None:
    whole = {name: (car.folder / name).read_text() for name in FILES}
    for _ in range(2):
        (car.folder / RENEWED).write_text(json.dumps(whole))
        settle(car.folder)
        assert not (car.folder / RENEWED).exists()
    fits(car.folder)


class Clock:
    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def finished(renewal: Renewal, car: Credentials) -> bool:
    """Let one attempt be made to its end; say whether it brought a certificate."""
    assert not renewal.poll(car)
    if renewal._working is not None:
        renewal._working.join(10)
    return renewal.poll(car)


def test_agent_renews_when_it_is_time_and_not_before(car: Credentials) -> None:
    certificate = car.certificate()
    clock = Clock(renewal_at(certificate) - 1)
    renewal = Renewal(clock)
    renewal.look(car)
    assert not finished(renewal, car)
    clock.at += 2
    assert finished(renewal, car)
    assert (renewal.renewals, fits(car.folder) != certificate) == (1, True)
    renewed = Credentials.read(car.folder)
    renewal.look(renewed)
    clock.at = renewal_at(renewed.certificate()) - 1  # each certificate has its own moment within the last third
    assert not finished(renewal, car)


def test_agent_that_is_refused_tries_again_later_and_later(door: Door, car: Credentials) -> None:
    clock = Clock(renewal_at(car.certificate()) + 1)
    door.instead = 503, b'{"error": {"code": "try_later", "message": "Away.", "do": ""}}'
    renewal, tries = Renewal(clock), len(door.asked)
    renewal.look(car)
    for number in range(1, 4):
        assert not finished(renewal, car)
        assert len(door.asked) == tries + number
        assert not finished(renewal, car)
        assert len(door.asked) == tries + number
        clock.at += 60 * 2 ** (number - 1) + 1
        renewal.look(car)
    door.instead = None
    assert finished(renewal, car)
    assert renewal.trouble is None


@given(st.integers(1, 60), st.floats(-1e6, 1e7), st.floats(0, 1))
def test_waits_grow_within_bounds_and_end_before_the_certificate_does(n: int, left_s: float, chance: float) -> None:
    wait = wait_s(n, left_s, chance)
    assert 0 < wait <= LONGEST_WAIT_S
    assert left_s < 60 or wait <= max(left_s / 2, 15)


def test_cars_enrolled_together_renew_at_different_moments_of_the_last_third(tmp_path: Path) -> None:
    authority, at = Authority(tmp_path / "keys"), datetime.now(UTC)
    leaves = [x509.load_pem_x509_certificate(authority.issue_vehicle(VEHICLE, "default").chain) for _ in range(40)]
    moments = {renewal_at(leaf) for leaf in leaves}
    assert len(moments) == 40
    assert max(moments) - min(moments) > timedelta(days=1).total_seconds()
    for leaf in leaves:
        assert renewable_from(leaf).timestamp() <= renewal_at(leaf) <= leaf.not_valid_after_utc.timestamp() - 4 * 86400
        assert renewable_from(leaf) - at > timedelta(days=19)
