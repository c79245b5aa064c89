"""The second factor: time-based one-time codes, as authenticator apps show them.

Source: RFC 6238 (TOTP), RFC 4226 (HOTP); the address that apps read is the de facto otpauth:// form.
"""

from __future__ import annotations

import hmac
from datetime import datetime

import pyotp

STEP_S = 30
SLACK = 1
"""How many steps a clock may be off, before or behind."""
DIGITS = 6


def new_secret() -> str:
    """Return a new secret of 160 bits, in Base32."""
    return pyotp.random_base32(32)


def address(secret: str, login: str, zone: str) -> str:
    """Return the otpauth:// address that an app reads, mostly as a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=f"carcloud {zone}")


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """Return the time step whose code this is, or None; all are compared, whichever fits."""
    given = "".join(code.split())
    if len(given) != DIGITS or not (given.isascii() and given.isdecimal()):
        return None
    present, totp, found = int(now.timestamp()) // STEP_S, pyotp.TOTP(secret), None
    for step in range(present - SLACK, present + SLACK + 1):
        if hmac.compare_digest(totp.generate_otp(step), given):
            found = step
    return found
