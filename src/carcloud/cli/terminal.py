"""What a terminal may be shown."""

from __future__ import annotations


def harmless(text: str) -> str:
    """Return text with what a terminal would obey written out: a car may have sent it."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
