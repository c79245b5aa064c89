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
from carcloud.vehicle.batch import TOKEN

NONCE_BYTES = 12


class NameVault:
    """Seals what names a car in the records. Keys are made on first use.

    A tenant's text is sealed under the tenant's key, `keys/tenants/NAME/names.key`, and says so: `NAME:…`. What is no
    tenant's is sealed under the zone's, `keys/names.key`.
    AES-256-SIV: the same text is sealed to the same one, so that the records can be asked for it.
    """

    def __init__(self, keys: Path) -> None:
        self._keys = private_folder(keys)
        self._known: dict[str | None, AESSIV] = {}
        self._cipher(None)

    def seal(self, text: str, tenant: str | None = None) -> str:
        """Return a text sealed: 44 characters for 17, after the tenant's name and a colon."""
        sealed = base64.urlsafe_b64encode(self._cipher(tenant).encrypt(text.encode(), None)).decode()
        return sealed if tenant is None else f"{tenant}:{sealed}"

    def open(self, sealed: str) -> str:
        """Return the text; raise ConflictError where it was changed, or another key sealed it."""
        name, colon, rest = sealed.rpartition(":")
        tenant = name if colon else None
        try:
            if tenant is not None and not (TOKEN.fullmatch(tenant) and (self._folder(tenant) / "names.key").exists()):
                raise ValueError("no key")  # what lies in the records makes none
            return self._cipher(tenant).decrypt(base64.urlsafe_b64decode(rest), None).decode()
        except (InvalidTag, ValueError):
            do = f"Restore names.key below {self._keys} as it was when the car was enrolled."
            raise ConflictError("A name in the records does not open under this key.", do) from None

    def _cipher(self, tenant: str | None) -> AESSIV:
        if tenant not in self._known:
            if tenant is not None:
                private_folder(private_folder(self._keys / "tenants") / tenant)
            key = read_or_make_key(self._folder(tenant) / "names.key", lambda: AESSIV.generate_key(512))
            self._known[tenant] = AESSIV(key)
        return self._known[tenant]

    def _folder(self, tenant: str | None) -> Path:
        return self._keys if tenant is None else self._keys / "tenants" / tenant


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
