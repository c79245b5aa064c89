"""The second door served for real: uvicorn, TLS, certificates of this zone and of others."""

import asyncio
import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn

from carcloud.backends.records import Records
from carcloud.errors import TryLaterError
from carcloud.gateway.enrolment import Endpoints, Enrolment, enrol, revoke, write_credentials
from carcloud.gateway.gate import Gate
from carcloud.gateway.https import CertificateProtocol, second_door, ssl_context
from carcloud.safety.identity import Authority, Credentials, Trust
from carcloud.vehicle.batch import Batch, encode

BATCH = {"content-type": "application/vnd.carcloud.batch"}
JSON = {"content-type": "application/json"}


def columns(number: int) -> bytes:
    one = np.array([1])
    return encode(Batch(bytes(8), 7, number, 0, one.astype("u2"), one.astype("u4"), one.astype("i4"), one / 2))


class Stream:
    """Takes what the door publishes and acknowledges what it is told to."""

    def __init__(self) -> None:
        self.published: list[tuple[str, bytes]] = []
        self.waits: list[tuple[str, str, int, int]] = []
        self.ack: dict[str, Any] | None = None
        self.away = False
        self.listening_first = True

    async def publish(self, subject: str, payload: bytes) -> None:
        if self.away:
            raise TryLaterError("RAW is full.", "Send it again.")
        self.published.append((subject, payload))

    async def wait_ack(
        self, tenant: str, vehicle: str, queue: int, number: int, timeout_s: float
    ) -> dict[str, Any] | None:
        self.listening_first &= not self.published
        self.waits.append((tenant, vehicle, queue, number))
        await asyncio.sleep(0.01)
        return self.ack


class Zone:
    def __init__(self, folder: Path, oldest: str = "1.2") -> None:
        self.folder = folder
        self.records = Records.open(f"sqlite:///{folder}/records.db")
        self.authority = Authority(folder / "keys")
        self.gate, self.stream = Gate(self.records), Stream()
        app = second_door(self.gate, self.stream.publish, self.stream.wait_ack)
        self.authority.server_certificate(["127.0.0.1"])
        config = uvicorn.Config(
            app,
            "127.0.0.1",
            0,
            http=CertificateProtocol,
            log_level="error",
            log_config=None,
            lifespan="off",
            ssl_context_factory=lambda _config, _default: ssl_context(Trust(folder / "keys"), oldest),
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._vins = iter(f"WBA{number:014}" for number in range(100))

    def __enter__(self) -> "Zone":
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"https://127.0.0.1:{port}"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
        self.records.close()

    def car(self) -> Enrolment:
        return enrol(self.records, self.authority, next(self._vins), Endpoints("127.0.0.1", 1, self.url))

    def client(self, credentials: Credentials | None, tls: ssl.TLSVersion | None = None) -> httpx.Client:
        context = ssl.create_default_context(cafile=self.authority.server_trust)
        if tls is not None:
            context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, tls
            context.set_ciphers("ALL:@SECLEVEL=0")
        if credentials is not None:
            (self.folder / "car.pem").write_bytes(credentials.chain)
            (self.folder / "car.key").write_bytes(credentials.key)
            context.load_cert_chain(self.folder / "car.pem", self.folder / "car.key")
        return httpx.Client(base_url=self.url, verify=context, trust_env=False)


@pytest.fixture
def zone(tmp_path: Path) -> Iterator[Zone]:
    with Zone(tmp_path) as zone:
        yield zone


Post = Callable[..., httpx.Response]


@pytest.fixture
def car(zone: Zone) -> Enrolment:
    return zone.car()


@pytest.fixture
def post(zone: Zone, car: Enrolment) -> Iterator[Post]:
    with zone.client(car.credentials) as client:

        def send(content: Any, headers: dict[str, str], vehicle: str = car.vehicle.id) -> httpx.Response:
            return client.post(f"/v1/vehicles/{vehicle}/batches", content=content, headers=headers)

        yield send


def refused_in_handshake(client: httpx.Client) -> bool:
    with client:
        try:
            client.post("/v1/vehicles/x/batches", content=b"")
        except httpx.TransportError:  # TLS 1.3 tells the client at its first read
            return True
    return False


def test_acknowledged_batch_answers_with_the_ack(zone: Zone, car: Enrolment, post: Post) -> None:
    zone.stream.ack = {"queue": "0000000000000007", "number": 3}
    answer = post(columns(3), BATCH)
    assert (answer.status_code, answer.json()) == (200, {"ack": zone.stream.ack})
    assert zone.stream.published == [(f"cc.1.default.{car.vehicle.id}.up.batch", columns(3))]
    assert zone.stream.waits == [("default", car.vehicle.id, 7, 3)]
    assert zone.stream.listening_first


def test_batch_not_yet_durable_is_accepted_without_an_ack(post: Post) -> None:
    answer = post(columns(1), BATCH)
    assert (answer.status_code, answer.json()) == (202, {})


def test_numbered_json_is_waited_for_and_unnumbered_is_not(zone: Zone, post: Post) -> None:
    zone.stream.ack = {"queue": "00000000000000ff", "number": 2}
    rows = {"samples": [{"signal": "Vehicle.Speed", "value": 1}]}
    assert post(json.dumps(rows), JSON).status_code == 202
    assert zone.stream.waits == []
    assert post(json.dumps(rows | {"queue": "00000000000000ff", "number": 2}), JSON).status_code == 200
    assert zone.stream.waits[0][2:] == (255, 2)


def test_event_goes_to_its_own_subject(zone: Zone, car: Enrolment, post: Post) -> None:
    hello = b'{"event":"hello"}'
    assert post(hello, {"content-type": "application/vnd.carcloud.event+json"}).status_code == 202
    assert zone.stream.published == [(f"cc.1.default.{car.vehicle.id}.up.event", hello)]


@pytest.mark.parametrize("payload", [b"", b"rubbish", b"CCB1", b"{", b"[]", b"CCB1" + bytes(52)])
def test_unsound_batch_meets_the_guards_not_the_door(zone: Zone, post: Post, payload: bytes) -> None:
    assert post(payload, BATCH).status_code == 202
    assert zone.stream.published[0][1] == payload


def test_another_cars_path_is_refused(zone: Zone, post: Post) -> None:
    answer = post(columns(1), BATCH, vehicle=zone.car().vehicle.id)
    assert answer.status_code == 403
    assert answer.json()["error"] == {
        "code": "not_allowed",
        "message": "The path names another vehicle than the certificate.",
        "do": "Send to your own path.",
    }
    assert zone.stream.published == []


def test_body_over_the_limit_is_refused_while_it_is_read(zone: Zone, post: Post) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(64):
            yield bytes(65536)

    with contextlib.suppress(httpx.WriteError):  # the door may hang up before all is sent
        assert post(endless(), BATCH).status_code == 413
    assert post(bytes(128 * 1024 + 1), BATCH).status_code == 413
    assert post(bytes(128 * 1024), BATCH).status_code == 202
    assert len(zone.stream.published) == 1


def test_body_cut_short_is_not_published(
    zone: Zone, car: Enrolment, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    def cut() -> Iterator[bytes]:
        yield b"CCB1"
        raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        post(cut(), BATCH)
    assert post(columns(1), BATCH).status_code == 202
    assert [payload for _, payload in zone.stream.published] == [columns(1)]
    assert not caplog.records


@pytest.mark.parametrize("headers", [{}, {"content-type": "text/html"}, {"content-type": "multipart/form-data"}])
def test_unknown_content_type_is_refused_and_says_which_are_taken(post: Post, headers: dict[str, str]) -> None:
    answer = post(columns(1), headers)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]["do"]


def test_full_stream_asks_to_try_later(zone: Zone, post: Post) -> None:
    zone.stream.away = True
    answer = post(columns(1), BATCH)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "try_later")


