"""Numbering: which batch of a car's queue is next, and what is acknowledged.

Rules:
* A queue's mark is the highest contiguous number that stands in GOVERNED. Only mark + 1 is accepted.
* A later number waits, unacknowledged; an earlier one is answered with the mark again.
* A car has at most `LIMIT_QUEUES` queues; a new one beyond that pushes out the one used longest ago.
* Marks are a fold of the stream: a snapshot with its position, and the marks in later chunks' metadata.
"""

from __future__ import annotations

from enum import Enum

LIMIT_QUEUES = 16


class Turn(Enum):
    """What a number means when it arrives."""

    NEXT = "next"
    LATER = "later"
    EARLIER = "earlier"


class Marks:
    """The mark of every (vehicle, queue)."""

    def __init__(self, marks: dict[str, dict[int, int]] | None = None) -> None:
        self._marks = marks or {}

    def mark(self, vehicle: str, queue: int) -> int:
        """Return the highest contiguous number of the queue, 0 before the first."""
        return self._marks.get(vehicle, {}).get(queue, 0)

    def turn(self, vehicle: str, queue: int, number: int) -> Turn:
        """Tell whether a number is the next one, a later one, or one that was accepted before."""
        expected = self.mark(vehicle, queue) + 1
        return Turn.NEXT if number == expected else Turn.LATER if number > expected else Turn.EARLIER

    def advance(self, vehicle: str, queue: int, number: int) -> None:
        """Move the queue's mark; the queue becomes the car's most recently used."""
        queues = self._marks.setdefault(vehicle, {})
        queues.pop(queue, None)
        queues[queue] = number
        if len(queues) > LIMIT_QUEUES:
            del queues[next(iter(queues))]

    def forget(self, vehicle: str) -> None:
        """Drop every mark of a car whose data are erased."""
        self._marks.pop(vehicle, None)

    def dump(self) -> dict[str, dict[str, int]]:
        """Return all marks, ready for JSON; queues as 16 hexadecimal digits, least recently used first."""
        return {
            car: {f"{queue:016x}": number for queue, number in queues.items()} for car, queues in self._marks.items()
        }

    @classmethod
    def load(cls, dumped: dict[str, dict[str, int]]) -> Marks:
        """Read what `dump` wrote."""
        return cls(
            {car: {int(queue, 16): number for queue, number in queues.items()} for car, queues in dumped.items()}
        )
