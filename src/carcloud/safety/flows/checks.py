"""What reading a flows file asks of its parts: each answers, or raises InputError with what to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from carcloud.errors import InputError


def need(fits: bool, where: str, problem: str, do: str) -> None:
    """Raise InputError where something does not fit."""
    if not fits:
        raise InputError(f"{where} {problem}.", do)


def known(entry: Mapping[Any, Any], keys: set[str], where: str) -> None:
    """Raise InputError where an entry has other keys."""
    strange = sorted(str(key)[:64] for key in entry if key not in keys)
    need(not strange, where, f"has unknown keys {', '.join(strange)}", f"Known are {', '.join(sorted(keys))}.")


def whole(value: Any) -> bool:
    """Tell whether a value is a whole number."""
    return isinstance(value, int) and not isinstance(value, bool)
