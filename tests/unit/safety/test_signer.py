import asyncio
import socket
import stat
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carcloud.errors import InputError, TryLaterError
from carcloud.safety.audit.note import Checkpoint, origin_of
from carcloud.safety.signer import (
    LIMIT_PAYLOAD_BYTES,
    Answer,
    Signer,
    SignerClient,
    Verifier,
    key_id,
    load_public_key,
    socket_path,
    verify,
)


class Running:
    """A signer that answers in a thread of its own."""

    def __init__(self, folder: Path, run: Path | None = None, others: dict[str, Answer] | None = None) -> None:
        self.keys, self.run = folder / "keys", run or folder / "run"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.signer = Signer(self.keys, self.run, others=others)

    def __enter__(self) -> "Running":
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.signer.open(), self._loop).result(5)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self.signer.close(), self._loop).result(5)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path) as running:
        yield running


def test_signature_is_verified_with_the_public_key_file(running: Running) -> None:
    client = SignerClient(running.run)
    signature = client.sign("receipt", b"payload")
    public_key = load_public_key(running.keys / "receipt.pub")
    assert verify(public_key, "receipt", b"payload", signature.value)
    assert signature.key_id == key_id(public_key)
    client.close()


def test_signature_holds_for_no_other_payload_kind_or_bytes(running: Running) -> None:
    client = SignerClient(running.run)
    signature = client.sign("receipt", b"payload").value
    public_key = load_public_key(running.keys / "receipt.pub")
    assert not verify(public_key, "receipt", b"payloaD", signature)
    assert not verify(public_key, "order", b"payload", signature)
    assert not verify(public_key, "receipt", b"payload", signature[:-1] + bytes([signature[-1] ^ 1]))
    assert not verify(public_key, "receipt", b"payload", b"")
    client.close()


@pytest.mark.parametrize(
    "request_", [b"", b"\x05order", b"\x07receip", b"\xff", b"\x00payload", b"\x04\xff\xfe\xfd\xfc"]
)
def test_signer_signs_nothing_of_an_unknown_kind(running: Running, request_: bytes) -> None:
    assert running.signer.answer(request_).startswith(b"-")


@given(st.binary(max_size=64))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_answered_and_only_receipts_are_signed(running: Running, request_: bytes) -> None:
    answer = running.signer.answer(request_)
    assert answer.startswith(b"+" if request_.startswith(b"\x07receipt") else b"-")


def test_signer_signs_nothing_too_long(running: Running) -> None:
    assert running.signer.answer(b"\x07receipt" + bytes(LIMIT_PAYLOAD_BYTES + 1)).startswith(b"-")
    with pytest.raises(InputError, match="Sign a hash"):
        SignerClient(running.run).sign("receipt", bytes(LIMIT_PAYLOAD_BYTES + 1))


def test_longest_payload_is_signed(running: Running) -> None:
    client = SignerClient(running.run)
    assert len(client.sign("receipt", bytes(LIMIT_PAYLOAD_BYTES)).value) == 64
    client.close()


def test_endless_request_is_cut_off(running: Running) -> None:
    with socket.socket(socket.AF_UNIX) as attacker:
        attacker.connect(str(socket_path(running.run)))
        attacker.sendall(struct.pack(">I", 2**32 - 1))
        assert attacker.recv(100)[4:] == b"-the request is too long"
        assert attacker.recv(100) == b""


def test_signer_is_reached_by_its_owner_only(running: Running) -> None:
    assert stat.S_IMODE(socket_path(running.run).stat().st_mode) == 0o600
    assert stat.S_IMODE(running.run.stat().st_mode) == 0o700
    assert stat.S_IMODE((running.keys / "receipt.key").stat().st_mode) == 0o600


def test_many_threads_share_one_client(running: Running) -> None:
    client, found = SignerClient(running.run), []
    threads = [
        threading.Thread(target=lambda n=n: found.append((n, client.sign("receipt", b"%d" % n)))) for n in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    public_key = load_public_key(running.keys / "receipt.pub")
    assert len(found) == 16
    assert all(verify(public_key, "receipt", b"%d" % n, signature.value) for n, signature in found)
    client.close()


def test_client_asks_to_try_later_while_the_signer_is_away_and_finds_it_again(tmp_path: Path) -> None:
    client = SignerClient(tmp_path / "run")
    with pytest.raises(TryLaterError, match="cannot be reached"):
        client.sign("receipt", b"x")
    with Running(tmp_path):
        first = client.sign("receipt", b"x")
    with pytest.raises(TryLaterError):
        client.sign("receipt", b"x")
    with Running(tmp_path):
        assert client.sign("receipt", b"x") == first
    client.close()


def test_signer_killed_before_is_replaced(tmp_path: Path) -> None:
    with Running(tmp_path) as running:
        path = socket_path(running.run)
    socket.socket(socket.AF_UNIX).bind(str(path))
    with Running(tmp_path) as running:
        client = SignerClient(running.run)
        assert client.sign("receipt", b"x").value
        client.close()


def test_run_folder_too_deep_for_a_socket_still_works(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60) / "run"
    for _ in range(2):
        with Running(tmp_path, deep) as running:
            assert len(str(socket_path(running.run))) < 100
            client = SignerClient(running.run)
            assert client.sign("receipt", b"x").value
            client.close()
        assert not socket_path(deep).parent.joinpath("signer.sock").exists()


def test_verifier_knows_the_signers_own_signatures_and_waits_for_its_key(tmp_path: Path) -> None:
    signed = Verifier(tmp_path / "keys", "receipt")
    with pytest.raises(InputError, match=r"receipt\.pub"):
        signed(b"text", b"")
    signer = Signer(tmp_path / "keys", tmp_path / "run")
    signature = signer.answer(b"\x07receipttext")[17:]
    assert signed(b"text", signature)
    assert not signed(b"texts", signature)
    assert not signed(b"text", signature[:-1])


def test_file_that_is_no_public_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.pub").write_text("no key")
    with pytest.raises(InputError, match=r"receipt\.pub"):
        load_public_key(tmp_path / "x.pub")


CHECKPOINT = Checkpoint(origin_of("local"), 3, bytes(32)).text().encode()


def test_checkpoint_is_signed_as_it_is_with_a_key_of_its_own(running):
    client = SignerClient(running.run)
    signature = client.sign("checkpoint", CHECKPOINT)
    key = load_public_key(running.keys / "checkpoint.pub")
    key.verify(signature.value, CHECKPOINT)
    assert signature.key_id == key_id(key) != client.sign("receipt", CHECKPOINT).key_id


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"anything",
        CHECKPOINT.replace(b"local", b"other"),
        CHECKPOINT + b"more\n",
        CHECKPOINT[:-1],
        b"carcloud/receipt/v1\n{}",
    ],
)
def test_what_is_no_checkpoint_of_this_zone_is_not_signed_as_one(running, payload):
    with pytest.raises(InputError, match="only a checkpoint of this zone"):
        SignerClient(running.run).sign("checkpoint", payload)
