"""Signatures and sealed payloads."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.chinese import Sm2Key
from carcloud.vehicle.gbt32960.forms import Activation, KeyExchange, Report, Signature
from carcloud.vehicle.gbt32960.frames import Cause, Edition, Encryption, Fault, Frame
from carcloud.vehicle.gbt32960.messages import read, write
from carcloud.vehicle.gbt32960.sealing import Keys, seal, unseal
from carcloud.vehicle.gbt32960.signature import activated_key, key_bytes, signer, verify
from carcloud.vehicle.gbt32960.units import Unit

AT = datetime(2026, 3, 1, 4, 5, 6, tzinfo=UTC)
VIN = "LSVAU2A30NN000001"
RSA_KEY = rsa.generate_private_key(65537, 2048)
ECC_KEY = ec.generate_private_key(ec.SECP256R1())
SM2_KEY = Sm2Key.make()
ENGINE = Unit("engine", {"speed": 900})
PAIRS = [(RSA_KEY, RSA_KEY.public_key()), (ECC_KEY, ECC_KEY.public_key()), (SM2_KEY, Sm2Key(SM2_KEY.public))]


def signed_report(key):
    found = read(write(Report(VIN, AT, (ENGINE,)), Edition.E2025, signer(key)))
    assert isinstance(found, Report)
    return found


@pytest.mark.parametrize("pair", PAIRS, ids=["rsa", "ecc", "sm2"])
def test_a_report_is_signed_and_a_changed_one_is_not(pair):
    report = signed_report(pair[0])
    assert verify(report, pair[1])
    assert not verify(replace(report, signed=report.signed[:-1] + b"\0"), pair[1])
    assert not verify(replace(report, signature=None), pair[1])


@pytest.mark.parametrize("pair", PAIRS, ids=["rsa", "ecc", "sm2"])
def test_a_signature_of_another_algorithm_is_not_believed(pair):
    report = signed_report(pair[0])
    assert report.signature is not None
    for algorithm in range(256):
        other = replace(report, signature=replace(report.signature, algorithm=algorithm))
        assert verify(other, pair[1]) is (algorithm == report.signature.algorithm)


@pytest.mark.parametrize("pair", PAIRS, ids=["rsa", "ecc", "sm2"])
def test_an_activation_brings_the_key_that_it_is_signed_by(pair):
    sign = signer(pair[0])
    blank = Activation(VIN, AT, "chip-0001", key_bytes(pair[1]), VIN, Signature(0, b""))
    found = read(write(blank, Edition.E2025, sign))
    assert isinstance(found, Activation)
    assert verify(found, activated_key(found))


@pytest.mark.parametrize("algorithm", [0, 1, 2, 3, 255])
def test_bytes_that_are_no_key_are_refused(algorithm):
    for raw in (b"", b"\1" * 64, b"\xff" * 259):
        with pytest.raises(InputError):
            activated_key(Activation(VIN, AT, "", raw, VIN, Signature(algorithm, b"")))


KEYS = Keys(b"a" * 16, b"s" * 16, RSA_KEY, RSA_KEY.public_key(), SM2_KEY, Sm2Key(SM2_KEY.public))
SEALS = [Encryption.RSA, Encryption.AES128, Encryption.SM2, Encryption.SM4]


@pytest.mark.parametrize("encryption", SEALS)
@pytest.mark.parametrize("size", [0, 1, 15, 16, 700])
def test_what_is_sealed_opens_again_and_only_with_its_key(encryption, size):
    frame = Frame(Edition.E2025, 2, 0xFE, VIN, Encryption.NONE, bytes(range(256)) * 3)
    frame = replace(frame, payload=frame.payload[:size])
    sealed = seal(frame, encryption, KEYS)
    assert size < 16 or frame.payload not in sealed.payload
    assert unseal(sealed, KEYS, AT) == frame
    if size:
        assert isinstance(read(sealed), Fault)
        assert unseal(sealed, Keys(), AT) == Fault(
            Cause.DECRYPTION, "the payload does not open with the keys of this session"
        )


def test_a_payload_that_is_not_whole_blocks_or_says_no_encryption_does_not_open():
    frame = Frame(Edition.E2025, 2, 0xFE, VIN, Encryption.AES128, b"x" * 17)
    for encryption in Encryption:
        found = unseal(replace(frame, encryption=encryption), KEYS, AT)
        assert isinstance(found, Fault) or encryption in (Encryption.NONE, Encryption.RSA)


@pytest.mark.parametrize("encryption", [Encryption.AES128, Encryption.SM4])
@pytest.mark.parametrize("sealed_by", [None, "rsa_other", "sm2_other"])
def test_a_key_that_was_exchanged_holds_for_its_time(encryption, sealed_by):
    key = b"k" * 16
    if sealed_by:
        frame = Frame(Edition.E2025, 2, 0xFE, VIN, Encryption.NONE, key)
        key = seal(frame, Encryption.RSA if sealed_by == "rsa_other" else Encryption.SM2, KEYS).payload
    exchange = KeyExchange(VIN, encryption, key, AT, AT + timedelta(days=1))
    known = Keys(rsa_own=RSA_KEY, sm2_own=SM2_KEY).taking(exchange)
    assert isinstance(known, Keys)
    frame = Frame(Edition.E2025, 2, 0xFE, VIN, Encryption.NONE, b"payload")
    sealed = seal(frame, encryption, known)
    assert unseal(sealed, known, AT) == frame
    assert isinstance(unseal(sealed, known, AT + timedelta(days=2)), Fault)
    assert "k" * 8 not in repr(known) + repr(exchange)


def test_an_exchange_without_a_key_is_a_fault():
    later = AT + timedelta(days=1)
    for encryption, key, until in ((3, b"short", later), (3, b"k" * 16, AT), (2, b"k" * 16, later)):
        assert isinstance(Keys(rsa_own=RSA_KEY).taking(KeyExchange(VIN, encryption, key, AT, until)), Fault)
