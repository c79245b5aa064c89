"""SM2, the Chinese signature and encryption on an elliptic curve, by the extra `sm` (the package gmalg).

Rules:
* A public key is its point, 64 bytes, or 65 with 0x04 before; a private key is 32 bytes.
* The signer's identity is the usual `1234567812345678`, unless two sides agree on another.
* gmalg is pure Python: 10 to 20 ms a signature. It is not hardened against who can measure its time.

Source: GB/T 32918.2-2016 (signatures), .4 (encryption, as C1 C3 C2); GM/T 0009-2012 (the identity).
"""

from __future__ import annotations

import secrets

from carcloud.errors import InputError, MissingError

try:
    import gmalg
except ImportError:
    gmalg = None

IDENTITY = b"1234567812345678"
POINT_BYTES, SECRET_BYTES = 64, 32
OVERHEAD_BYTES = 1 + POINT_BYTES + 32
"""What sealing adds: the point and the hash."""


class Sm2Key:
    """A key of SM2: public, or private with its public half."""

    def __init__(self, public: bytes = b"", secret: bytes = b"", identity: bytes = IDENTITY) -> None:
        """Take a key. Raise MissingError without the extra, InputError where it is no key."""
        if gmalg is None:
            raise MissingError("SM2 needs the package gmalg.", "Install carcloud with its extra: carcloud[sm].")
        point = b"\x04" + public if len(public) == POINT_BYTES else public
        if not secret and (len(point) != POINT_BYTES + 1 or point[0] != 4):
            raise InputError("This is no public key of SM2.", "It is a point of 64 bytes.")
        if secret and (len(secret) != SECRET_BYTES or not any(secret)):
            raise InputError("This is no private key of SM2.", "It is a number of 32 bytes.")
        try:
            self._key = gmalg.SM2(secret or None, identity, point or None)
            self.public: bytes = (point or self._key.generate_pk(secret))[1:]
            good = self._key.verify_pk(b"\x04" + self.public)
        except gmalg.errors.GMError:
            good = False
        if not good:
            raise InputError("This is no key of SM2.", "Its point does not lie on the curve.")

    @classmethod
    def make(cls) -> Sm2Key:
        """Return a new private key."""
        return cls(secret=secrets.token_bytes(SECRET_BYTES))

    def sign(self, data: bytes) -> tuple[bytes, bytes]:
        """Return r and s, 32 bytes each."""
        r, s = self._key.sign(data)
        return bytes(r).rjust(32, b"\0"), bytes(s).rjust(32, b"\0")

    def verify(self, data: bytes, r: bytes, s: bytes) -> bool:
        """Tell whether r and s sign the data."""
        try:
            return 0 < len(r) <= 32 and 0 < len(s) <= 32 and bool(self._key.verify(data, r, s))
        except gmalg.errors.GMError:
            return False

    def seal(self, data: bytes) -> bytes:
        """Return data that only the private half opens: 0x04, C1, C3, C2."""
        return bytes(self._key.encrypt(data))

    def open(self, data: bytes) -> bytes | None:
        """Return what was sealed, or None where it was not sealed for this key."""
        if len(data) < OVERHEAD_BYTES or data[0] != 4:
            return None
        try:
            return bytes(self._key.decrypt(data))
        except gmalg.errors.GMError:
            return None
