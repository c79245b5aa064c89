import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_csr
from cryptography.x509.oid import AttributeOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from carcloud.errors import InputError
from carcloud.safety.claim import LENGTH, new_token, proof, proves, request_for, serial_hash, vehicle_of, verifier_of
from carcloud.safety.request import read_request
from tests.csr import named, signed, wrong_requests

VEHICLE = "abcdefghijklmnop"
KEY = ec.generate_private_key(ec.SECP256R1())
PUBLIC = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@pytest.mark.parametrize("wrong", [*wrong_requests(VEHICLE)], ids=lambda case: case[0])
def test_request_that_is_not_as_it_must_be_is_refused(wrong: tuple[str, bytes]) -> None:
    with pytest.raises(InputError, match="no request for a certificate"):
        read_request(wrong[1])


def test_request_is_read_from_pem_der_and_base64() -> None:
    pem = request_for(KEY, VEHICLE)
    der = load_pem_x509_csr(pem).public_bytes(Encoding.DER)
    for body in (pem, der, base64.encodebytes(der)):
        read = read_request(body)
        assert (read.key, read.vehicle, read.serial_hash, read.proof) == (PUBLIC, VEHICLE, None, None)


def test_request_with_a_token_proves_it_for_its_own_key_only() -> None:
    token = new_token(VEHICLE)
    read = read_request(request_for(KEY, VEHICLE, token, "ECU 7"))
    assert read.serial_hash == serial_hash("ECU 7")
    assert read.proof is not None
    assert proves(verifier_of(token), read.proof, read.key)
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    assert not proves(
        verifier_of(token), read.proof, other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )
    assert not proves(verifier_of(new_token(VEHICLE)), read.proof, read.key)


def test_another_makers_car_makes_the_proof_as_the_page_says() -> None:
    """Steps 2 and 3 of docs/identity.md, with nothing of ours."""
    token = new_token(VEHICLE)
    label = b"carcloud/claim/v1\n"
    claim_key = ed25519.Ed25519PrivateKey.from_private_bytes(hashlib.sha256(label + token.encode()).digest())
    made = base64.urlsafe_b64encode(claim_key.sign(label + PUBLIC)).rstrip(b"=")
    request = named((NameOID.COMMON_NAME, token.partition(".")[0]), (NameOID.SERIAL_NUMBER, serial_hash("ECU 7")))
    read = read_request(signed(request.add_attribute(AttributeOID.CHALLENGE_PASSWORD, made), KEY))
    assert read.proof is not None
    assert proves(verifier_of(token), read.proof, PUBLIC)
    assert read.serial_hash == hashlib.sha256(b"ECU 7").hexdigest()


def test_proof_cannot_be_made_from_what_the_zone_keeps_or_what_travels() -> None:
    token = new_token(VEHICLE)
    assert token.partition(".")[2] not in verifier_of(token)
    assert token.partition(".")[2].encode() not in request_for(KEY, VEHICLE, token)
    assert not proves(verifier_of(token), proof(verifier_of(token), PUBLIC), PUBLIC)


@given(st.text(max_size=200))
def test_no_text_proves_a_claim(text: str) -> None:
    assert not proves(verifier_of(f"{VEHICLE}.{'a' * LENGTH}"), text, PUBLIC)


def test_token_names_its_vehicle_and_nothing_else_is_one() -> None:
    token = new_token(VEHICLE)
    assert vehicle_of(f" {token}\n") == VEHICLE
    for wrong in ("", VEHICLE, f"{VEHICLE}.", token[:-1], token + "a", f"a b.{'a' * LENGTH}", token.replace(".", "/")):
        with pytest.raises(InputError, match="no claim token"):
            vehicle_of(wrong)


@pytest.mark.parametrize("text", [b"", b"x" * 256, "ä".encode()])
def test_challenge_password_that_is_no_short_text_is_refused(text: bytes) -> None:
    request = named((NameOID.COMMON_NAME, VEHICLE)).add_attribute(AttributeOID.CHALLENGE_PASSWORD, text)
    with pytest.raises(InputError, match="challengePassword"):
        read_request(signed(request))


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(InputError):
        read_request(body)
