"""The session between an order signer and a car's domain: one key, known to these two and to nobody between them.

Rules:
* The key comes from both sides' P-256 keys, and is another for every vehicle, domain and role.
* What the car says of its clock and counter is believed only with a tag over the challenge it answers.
* An order is sealed under metadata that name vehicle, domain, role, epoch, counter, expiry and order; a result under
  metadata that name the very message it answers.

Source: RFC 5869 (HKDF), RFC 2104 (HMAC), NIST SP 800-38D (GCM). The scheme follows what Tesla publishes for its cars
(github.com/teslamotors/vehicle-command, protocol.md), with HKDF-SHA256 over named parts in place of SHA-1.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from carcloud.vehicle.order import (
    NONCE_BYTES,
    TAG_BYTES,
    Fault,
    OrderError,
    Result,
    SessionInfo,
    SignatureType,
    SignedOrder,
    Tag,
    metadata,
    u8,
)

KEY_BYTES = 32


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return a public key as 65 bytes: 0x04, x, y."""
    return key.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)


def public_key(data: bytes) -> ec.EllipticCurvePublicKey:
    """Read a public key of 65 bytes. Raise OrderError where it is no point of the curve."""
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), data)
    except ValueError:
        raise OrderError("no point of the curve P-256") from None


def shared(own: ec.EllipticCurvePrivateKey, other: ec.EllipticCurvePublicKey) -> bytes:
    """Return the x coordinate both sides come to, 32 bytes."""
    return own.exchange(ec.ECDH(), other)


def session_key(secret: bytes, vehicle: str, domain: int, role: str) -> bytes:
    """Return the key of a session from the shared x coordinate."""
    parts = (vehicle.encode(), u8(domain), role.encode())
    info = b"carcloud/order/1" + b"".join(u8(len(part)) + part for part in parts)
    return HKDF(hashes.SHA256(), KEY_BYTES, None, info).derive(secret)


def info_tag(key: bytes, vehicle: str, challenge: bytes, info: bytes) -> bytes:
    """Return the tag over what a car says of its session, 32 bytes."""
    covered = metadata(
        {
            Tag.SIGNATURE_TYPE: u8(SignatureType.HMAC),
            Tag.PERSONALISATION: vehicle.encode(),
            Tag.CHALLENGE: challenge,
        }
    )
    tag_key = hmac.digest(key, b"session info", "sha256")
    return hmac.digest(tag_key, covered + info, "sha256")


def info_holds(key: bytes, vehicle: str, info: SessionInfo) -> bool:
    """Say whether the car made this information, for this challenge."""
    return hmac.compare_digest(info_tag(key, vehicle, info.challenge, info.signed), info.tag)


def seal(key: bytes, nonce: bytes, body: bytes, covered: bytes) -> tuple[bytes, bytes]:
    """Return (ciphertext, tag)."""
    sealed = AESGCM(key).encrypt(nonce, body, hashlib.sha256(covered).digest())
    return sealed[:-TAG_BYTES], sealed[-TAG_BYTES:]


def unseal(key: bytes, nonce: bytes, sealed: bytes, tag: bytes, covered: bytes) -> bytes | None:
    """Return what was sealed, None where the seal is broken."""
    try:
        return AESGCM(key).decrypt(nonce, sealed + tag, hashlib.sha256(covered).digest())
    except InvalidTag:
        return None


def seal_order(
    key: bytes,
    vehicle: str,
    order: bytes,
    domain: int,
    role: str,
    epoch: bytes,
    counter: int,
    expires_at: int,
    body: bytes,
) -> SignedOrder:
    """Return an order sealed for one car, epoch and counter; `expires_at` in seconds of the car's clock."""
    nonce = os.urandom(NONCE_BYTES)
    draft = SignedOrder(domain, role, order, epoch, counter, expires_at, 0, nonce, b"", b"")
    return SignedOrder(
        domain, role, order, epoch, counter, expires_at, 0, nonce, *seal(key, nonce, body, draft.covered(vehicle))
    )


def open_order(key: bytes, vehicle: str, order: SignedOrder) -> bytes | None:
    """Return an order's content, None where it was not made for this car, or changed."""
    return unseal(key, order.nonce, order.sealed, order.tag, order.covered(vehicle))


def seal_result(key: bytes, vehicle: str, order: SignedOrder, counter: int, body: bytes) -> Result:
    """Return a result, bound to the message that gave the order."""
    nonce = os.urandom(NONCE_BYTES)
    parts = (order.domain, order.role, order.order, counter, 0, int(Fault.NONE), order.request_hash, nonce)
    return Result(*parts, *seal(key, nonce, body, Result(*parts, b"", b"").covered(vehicle)))


def open_result(key: bytes, vehicle: str, result: Result) -> bytes | None:
    """Return a result's content, None where this car did not make it for this message."""
    return unseal(key, result.nonce, result.sealed, result.tag, result.covered(vehicle))
