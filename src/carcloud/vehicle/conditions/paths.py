"""Which signal somebody may have meant who wrote a path that the catalogue does not know."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches

LIMIT_CANDIDATES = 200


def likely(written: str, paths: Iterable[str], most: int = 3) -> list[str]:
    """Return the paths most like what was written, best first: their last name is like its last name."""
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(path.rpartition(".")[2].lower(), []).append(path)
    last = written[:256].rpartition(".")[2].lower()
    names = [last] if last in by_name else get_close_matches(last, by_name, most, 0.7)
    candidates = [path for name in names for path in by_name[name]][:LIMIT_CANDIDATES]
    whole = written[:256].lower()
    return sorted(candidates, key=lambda path: -SequenceMatcher(None, whole, path.lower()).ratio())[:most]
