"""Vehicle identification numbers in free text are masked, whatever signal brings them.

Rules:
* A word of 17 of a VIN's characters, with letters and digits among them, is masked.
* So is one written in its three sections (WMI, VDS, VIS), or character by character, with blanks, hyphens, dots or
  slashes between; one that follows the word VIN at once; and any of them in wide characters.
* Rather one word too many is masked than a car named. Whoever wants to hide a VIN in a text can still do so.

Source: ISO 3779 for the characters of a VIN.
"""

from __future__ import annotations

import re

MASK = "[VIN]"
_SIGN = "[A-HJ-NPR-Za-hj-npr-z0-9]"
_APART = r"[ ./_\-]"
_BEGIN = r"(?<![A-Za-z0-9])(?:VIN(?=[A-Za-z0-9]{17}(?![A-Za-z0-9])))?"
_WHOLE = rf"(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z]){_SIGN}{{17}}"
_SECTIONS = rf"{_SIGN}{{3}}({_APART}){_SIGN}{{6}}\1(?=[A-Za-z0-9]*[0-9]){_SIGN}{{8}}"
_SINGLY = rf"{_SIGN}({_APART}){_SIGN}(?:\2{_SIGN}){{15}}"
_VIN = re.compile(rf"{_BEGIN}(?:{_WHOLE}|{_SECTIONS}|{_SINGLY})(?![A-Za-z0-9])")
_NARROW = {wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0x2010: 0x2D, 0x2011: 0x2D}
"""Wide forms of ASCII, and hyphens, as the one character that each stands for: so places in the text stay the same."""


def masked(text: str) -> str:
    """Return the text with every word that may be a VIN replaced."""
    if len(text) < 17:
        return text
    parts, end = [], 0
    for found in _VIN.finditer(text.translate(_NARROW)):
        parts += [text[end : found.start()], MASK]
        end = found.end()
    return "".join([*parts, text[end:]]) if parts else text
