"""Our functions come to the numbers that Tesla publishes, where the scheme is the same."""

from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from carcloud.safety.orders.session import info_tag, point, public_key, seal, shared, unseal
from carcloud.vehicle.order import SignatureType, Tag, metadata, u8, u32

GIVEN = json.loads((Path(__file__).parent / "tesla.json").read_text())
HEX = {
    name: bytes.fromhex(value)
    for name, value in GIVEN.items()
    if isinstance(value, str) and name not in ("source", "vehicle")
}
VEHICLE = GIVEN["vehicle"].encode()


def private(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(HEX[name], "big"), ec.SECP256R1())


@pytest.mark.parametrize("side", ["vehicle", "client"])
def test_public_keys_are_written_the_same(side: str) -> None:
    assert point(private(f"{side}_private").public_key()) == HEX[f"{side}_public"]


@pytest.mark.parametrize(("own", "other"), [("vehicle", "client"), ("client", "vehicle")])
def test_both_sides_agree_on_the_published_key(own: str, other: str) -> None:
    secret = shared(private(f"{own}_private"), public_key(HEX[f"{other}_public"]))
    assert hashlib.sha1(secret, usedforsecurity=False).digest()[:16] == HEX["key"]  # Tesla's derivation, not ours


def test_session_information_has_the_published_tag() -> None:
    assert hmac.digest(HEX["key"], b"session info", "sha256") == HEX["session_info_key"]
    covered = {Tag.SIGNATURE_TYPE: u8(6), Tag.PERSONALISATION: VEHICLE, Tag.CHALLENGE: HEX["challenge"]}
    assert metadata(dict(covered)) == HEX["session_metadata"]
    assert info_tag(HEX["key"], GIVEN["vehicle"], HEX["challenge"], HEX["session_info"]) == HEX["session_tag"]


def test_metadata_are_written_the_same() -> None:
    assert metadata({Tag.COUNTER: u32(100), Tag.PERSONALISATION: b"abc"}) == HEX["example_metadata"]
    assert _command_metadata() == HEX["command_metadata"]


def test_command_is_sealed_and_opened_with_the_published_bytes() -> None:
    sealed = seal(HEX["key"], HEX["nonce"], HEX["plaintext"], _command_metadata())
    assert sealed == (HEX["ciphertext"], HEX["tag"])
    assert unseal(HEX["key"], HEX["nonce"], *sealed, _command_metadata()) == HEX["plaintext"]
    other_car = _command_metadata(b"5YJ30123456789ABD")
    assert unseal(HEX["key"], HEX["nonce"], *sealed, other_car) is None


def _command_metadata(vehicle: bytes = VEHICLE) -> bytes:
    items: dict[int, bytes] = {
        Tag.FLAGS: u32(GIVEN["flags"]),
        Tag.COUNTER: u32(GIVEN["counter"]),
        Tag.EXPIRES_AT: u32(GIVEN["expires_at"]),
        Tag.EPOCH: HEX["epoch"],
        Tag.PERSONALISATION: vehicle,
        Tag.DOMAIN: u8(GIVEN["domain"]),
        Tag.SIGNATURE_TYPE: u8(SignatureType.AES_GCM),
    }
    return metadata(items)
