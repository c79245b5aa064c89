"""Pseudonyms: random names under which rows are kept that shall not say whose they are.

Rules:
* A pseudonym says nothing of the car, nor of when it was made. It begins with `p-`, which no car's own id does.
* A car has one for each epoch, a calendar time of UTC; what ties the two together is in the records alone, sealed.
"""

from __future__ import annotations

import secrets
import string
from datetime import UTC, datetime
from typing import Literal, get_args

Epoch = Literal["day", "month", "quarter", "year"]
EPOCHS: tuple[Epoch, ...] = get_args(Epoch)

PREFIX = "p-"
LETTERS = string.ascii_lowercase + string.digits
LENGTH = 20
"""Letters behind the prefix: 103 bits, so that two are never the same."""


def new_pseudonym() -> str:
    """Return a random name that nobody had before."""
    return PREFIX + "".join(secrets.choice(LETTERS) for _ in range(LENGTH))


def is_pseudonym(name: str) -> bool:
    """Tell whether this is a pseudonym and no car's own id."""
    return name.startswith(PREFIX)


def epoch_of(at_us: int, length: Epoch) -> str:
    """Return the epoch of a moment, in microseconds since 1970 UTC: as 2026-11-23, 2026-11, 2026-Q4 or 2026."""
    at = datetime.fromtimestamp(at_us // 1_000_000, UTC)
    if length == "quarter":
        return f"{at.year}-Q{(at.month + 2) // 3}"
    return at.strftime({"day": "%Y-%m-%d", "month": "%Y-%m", "year": "%Y"}[length])
