"""The seal on what is kept but not shown: encrypted at rest, and bound to the entry it belongs to.

Source: NIST SP 800-38D (AES-GCM, 96-bit random nonce).
"""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from carcloud.errors import ConflictError
from carcloud.safety.keys import private_folder, read_or_make_key

NONCE_BYTES = 12


class Seal:
    """AES-256-GCM under a key of the zone, `keys/quarantine.key` if no other is named, which is made on first use."""

    def __init__(self, keys: Path, name: str = "quarantine") -> None:
        self._path = private_folder(keys) / f"{name}.key"
        self._cipher = AESGCM(read_or_make_key(self._path, lambda: AESGCM.generate_key(256)))

    def seal(self, payload: bytes, entry: str) -> bytes:
        """Encrypt a payload for the entry of this id."""
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, payload, entry.encode())

    def open(self, sealed: bytes, entry: str) -> bytes:
        """Return the payload; raise ConflictError where it was changed, moved to another entry, or has another key."""
        try:
            return self._cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], entry.encode())
        except (InvalidTag, ValueError):
            do = f"Restore {self._path} as it was when the entry was kept; if it is, the entry was tampered with."
            raise ConflictError(f"Entry {entry} does not open under this key.", do) from None
