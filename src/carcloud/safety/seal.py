"""The seal on quarantined payloads: encrypted at rest, and bound to the entry they belong to.

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
    """AES-256-GCM under the zone's quarantine key, `keys/quarantine.key`, which is made on first use."""

    def __init__(self, keys: Path) -> None:
        self._path = private_folder(keys) / "quarantine.key"
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
