"""The second door: HTTPS with a car's certificate, attacked by a car, and by those who have none."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from carcloud.safety.identity import Authority, Credentials
from tests.attacks.attacker import HOST, JSON, hung_up, sample, second_door, tls, until_seen
from tests.attacks.conftest import enrolled
from tests.zone import RunningZone, carcloud, until


class Caller:
    """A car at the second door."""

    def __init__(self, zone: RunningZone) -> None:
        self.zone, self.place = zone, enrolled(zone)
        self.id = json.loads((self.place / "vehicle.json").read_text())["id"]
        self.path = f"/v1/vehicles/{self.id}/batches"
        self.context = tls(self.place, self.place / "ca.pem")
        self.client = second_door(zone, self.context)

    def line(self) -> ssl.SSLSocket:
        """Open a raw connection."""
        raw = socket.create_connection((HOST, self.zone.file.https), 20)
        return self.context.wrap_socket(raw, server_hostname="localhost")

    def exchange(self, request: bytes) -> bytes:
        """Send bytes and return all that comes back until the door closes or is silent for two seconds."""
        parts = b""
        with self.line() as line, suppress(OSError):
            line.sendall(request)
            line.settimeout(2)
            while part := line.recv(65536):
                parts += part
        return parts


@pytest.fixture(scope="module")
def caller(target: RunningZone) -> Iterator[Caller]:
    caller = Caller(target)
    yield caller
    caller.client.close()


def shut_out(zone: RunningZone, context: ssl.SSLContext) -> bool:
    with second_door(zone, context) as client:
        try:
            client.get("/")
        except httpx.TransportError:
            return True
        return False


def test_batch_at_another_cars_path(caller: Caller, target: RunningZone) -> None:
    other = json.loads((enrolled(target) / "vehicle.json").read_text())["id"]
    for path in (other, "*", "..", f"..%2f{other}", f"{caller.id}%00", other.upper()):
        answer = caller.client.post(f"/v1/vehicles/{path}/batches", json=sample(95))
        assert answer.status_code in (403, 404, 405), path
    assert target.get(f"/v1/vehicles/{other}/signals")["signals"] == {}


def test_no_expired_foreign_or_server_certificate(target: RunningZone, caller: Caller, tmp_path: Path) -> None:
    trust, at = caller.place / "ca.pem", datetime.now(UTC)
    past = Authority(target.folder.keys, lambda: at - timedelta(days=60)).issue_vehicle(caller.id, "default")
    foreign = Authority(tmp_path / "rogue").issue_vehicle(caller.id, "default")
    keys = target.folder.keys
    server = Credentials((keys / "server.pem").read_bytes(), (keys / "server.key").read_bytes(), "0", at, at)
    assert not shut_out(target, caller.context)
    assert shut_out(target, tls(None, trust))
    for forged in (past, foreign, server):
        (tmp_path / "vehicle.pem").write_bytes(forged.chain)
        (tmp_path / "vehicle.key").write_bytes(forged.key)
        assert shut_out(target, tls(tmp_path, trust))


def test_revoked_car_at_the_second_door(target: RunningZone) -> None:
    caller = Caller(target)
    assert caller.client.post(caller.path, json=sample(1)).status_code == 202
    assert carcloud("revoke", caller.id, "--data", str(target.data)).returncode == 0
    until(lambda: caller.client.post(caller.path, json=sample(2)).status_code == 403, "still let in", 2)
    caller.client.close()


def test_huge_body_is_cut_off_at_the_limit(caller: Caller) -> None:
    answer = caller.client.post(caller.path, content=b"{" + b" " * 200_000, headers=JSON)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "input")
    endless = (b" " * 65536 for _ in range(10_000))
    with suppress(httpx.TransportError):  # the door may hang up while the caller still talks
        assert caller.client.post(caller.path, content=endless, headers=JSON).status_code == 413


def test_head_that_never_ends_is_cut_off(caller: Caller) -> None:
    line = caller.line()
    line.sendall(f"POST {caller.path} HTTP/1.1\r\nHost: localhost\r\n".encode())
    sent = 0
    with line, suppress(OSError):
        while sent < 20_000_000:
            line.sendall(b"x-endless: " + b"y" * 8000 + b"\r\n")
            sent += 8013
    assert sent < 20_000_000


def test_slow_body_slow_head_and_silence_are_given_up(caller: Caller) -> None:
    began = time.monotonic()
    head = f"POST {caller.path} HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n".encode()
    with caller.line() as body, caller.line() as drip, caller.line() as silent:
        body.sendall(head + b"content-length: 1000\r\n\r\n{")
        drip.sendall(head[:20])
        assert b" 408 " in body.recv(4096)
        assert all(map(hung_up, (drip, silent)))
    assert time.monotonic() - began < 15


def test_one_car_cannot_take_all_connections(caller: Caller) -> None:
    with ExitStack() as stack:
        lines = [stack.enter_context(caller.line()) for _ in range(60)]
        assert sum(hung_up(line, 0.1) for line in lines) >= 28  # two gateways, 16 each
        assert not shut_out(caller.zone, Caller(caller.zone).context)


@pytest.mark.parametrize("kind", ["text/plain", "", "application/xml", "multipart/form-data; boundary=x", "x" * 5000])
def test_wrong_content_type(caller: Caller, kind: str) -> None:
    answer = caller.client.post(caller.path, content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 415


SMUGGLED = b"POST /v1/vehicles/aaaaaaaaaaaaaaaa/batches HTTP/1.1\r\nHost: localhost\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "heads",
    [
        b"content-length: 5\r\ntransfer-encoding: chunked\r\n",
        b"content-length: 5\r\ncontent-length: 90\r\n",
        b"transfer-encoding: chunked, identity\r\n",
        b"transfer-encoding : chunked\r\n",
        b"content-length: +5\r\n",
        b"content-length: 5\r\n content-length: 90\r\n",
        b"x\x00y: 1\r\ncontent-length: 5\r\n",
    ],
)
def test_ambiguous_head_smuggles_no_second_request(caller: Caller, heads: bytes) -> None:
    head = f"POST {caller.path} HTTP/1.1\r\nHost: localhost\r\ncontent-type: application/json\r\n".encode()
    answer = caller.exchange(head + heads + b"\r\n0\r\n\r\n" + SMUGGLED)
    assert b" 200 " not in answer
    assert b" 202 " not in answer


def test_header_that_claims_another_identity_is_not_believed(caller: Caller, target: RunningZone) -> None:
    other = json.loads((enrolled(target) / "vehicle.json").read_text())["id"]
    names = ("x-forwarded-client-cert", "x-client-cert", "x-ssl-client-s-dn", "x-vehicle-id", "x-original-url")
    forged = dict.fromkeys(names, other) | JSON
    answer = caller.client.post(f"/v1/vehicles/{other}/batches", content=json.dumps(sample(94)), headers=forged)
    assert answer.status_code == 403


def test_door_still_serves_after_all_that(caller: Caller, target: RunningZone) -> None:
    assert caller.client.post(caller.path, json=sample(31)).status_code == 202
    until_seen(target, caller.id, 31)
