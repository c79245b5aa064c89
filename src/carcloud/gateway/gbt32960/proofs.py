"""What proves who wrote a report, and what opens it: the keys of terminals, and the door's own.

Rules:
* A terminal of the edition of 2025 activates with a chip and a key, once; its signature shows that it has the key.
* Where a terminal's key is known, a signature that it does not verify is refused; where the settings want signatures,
  a report without one is too.
* The door has one RSA key, made on first use. Payloads and keys may be sealed for it; its public half is no secret.
* The keys that a key exchange brings are the car's for as long as its session lasts, and are kept nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from carcloud.errors import CarcloudError
from carcloud.safety.keys import private_folder, read_or_make_key
from carcloud.vehicle.gbt32960.forms import Activation, Report, Signature
from carcloud.vehicle.gbt32960.frames import Edition, Encryption, Fault, Frame
from carcloud.vehicle.gbt32960.sealing import Keys, unseal
from carcloud.vehicle.gbt32960.signature import PublicKey, activated_key, verify

KEY_FILE = "gbt32960.key"
KEY_BITS = 2048
DONE, NOT_DONE = 1, 2
FINE, CHIP_USED = 1, 2


@dataclass(frozen=True)
class Proof:
    """What an activation showed: chip, and key with its algorithm before it, as the records keep it."""

    chip: str
    kept: bytes


def own_key(keys: Path) -> rsa.RSAPrivateKey:
    """Return the door's own key; it is made on first use."""
    path = private_folder(keys) / KEY_FILE
    found = serialization.load_pem_private_key(read_or_make_key(path, _made), None)
    assert isinstance(found, rsa.RSAPrivateKey)
    return found


def public_half(keys: Path) -> str:
    """Return the public half of the door's key, PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return own_key(keys).public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def opened(frame: Frame, keys: Keys) -> Frame | Fault:
    """Return a frame with its payload opened."""
    return frame if frame.encryption == Encryption.NONE else unseal(frame, keys, datetime.now(UTC))


def proof_of(activation: Activation, vin: str) -> Proof | None:
    """Return what an activation shows, or None where it shows nothing: another VIN, no key, no signature of it."""
    if activation.activated != vin or not activation.chip:
        return None
    try:
        key = activated_key(activation)
    except CarcloudError:
        return None
    kept = bytes([activation.signature.algorithm]) + activation.key
    return Proof(activation.chip, kept) if verify(activation, key) else None


@lru_cache(16_384)
def key_of(kept: bytes | None) -> PublicKey | None:
    """Return the key the records keep of a terminal."""
    if not kept:
        return None
    said = Activation("", datetime.now(UTC), "", kept[1:], "", Signature(kept[0], b""))
    try:
        return activated_key(said)
    except CarcloudError:
        return None


def is_proven(report: Report, edition: Edition, key: PublicKey | None, *, wanted: bool) -> bool:
    """Tell whether a report is signed as it has to be."""
    if edition is Edition.E2016 or (not wanted and (key is None or report.signature is None)):
        return True
    return key is not None and verify(report, key)


def _made() -> bytes:
    key = rsa.generate_private_key(65537, KEY_BITS)
    form, none = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, none)