def test_car_revoked_while_connected_is_refused_at_its_next_request(zone: Zone, car: Enrolment, post: Post) -> None:
    assert post(columns(1), BATCH).status_code == 202
    revoke(zone.records, car.vehicle.id)
    zone.gate.forget(car.vehicle.id)
    assert post(columns(2), BATCH).status_code == 403


def test_flooding_car_is_asked_to_try_later(zone: Zone, car: Enrolment, post: Post) -> None:
    zone.gate.refuse(car.vehicle.id, 10)
    assert post(columns(1), BATCH).status_code == 503


def test_other_paths_and_methods_answer_in_the_same_shape(zone: Zone, car: Enrolment) -> None:
    with zone.client(car.credentials) as client:
        assert client.get("/").json()["error"]["code"] == "missing"
        answer = client.get(f"/v1/vehicles/{car.vehicle.id}/batches")
        assert answer.status_code == 405
        assert answer.json()["error"]["code"] == "input"


def test_no_certificate_is_refused_in_the_handshake(zone: Zone) -> None:
    assert refused_in_handshake(zone.client(None))


def test_expired_certificate_is_refused_in_the_handshake(zone: Zone, car: Enrolment) -> None:
    past = Authority(zone.folder / "keys", lambda: datetime.now(UTC) - timedelta(days=60))
    assert refused_in_handshake(zone.client(past.issue_vehicle(car.vehicle.id, "default", 30)))


def test_rogue_authority_with_identical_names_is_refused_in_the_handshake(zone: Zone, car: Enrolment) -> None:
    rogue = Authority(zone.folder / "rogue")
    assert refused_in_handshake(zone.client(rogue.issue_vehicle(car.vehicle.id, "default")))


def test_servers_certificate_does_not_come_in_as_a_car(zone: Zone, car: Enrolment) -> None:
    chain, key = zone.authority.server_certificate(["127.0.0.1"])
    stolen = Credentials(chain.read_bytes(), key.read_bytes(), "0", datetime.now(UTC), datetime.now(UTC))
    assert refused_in_handshake(zone.client(stolen))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_downgrade_to_old_tls_is_refused(zone: Zone, car: Enrolment, version: ssl.TLSVersion) -> None:
    assert refused_in_handshake(zone.client(car.credentials, version))


@pytest.mark.parametrize(("oldest", "refused"), [("1.2", False), ("1.3", True)])
def test_tls_1_2_is_spoken_only_where_the_settings_allow_it(tmp_path: Path, oldest: str, refused: bool) -> None:
    (tmp_path / oldest).mkdir()
    with Zone(tmp_path / oldest, oldest) as zone:
        client = zone.client(zone.car().credentials, ssl.TLSVersion.TLSv1_2)
        assert refused_in_handshake(client) == refused


def test_plain_http_is_refused(zone: Zone) -> None:
    assert refused_in_handshake(httpx.Client(base_url=zone.url.replace("https", "http"), trust_env=False))


def test_credentials_folder_opens_the_door(zone: Zone, car: Enrolment, tmp_path: Path) -> None:
    write_credentials(car, tmp_path / "car")
    context = ssl.create_default_context(cafile=tmp_path / "car/ca.pem")
    context.load_cert_chain(tmp_path / "car/vehicle.pem", tmp_path / "car/vehicle.key")
    with httpx.Client(base_url=zone.url, verify=context, trust_env=False) as client:
        path = f"/v1/vehicles/{car.vehicle.id}/batches"
        assert client.post(path, content=columns(1), headers=BATCH).status_code == 202
