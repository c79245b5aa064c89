"""The order signer's keys in a hardware token: SoftHSM, which speaks PKCS#11 as a real one does."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.backends.pkcs11 import Token
from carcloud.errors import ConflictError, InputError, MissingError, NotAllowedError
from carcloud.safety.identity import Authority
from carcloud.safety.orders.keyring import keyring, use_token
from carcloud.safety.orders.keys import OrderKeys, certify
from carcloud.settings import Folder
from tests.unit.safety.orders.pair import Body, Clock, Pair

MODULES = [
    Path(place) / "softhsm" / "libsofthsm2.so" for place in ("/usr/lib", "/usr/lib/x86_64-linux-gnu", "/usr/local/lib")
]
MODULE = next((path for path in MODULES if path.exists()), None)
PIN = "135790"

pytestmark = pytest.mark.skipif(
    MODULE is None or shutil.which("softhsm2-util") is None, reason="SoftHSM (package softhsm2) is not installed"
)


@pytest.fixture(scope="module", autouse=True)
def _tokens(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The library reads once where its tokens lie: one place for all tests here."""
    place = tmp_path_factory.mktemp("softhsm")
    (place / "tokens").mkdir()
    (place / "softhsm2.conf").write_text(f"directories.tokendir = {place / 'tokens'}\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(place / "softhsm2.conf")
    for label in ("orders", "other", "third"):
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "24680"]
        subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def pin(tmp_path: Path) -> Path:
    path = tmp_path / "pin"
    path.write_text(PIN + "\n")
    path.chmod(0o600)
    return path


def module() -> Path:
    assert MODULE is not None
    return MODULE


def test_order_signed_in_the_token_is_taken_by_the_car(tmp_path: Path, pin: Path) -> None:
    use_token(tmp_path / "orders", module(), "orders", pin)
    pair = Pair(tmp_path, Clock())
    pair.person("ann", "fleet")
    body = Body()
    car = pair.car("a1", body)
    pair.handshake("a1", car, 1)
    text, signatures = pair.authorise("ann", "lock", "a1")
    said = pair.tell("a1", car, pair.signed("a1", text, signatures).encode())
    assert said[-1] == ("done", None)
    assert body.done == [("lock", {})]
    assert not list((tmp_path / "orders").glob("*.key"))
    assert b"hardware token" in (tmp_path / "orders" / "LABEL").read_bytes()


def test_key_in_a_token_cannot_be_taken_out(pin: Path) -> None:
    key = Token(module(), "orders", PIN).key(f"test {secrets.token_hex(4)}")
    with pytest.raises(NotImplementedError):
        key.private_numbers()
    with pytest.raises(NotImplementedError):
        key.private_bytes()  # type: ignore[call-arg]


def test_token_signs_and_agrees_as_a_file_key_does() -> None:
    token, name = Token(module(), "orders", PIN), f"test {secrets.token_hex(4)}"
    key, other = token.key(name), ec.generate_private_key(ec.SECP256R1())
    key.public_key().verify(key.sign(b"said", ec.ECDSA(hashes.SHA256())), b"said", ec.ECDSA(hashes.SHA256()))
    with pytest.raises(InvalidSignature):
        key.public_key().verify(key.sign(b"said", ec.ECDSA(hashes.SHA256())), b"else", ec.ECDSA(hashes.SHA256()))
    assert key.exchange(ec.ECDH(), other.public_key()) == other.exchange(ec.ECDH(), key.public_key())
    assert Token(module(), "orders", PIN).key(name, make=False).public_key() == key.public_key()


def test_two_folders_share_a_token_and_no_key(tmp_path: Path, pin: Path) -> None:
    for name in ("a", "b"):
        use_token(tmp_path / name, module(), "orders", pin)
    first, second = (keyring(tmp_path / name).key("fleet").public_key() for name in ("a", "b"))
    assert first != second


def test_another_token_is_not_taken_for_the_certified_one(tmp_path: Path, pin: Path) -> None:
    folder = tmp_path / "orders"
    use_token(folder, module(), "orders", pin)
    certify(folder, Authority(tmp_path / "keys"), "default")
    named = folder / "pkcs11.json"
    named.write_text(named.read_text().replace('"orders"', '"other"'))
    with pytest.raises(MissingError, match="holds no key"):
        OrderKeys(folder)


def test_folder_with_keys_in_files_does_not_turn_to_a_token(tmp_path: Path, pin: Path) -> None:
    certify(tmp_path / "orders", Authority(tmp_path / "keys"), "default")
    with pytest.raises(ConflictError, match="in files already"):
        use_token(tmp_path / "orders", module(), "orders", pin)


def test_wrong_pin_open_pin_file_strange_token_and_no_library_are_said(tmp_path: Path, pin: Path) -> None:
    with pytest.raises(InputError, match="PIN") as wrong:
        Token(module(), "third", "999999")
    assert "999999" not in str(wrong.value)
    with pytest.raises(MissingError, match="no one token"):
        Token(module(), "absent", PIN)
    with pytest.raises(MissingError, match="no PKCS#11 library"):
        Token(tmp_path / "absent.so", "orders", PIN)
    with pytest.raises(MissingError, match="no PIN file"):
        use_token(tmp_path / "c", module(), "orders", tmp_path / "absent")
    pin.chmod(0o644)
    with pytest.raises(NotAllowedError, match="Others can read"):
        use_token(tmp_path / "d", module(), "orders", pin)
    assert not (tmp_path / "d" / "pkcs11.json").exists()


def test_command_line_makes_a_folder_whose_keys_are_in_the_token(tmp_path: Path, pin: Path) -> None:
    data = tmp_path / "zone"
    Folder(data).make()
    Authority(data / "keys")
    command = [
        sys.executable,
        "-m",
        "carcloud",
        "operator",
        "init",
        "--data",
        str(data),
        "--keys",
        str(tmp_path / "own"),
    ]
    said = subprocess.run([*command, "--token", "orders"], capture_output=True, text=True)
    assert said.returncode != 0
    assert "--pkcs11" in said.stderr
    options = ["--pkcs11", str(module()), "--token", "orders", "--pin-file", str(pin)]
    said = subprocess.run([*command, *options], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    assert OrderKeys(tmp_path / "own").certificate("fleet")
    assert not list((tmp_path / "own").glob("*.key"))
