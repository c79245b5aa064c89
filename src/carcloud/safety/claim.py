"""Claim tokens: with one, a car that has no certificate yet joins its zone, once. Pure.

Rules:
* A token is `VEHICLE.SECRET`; the secret has 160 random bits and is shown once.
* The token itself never travels. It makes an Ed25519 key: the zone keeps the public half; with the private one the car
  signs the public key that its certificate shall be for. Who listens, or reads the records, can claim nothing, and
  nobody can put another key under a claim.

Source: RFC 8032 (Ed25519), RFC 7030 §3.5; docs/identity.md.
"""

from __future__ import annotations

import base64
import hashlib
import secrets

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID

from carcloud.errors import InputError
from carcloud.vehicle.batch import TOKEN

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
LENGTH = 32
_LABEL = b"carcloud/claim/v1\n"


def new_token(vehicle: str) -> str:
    """Return a new token for a vehicle of this id."""
    return f"{vehicle}.{''.join(secrets.choice(LETTERS) for _ in range(LENGTH))}"


def vehicle_of(token: str) -> str:
    """Return the vehicle that a token is for. Raise InputError where it is no token."""
    vehicle, dot, secret = token.strip().partition(".")
    if not dot or not TOKEN.fullmatch(vehicle) or len(secret) != LENGTH or set(secret) - set(LETTERS):
        raise InputError("This is no claim token.", "Give it whole, as `carcloud claim` printed it.")
    return vehicle


def verifier_of(token: str) -> str:
    """Return what the zone keeps of a token: its public key, hexadecimal."""
    return _key(token).public_key().public_bytes_raw().hex()


def proof(token: str, key: bytes) -> str:
    """Return the proof that whoever holds the token wants a certificate for this key (SubjectPublicKeyInfo, DER)."""
    return base64.urlsafe_b64encode(_key(token).sign(_LABEL + key)).decode().rstrip("=")


def proves(verifier: str, proof: str, key: bytes) -> bool:
    """Tell whether a proof was made with the token of this verifier, for this key."""
    try:
        signature = base64.urlsafe_b64decode(proof + "=" * (-len(proof) % 4))
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(verifier)).verify(signature, _LABEL + key)
    except (InvalidSignature, ValueError):
        return False
    return True


def request_for(key: ec.EllipticCurvePrivateKey, vehicle: str = "", token: str = "", serial: str = "") -> bytes:
    """Return a car's request for a certificate, PEM: with a token its first, without one a renewal.

    Args:
        serial: the serial number of a control unit, where the claim is bound to one; only its hash is sent.
    """
    names = [x509.NameAttribute(NameOID.COMMON_NAME, vehicle)] if vehicle else []
    if serial:
        names.append(x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_hash(serial)))
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    if token:
        public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        builder = builder.add_attribute(AttributeOID.CHALLENGE_PASSWORD, proof(token, public).encode())
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)


def serial_hash(serial: str) -> str:
    """Return the hash of a control unit's serial number, as a claim may be bound to it."""
    return hashlib.sha256(serial.encode()).hexdigest()


def _key(token: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(_LABEL + token.strip().encode()).digest())
