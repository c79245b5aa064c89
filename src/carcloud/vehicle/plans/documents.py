"""A file of plans: one document, or several with a line `---` between them."""

from __future__ import annotations

import re
from typing import Any

from carcloud.errors import InputError
from carcloud.vehicle.document import load

LIMIT_DOCUMENTS = 50
LIMIT_TEXT_BYTES = 128 * 1024
LIMIT_DOCUMENT_BYTES = 32 * 1024
"""Twice what a plan has in its one form; reading YAML takes long."""
_BETWEEN = re.compile(r"^---[ \t]*\r?$", re.MULTILINE)


def documents(text: str) -> list[Any]:
    """Return the parsed documents of a file; raise InputError where it cannot be read."""
    if len(text.encode(errors="replace")) > LIMIT_TEXT_BYTES:
        raise InputError(f"The file has more than {LIMIT_TEXT_BYTES >> 10} KiB.", "Make several files of it.")
    parts = [part for part in _BETWEEN.split(text) if part.strip()]
    if not 0 < len(parts) <= LIMIT_DOCUMENTS:
        raise InputError(f"The file has {len(parts)} plans; 1 to {LIMIT_DOCUMENTS} are read at once.", "Mend the file.")
    if any(len(part.encode(errors="replace")) > LIMIT_DOCUMENT_BYTES for part in parts):
        raise InputError(f"A plan has more than {LIMIT_DOCUMENT_BYTES >> 10} KiB.", "Make two plans of it.")
    return [load(part) for part in parts]
