"""What an evaluator keeps of a signal's samples in a moving window (t - us, t]: exact, and as little as will do.

Rules:
* Samples come in the order of their times, one a time. A window is rolled to an instant before it is asked.
* A mean is kept as a sum of integers: taking an integer away again leaves no error behind.
* The greatest and the smallest are kept in queues that drop what can no longer be either.
"""

from __future__ import annotations

import math
from collections import deque

from carcloud.vehicle.conditions.tree import LIMIT_MEAN

NEVER = 2**200
"""Later than any time."""


class Count:
    """How many samples there are; of texts too."""

    def __init__(self, us: int) -> None:
        self.us = us
        self._times: deque[int] = deque()

    def __len__(self) -> int:
        return len(self._times)

    @property
    def deadline(self) -> int:
        """Return when the window will lose a sample that counts."""
        return self._times[0] + self.us if self._times else NEVER

    def roll(self, time_us: int) -> None:
        """Leave out what is no longer in the window."""
        times, start = self._times, time_us - self.us
        while times and times[0] <= start:
            times.popleft()

    def add(self, time_us: int, value: float | str) -> None:
        """Take the next sample."""
        self._times.append(time_us)

    def value(self) -> float | None:
        """Return the answer for the instant rolled to."""
        return float(len(self._times))


class Mean:
    """The mean of the samples, of their millionths as integers."""

    def __init__(self, us: int) -> None:
        self.us = us
        self._samples: deque[tuple[int, int | None]] = deque()
        self._sum = self._huge = 0

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def deadline(self) -> int:
        """Return when the window will lose a sample that counts."""
        return self._samples[0][0] + self.us if self._samples else NEVER

    def roll(self, time_us: int) -> None:
        """Leave out what is no longer in the window."""
        samples, start = self._samples, time_us - self.us
        while samples and samples[0][0] <= start:
            millionths = samples.popleft()[1]
            if millionths is None:
                self._huge -= 1
            else:
                self._sum -= millionths

    def add(self, time_us: int, value: float) -> None:
        """Take the next sample."""
        if -LIMIT_MEAN < value < LIMIT_MEAN:
            millionths = math.floor(value * 1e6 + 0.5)
            self._sum += millionths
            self._samples.append((time_us, millionths))
        else:
            self._huge += 1
            self._samples.append((time_us, None))

    def value(self) -> float | None:
        """Return the answer for the instant rolled to."""
        count = len(self._samples)
        return float(self._sum) / (count * 1e6) if count and not self._huge else None


class Extreme:
    """The greatest of the samples, or the smallest where `sign` is -1."""

    def __init__(self, us: int, sign: int) -> None:
        self.us, self._sign = us, sign
        self._samples: deque[tuple[int, float]] = deque()

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def deadline(self) -> int:
        """Return when the window will lose a sample that counts."""
        return self._samples[0][0] + self.us if self._samples else NEVER

    def roll(self, time_us: int) -> None:
        """Leave out what is no longer in the window."""
        samples, start = self._samples, time_us - self.us
        while samples and samples[0][0] <= start:
            samples.popleft()

    def add(self, time_us: int, value: float) -> None:
        """Take the next sample: what is earlier and no greater will never be the greatest again."""
        value *= self._sign
        samples = self._samples
        while samples and samples[-1][1] <= value:
            samples.pop()
        samples.append((time_us, value))

    def value(self) -> float | None:
        """Return the answer for the instant rolled to."""
        return self._samples[0][1] * self._sign if self._samples else None


Window = Count | Mean | Extreme


def window(kind: str, us: int) -> Window:
    """Return an empty window for one kind of aggregate."""
    if kind == "count":
        return Count(us)
    return Mean(us) if kind == "mean" else Extreme(us, 1 if kind == "max" else -1)
