"""Vehicle identification numbers in free text are masked, whatever signal brings them.

Source: ISO 3779 for the characters of a VIN.
"""

from __future__ import annotations

import re

MASK = "[VIN]"
_VIN = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*[0-9])(?=[0-9]*[A-Za-z])[A-HJ-NPR-Za-hj-npr-z0-9]{17}(?![A-Za-z0-9])")


def masked(text: str) -> str:
    """Return the text with every word that may be a VIN replaced."""
    return _VIN.sub(MASK, text) if len(text) >= 17 else text
