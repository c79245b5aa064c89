"""What a person signs to have an order given: who may do what to which cars, and until when.

Rules:
* A person's own key signs the very bytes that travel: canonical JSON under the name of its purpose.
* An order's id is made from the authorisation and the vehicle: no other authorisation can have it, and the same one
  given twice is the same order.
* An authorisation lives for a day at most.

Source: FIPS 186-5 (ECDSA on P-256 with SHA-256), signature r and s of 32 bytes each, as WebCrypto writes it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from carcloud.errors import InputError
from carcloud.safety.orders.session import point
from carcloud.vehicle.batch import TOKEN
from carcloud.vehicle.commands import ROLES, Command, Parameters, command_of
from carcloud.vehicle.order import ORDER_BYTES, SIGNATURE_BYTES, OrderError, canonical, read_canonical

PURPOSE = b"carcloud/order-authorisation/v1\n"
LONGEST_S = 24 * 3600
LIMIT_VEHICLES = 10_000
LIMIT_TEXT_BYTES = 512 * 1024
NONCE_BYTES = 16
FIELDS = frozenset({"command", "expires_at", "nonce", "not_before", "parameters", "role", "tenant", "vehicles"})


@dataclass(frozen=True)
class Signature:
    """A person's signature, and the id of the key that made it."""

    key: str
    value: bytes


@dataclass(frozen=True)
class Authorisation:
    """A checked authorisation. Times are seconds since 1970 UTC; `text` is what was signed."""

    text: bytes
    tenant: str
    vehicles: tuple[str, ...]
    command: Command
    parameters: Parameters
    role: str
    not_before: int
    expires_at: int
    nonce: str

    @property
    def digest(self) -> str:
        """Return the authorisation's own id: the SHA-256 of what was signed."""
        return hashlib.sha256(PURPOSE + self.text).hexdigest()

    def order_id(self, vehicle: str) -> bytes:
        """Return the id of the order to this vehicle, 16 bytes."""
        return hashlib.sha256(f"carcloud/order-id/1\n{self.digest}\n{vehicle}".encode()).digest()[:ORDER_BYTES]

    def orders(self) -> dict[str, str]:
        """Return every vehicle's order id, in hexadecimal."""
        return {vehicle: self.order_id(vehicle).hex() for vehicle in self.vehicles}


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Return the id of a person's key: the first 16 hexadecimal digits of the SHA-256 of its point."""
    return hashlib.sha256(point(key)).hexdigest()[:16]


def draft(
    tenant: str,
    vehicles: Iterable[str],
    command: str,
    parameters: Parameters,
    role: str,
    not_before: int,
    expires_at: int,
) -> bytes:
    """Return the text of a new authorisation, ready to be signed."""
    return canonical(
        {
            "command": command,
            "expires_at": expires_at,
            "nonce": os.urandom(NONCE_BYTES).hex(),
            "not_before": not_before,
            "parameters": dict(parameters),
            "role": role,
            "tenant": tenant,
            "vehicles": sorted(set(vehicles)),
        }
    )


def sign(key: ec.EllipticCurvePrivateKey, text: bytes) -> Signature:
    """Return a person's signature over an authorisation."""
    r, s = decode_dss_signature(key.sign(PURPOSE + text, ec.ECDSA(hashes.SHA256())))
    return Signature(key_id(key.public_key()), r.to_bytes(32, "big") + s.to_bytes(32, "big"))


def signed(key: ec.EllipticCurvePublicKey, message: bytes, signature: bytes) -> bool:
    """Say whether this key made this signature, of 64 bytes, over a message."""
    if len(signature) != SIGNATURE_BYTES:
        return False
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def parse(text: bytes) -> Authorisation:
    """Read an authorisation; whose signatures it has is another question. Raise InputError where it is none."""
    try:
        body = read_canonical(text, LIMIT_TEXT_BYTES)
    except OrderError as error:
        raise _wrong(str(error)) from None
    if body.keys() != FIELDS:
        raise _wrong(f"it has exactly these fields: {', '.join(sorted(FIELDS))}")
    vehicles, nonce = body["vehicles"], body["nonce"]
    _check_names(body, vehicles)
    if not isinstance(nonce, str) or len(nonce) != 2 * NONCE_BYTES or set(nonce) - set("0123456789abcdef"):
        raise _wrong("its nonce is 32 hexadecimal digits")
    begin, end = body["not_before"], body["expires_at"]
    if not (_is_time(begin) and _is_time(end) and begin < end <= begin + LONGEST_S):
        raise _wrong(f"it ends after it begins, at most {LONGEST_S // 3600} h later, in whole seconds since 1970")
    command = command_of(body["command"], body["parameters"])
    return Authorisation(
        text, body["tenant"], tuple(vehicles), command, body["parameters"], body["role"], begin, end, nonce
    )


def _check_names(body: dict[str, Any], vehicles: object) -> None:
    if not isinstance(vehicles, list) or not 0 < len(vehicles) <= LIMIT_VEHICLES:
        raise _wrong(f"it names 1 to {LIMIT_VEHICLES} vehicles")
    if not all(isinstance(name, str) and TOKEN.fullmatch(name) for name in (*vehicles, body["tenant"])):
        raise _wrong("a vehicle or the tenant is no name")
    if vehicles != sorted(set(vehicles)):
        raise _wrong("its vehicles stand once each, in order")
    if body["role"] not in ROLES:
        raise _wrong(f"its role is one of {', '.join(ROLES)}")


def _is_time(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**40


def _wrong(reason: str) -> InputError:
    return InputError(f"This is no authorisation: {reason}.", "Sign it as docs/orders.md says.")
