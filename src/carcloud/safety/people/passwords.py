"""Passwords: kept as argon2id hashes, checked in equal time whether there is such a person or not.

Rules:
* At least 12 characters; none is ever given by us, so none can be left as it was.
* Checking is dear on purpose, so few are checked at once and few may wait.

Source: RFC 9106 (Argon2), section 4, the second recommended option: 64 MiB of memory, 3 passes.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from carcloud.errors import InputError, TryLaterError

LEAST, MOST = 12, 1024
LEAST_DIFFERENT = 5
AT_ONCE, WAITING = 2, 16
"""Each check takes 64 MiB and a good part of a second; more at once would only wait for each other."""

_hasher = PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4, type=Type.ID)
_checking, _places = threading.BoundedSemaphore(AT_ONCE), threading.BoundedSemaphore(AT_ONCE + WAITING)


def hashed(password: str, login: str) -> str:
    """Return the hash to keep of a new password; raise InputError where it is none to keep."""
    if not LEAST <= len(password) <= MOST:
        raise InputError(f"A password has {LEAST} to {MOST} characters.", "Choose a longer one, such as four words.")
    if len(set(password)) < LEAST_DIFFERENT or login.lower() in password.lower():
        raise InputError("This password is too easy to guess.", "Choose one without your login, of different letters.")
    with _turn():
        return _hasher.hash(_same(password))


def fits(password: str, kept: str | None) -> bool:
    """Tell whether this is the password of that hash; where there is none it takes as long, and does not fit."""
    with _turn():
        try:
            _hasher.verify(kept or _nobodys(), _same(password[: MOST + 1]))
        except (VerificationError, InvalidHashError):
            return False
    return kept is not None and len(password) <= MOST


@cache
def _nobodys() -> str:
    return _hasher.hash("of nobody")


def _same(password: str) -> bytes:
    """Return one form of a text that keyboards write in several."""
    return unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")


@contextmanager
def _turn() -> Iterator[None]:
    if not _places.acquire(blocking=False):
        raise TryLaterError("Many are signing in at once.", "Try again in a few seconds.")
    try:
        with _checking:
            yield
    finally:
        _places.release()
