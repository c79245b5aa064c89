"""A vehicle identification number: 17 characters, never I, O or Q.

The check digit is law in North America only; elsewhere its place carries any character. So it is reported, never
refused.

Source: ISO 3779:2009; 49 CFR 565.15 (check digit).
"""

import re

from carcloud.errors import InputError

_VIN = re.compile(r"[A-HJ-NPR-Z0-9]{17}")
_WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
_LETTERS = dict(zip("ABCDEFGHJKLMNPRSTUVWXYZ", map(int, "12345678123457923456789"), strict=True))
_NORTH_AMERICA = "12345"


def parse_vin(text: str) -> str:
    """Return the VIN in upper case; raise InputError where it is none."""
    vin = text.strip().upper()
    if not _VIN.fullmatch(vin):
        do = "A VIN has 17 letters and digits, and never I, O or Q."
        raise InputError(f"{text[:32]!r} is no VIN ({len(vin)} characters).", do)
    return vin


def check_digit_holds(vin: str) -> bool | None:
    """Say whether a North American VIN's 9th character is its check digit; None for a VIN of elsewhere."""
    if vin[0] not in _NORTH_AMERICA:
        return None
    total = sum(weight * (_LETTERS.get(sign) or int(sign)) for weight, sign in zip(_WEIGHTS, vin, strict=True))
    return vin[8] == "0123456789X"[total % 11]
