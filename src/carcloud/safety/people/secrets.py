"""Secrets that let one in: random, shown once, kept as their SHA-256."""

from __future__ import annotations

import hashlib
import secrets

TOKEN_PREFIX = "cct_"  # noqa: S105  # what a token begins with, so that one found somewhere is known for what it is
SECRET_BYTES = 32
LONGEST = 200


def new_secret(prefix: str = "") -> str:
    """Return a new secret of 256 bits."""
    return prefix + secrets.token_urlsafe(SECRET_BYTES)


def new_id() -> str:
    """Return a new random id."""
    return secrets.token_hex(8)


def kept(secret: str) -> str:
    """Return what is kept of a secret. It is random and long, so a plain hash hides it."""
    return hashlib.sha256(secret[:LONGEST].encode("utf-8", "surrogatepass")).hexdigest()
