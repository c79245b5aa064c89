"""The seal on what is kept but not shown: encrypted at rest, and bound to the entry it belongs to.

Source: NIST SP 800-38D (AES-GCM, 96-bit random nonce); RFC 5297 (AES-SIV, deterministic).
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV

from carcloud.errors import ConflictError
from carcloud.safety.keys import private_folder, read_or_make_key

NONCE_BYTES = 12


class NameVault:
    """Seals what names a car in the records, under the zone's key `keys/names.key`, which is made on first use.

    AES-256-SIV: the same text is sealed to the same one, so that the records can be asked for it.
    """

    def __init__(self, keys: Path) -> None:
        self._path = private_folder(keys) / "names.key"
        self._cipher = AESSIV(read_or_make_key(self._path, lambda: AESSIV.generate_key(512)))

    def seal(self, text: str) -> str:
        """Return a text sealed: 44 characters for 17."""
        return base64.urlsafe_b64encode(self._cipher.encrypt(text.encode(), None)).decode()

    def open(self, sealed: str) -> str:
        """Return the text; raise ConflictError where it was changed, or another key sealed it."""
        try:
            return self._cipher.decrypt(base64.urlsafe_b64decode(sealed), None).decode()
        except (InvalidTag, ValueError):
            do = f"Restore {self._path} as it was when the car was enrolled."
            raise ConflictError("A name in the records does not open under this key.", do) from None


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


class Seals:
    """A seal for each tenant: the home tenant's key lies in `keys`, another's in `keys/tenants/NAME`."""

    def __init__(self, keys: Path, home: str, name: str = "quarantine") -> None:
        self._keys, self._home, self._name = keys, home, name
        self._known: dict[str, Seal] = {}

    def of(self, tenant: str) -> Seal:
        """Return a tenant's seal; its key is made on first use."""
        if tenant not in self._known:
            self._known[tenant] = Seal(keys_of(self._keys, tenant, self._home), self._name)
        return self._known[tenant]


def keys_of(keys: Path, tenant: str, home: str) -> Path:
    """Return the folder of a tenant's own keys, made on first use."""
    return keys if tenant == home else private_folder(private_folder(keys / "tenants") / tenant)
