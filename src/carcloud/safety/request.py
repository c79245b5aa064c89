"""A car's request for a certificate: PKCS#10, read strictly. Nothing is taken from it but the public key. Pure.

Rules:
* The key is P-256 and new; its owner proves that he holds the private part, by a signature with SHA-2.
* The zone decides names and extensions: a request that asks for any is refused, so that nobody takes them for granted.
* Its name is empty, or the car's id as CN; a serialNumber beside it is the hash of a control unit's serial.
* challengePassword, where it is asked for, is one short text.

Source: RFC 2986 (PKCS#10), RFC 2985 §5.4.1 (challengePassword), RFC 7030 §3.5 (identity bound to the key).
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AttributeOID, NameOID

from carcloud.errors import InputError

LIMIT_REQUEST_BYTES = 4096
"""A request with a P-256 key has about 300 bytes."""

LIMIT_PROOF = 255
EXTENSION_REQUEST = "1.2.840.113549.1.9.14"
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_NAMES = {NameOID.COMMON_NAME: "vehicle", NameOID.SERIAL_NUMBER: "serial_hash"}


@dataclass(frozen=True)
class CertificateRequest:
    """What a car asks: a certificate for `key` (SubjectPublicKeyInfo, DER). The rest is what it says of itself."""

    key: bytes
    vehicle: str | None
    serial_hash: str | None
    proof: str | None


def read_request(body: bytes) -> CertificateRequest:
    """Read a request: PEM, DER, or DER in base64. Raise InputError where it is none, or asks for what it may not."""
    if len(body) > LIMIT_REQUEST_BYTES:
        raise _wrong(f"it has more than {LIMIT_REQUEST_BYTES} bytes")
    request = _parsed(body)
    try:
        key, names = _key(request), _names(request.subject)
        signed = isinstance(request.signature_hash_algorithm, _HASHES) and request.is_signature_valid
        proof = _proof(request)
    except InputError:
        raise
    except (ValueError, UnsupportedAlgorithm, x509.UnsupportedGeneralNameType):
        raise _wrong("it cannot be read") from None
    if not signed:
        raise _wrong("its signature does not prove that the sender holds the key")
    return CertificateRequest(key, names.get("vehicle"), names.get("serial_hash"), proof)


def _parsed(body: bytes) -> x509.CertificateSigningRequest:
    try:
        if body.lstrip().startswith(b"-----"):
            return x509.load_pem_x509_csr(body)
        if body[:1] != b"\x30":
            body = base64.b64decode(b"".join(body.split()), validate=True)
        return x509.load_der_x509_csr(body)
    except (ValueError, binascii.Error):
        raise _wrong("it is neither PEM nor DER") from None


def _key(request: x509.CertificateSigningRequest) -> bytes:
    key = request.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _wrong("its key is not on the curve P-256")
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _names(subject: x509.Name) -> dict[str, str]:
    found: dict[str, str] = {}
    for attribute in subject:
        name = _NAMES.get(attribute.oid)
        if name is None or name in found or not isinstance(attribute.value, str):
            raise _wrong("its name has more than the car's id (CN) and a hash (serialNumber)")
        found[name] = attribute.value
    return found


def _proof(request: x509.CertificateSigningRequest) -> str | None:
    """Return the challengePassword; refuse every other attribute, extensions above all."""
    proofs: list[bytes] = []
    for attribute in request.attributes:
        if attribute.oid.dotted_string == EXTENSION_REQUEST:
            raise _wrong("it asks for extensions, which the zone alone decides")
        if attribute.oid != AttributeOID.CHALLENGE_PASSWORD:
            raise _wrong("it has an attribute that is not known here")
        proofs.append(attribute.value)
    if not proofs:
        return None
    if len(proofs) > 1 or not 0 < len(proofs[0]) <= LIMIT_PROOF or not proofs[0].isascii():
        raise _wrong("its challengePassword is not one short text")
    return proofs[0].decode("ascii")


def _wrong(why: str) -> InputError:
    do = "Send PKCS#10 for a new P-256 key, without extensions; docs/identity.md describes it."
    return InputError(f"This is no request for a certificate: {why}.", do)
