"""Places of those who are connected and have not logged in: strangers.

Rules:
* Strangers have half of all places, and those of one address half of these.
* A newcomer takes the place of the stranger that has been there longest, for a second at least, and waits for no answer
  of ours. So a car, which logs in at once, comes in past any number of silent connections.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Protocol

LOOK_AT = 32
"""Strangers that are asked to go for a newcomer: more of them wait for an answer only in a storm of logins."""


class Stranger(Protocol):
    """Somebody who has not logged in."""

    def give_place(self) -> bool:
        """Go, unless an answer is on its way; tell whether."""


class Places:
    """The places of a door with so many sessions."""

    def __init__(self, sessions: int) -> None:
        self._most, self._most_of_one = sessions // 2, sessions // 4
        self._all: dict[Stranger, str] = {}
        self._of: dict[str, dict[Stranger, None]] = {}

    def take(self, one: Stranger, address: str) -> bool:
        """Give a newcomer a place; tell whether there is one. Who has one keeps it."""
        if one in self._all:
            return True
        same = self._of.get(address, {})
        if len(same) >= self._most_of_one and not _freed(same):
            return False
        if len(self._all) >= self._most and not self.free():
            return False
        self._all[one] = address
        self._of.setdefault(address, {})[one] = None
        return True

    def free(self) -> bool:
        """Have a stranger go; tell whether one did."""
        return _freed(self._all)

    def leave(self, one: Stranger) -> None:
        """Somebody has logged in, or gone."""
        address = self._all.pop(one, None)
        if address is not None:
            del self._of[address][one]
            if not self._of[address]:
                del self._of[address]

    def __len__(self) -> int:
        """Return how many strangers there are."""
        return len(self._all)


def _freed(strangers: Iterable[Stranger]) -> bool:
    return any(one.give_place() for one in list(islice(strangers, LOOK_AT)))
