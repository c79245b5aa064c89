"""What an evaluator keeps of a signal's samples in a moving window (t - us, t]: exact, and as little as will do.

Rules:
* Samples come in the order of their times, one a time. A window is rolled to an instant before it is asked.
* A mean is kept as a sum of integers: taking an integer away again leaves no error behind.
* The greatest and the smallest are kept in queues that drop what can no longer be either.
* A window keeps so many samples and no more. One that would have to keep another begins anew and is unknown until that
  sample has left it; no other window is the worse for it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from typing import Any

from carcloud.vehicle.conditions.tree import LIMIT_MEAN

NEVER = 2**200
"""Later than any time."""


class Window(ABC):
    """A moving window. limit: how many samples it keeps. overfull: how often it had no room for another."""

    def __init__(self, us: int) -> None:
        self.us, self.limit, self.overfull = us, 0, 0
        self._samples: deque[tuple[int, Any]] = deque()
        self._blind_us = -NEVER
        """Until when it is unknown."""

    @property
    def deadline(self) -> int:
        """Return when the window will lose a sample that counts, or be known again."""
        if self._blind_us != -NEVER:
            return self._blind_us
        return self._samples[0][0] + self.us if self._samples else NEVER

    def take(self, time_us: int, value: float | str) -> None:
        """Take the next sample, rolled to its time."""
        self.roll(time_us)
        if len(self._samples) < self.limit:
            self.add(time_us, value)
            return
        self.overfull += 1
        self.roll(NEVER)
        self._blind_us = time_us + self.us

    def roll(self, time_us: int) -> None:
        """Leave out what is no longer in the window."""
        samples, start = self._samples, time_us - self.us
        while samples and samples[0][0] <= start:
            samples.popleft()
        if self._blind_us <= time_us:
            self._blind_us = -NEVER

    def value(self) -> float | None:
        """Return the answer for the instant rolled to."""
        return self._known() if self._blind_us == -NEVER else None

    @abstractmethod
    def add(self, time_us: int, value: Any) -> None:
        """Keep the next sample."""

    @abstractmethod
    def _known(self) -> float | None: ...


class Count(Window):
    """How many samples there are; of texts too."""

    def add(self, time_us: int, value: float | str) -> None:
        """Keep the next sample."""
        self._samples.append((time_us, None))

    def _known(self) -> float | None:
        return float(len(self._samples))


class Mean(Window):
    """The mean of the samples, of their millionths as integers."""

    def __init__(self, us: int) -> None:
        super().__init__(us)
        self._sum = self._huge = 0

    def roll(self, time_us: int) -> None:
        """Leave out what is no longer in the window."""
        samples, start = self._samples, time_us - self.us
        while samples and samples[0][0] <= start:
            millionths = samples.popleft()[1]
            if millionths is None:
                self._huge -= 1
            else:
                self._sum -= millionths
        if self._blind_us <= time_us:
            self._blind_us = -NEVER

    def add(self, time_us: int, value: float) -> None:
        """Keep the next sample."""
        if -LIMIT_MEAN < value < LIMIT_MEAN:
            millionths = math.floor(value * 1e6 + 0.5)
            self._sum += millionths
            self._samples.append((time_us, millionths))
        else:
            self._huge += 1
            self._samples.append((time_us, None))

    def _known(self) -> float | None:
        count = len(self._samples)
        return float(self._sum) / (count * 1e6) if count and not self._huge else None


class Extreme(Window):
    """The greatest of the samples, or the smallest where `sign` is -1."""

    def __init__(self, us: int, sign: int) -> None:
        super().__init__(us)
        self._sign = sign

    def add(self, time_us: int, value: float) -> None:
        """Keep the next sample: what is earlier and no greater will never be the greatest again."""
        value *= self._sign
        samples = self._samples
        while samples and samples[-1][1] <= value:
            samples.pop()
        samples.append((time_us, value))

    def _known(self) -> float | None:
        return self._samples[0][1] * self._sign if self._samples else None


def window(kind: str, us: int) -> Window:
    """Return an empty window for one kind of aggregate."""
    if kind == "count":
        return Count(us)
    return Mean(us) if kind == "mean" else Extreme(us, 1 if kind == "max" else -1)
