"""When a plan collects: windows around its firings, merged where they overlap, cut at whole minutes.

Rules:
* A firing at `t` opens the window [t - before, t + after], closed, in whole µs. Windows that overlap are one.
* A plan without a condition has one window. Its pieces are the minutes in which there are samples; what makes sampling
  begin anew there is a silence: see `harvest.py`.
* A merged window comes as pieces, cut at whole minutes of UTC, so that neither memory nor patience grows with it.
  Sampling goes on from piece to piece of a window, and begins anew with the next window.
* A piece is final when no firing can come any more that would change it: `before` later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

PIECE_US = 60_000_000


class Piece(NamedTuple):
    """A stretch of a merged window, both ends in it, in µs since 1970 UTC. `first`: the window begins with it."""

    start_us: int
    end_us: int
    first: bool


class Windows:
    """The windows of one plan on one car, told piece by piece as time goes on."""

    def __init__(self, before_us: int, after_us: int) -> None:
        self._before, self._after = before_us, after_us
        self._open: list[list[int]] = []
        """Merged windows, [start, end], in order; of the first, `_told` may be told already."""
        self._told: int | None = None

    @property
    def oldest_us(self) -> int | None:
        """Return from when on samples are still wanted by windows that are open, None where none is."""
        if not self._open:
            return None
        return self._open[0][0] if self._told is None else self._told + 1

    def fire(self, time_us: int) -> None:
        """Take a firing, not before the last one."""
        start, end = time_us - self._before, time_us + self._after
        if self._open and start <= self._open[-1][1]:
            self._open[-1][1] = max(end, self._open[-1][1])
        else:
            self._open.append([start, end])

    def ready(self, until_us: int) -> list[Piece]:
        """Return the pieces that are final, given that all firings before `until_us` are told. Each comes once."""
        final, found = until_us - self._before, list[Piece]()
        while self._open:
            start, end = self._open[0]
            at = start if self._told is None else self._told + 1
            while at <= end:
                close = min(end, (at // PIECE_US + 1) * PIECE_US - 1)
                if close >= final:
                    return found
                found.append(Piece(at, close, self._told is None))
                self._told, at = close, close + 1
            self._open.pop(0)
            self._told = None
        return found


def pieces(firings: Iterable[int], before_us: int, after_us: int) -> list[Piece]:
    """Return all pieces of the windows of these firings."""
    windows = Windows(before_us, after_us)
    for time_us in firings:
        windows.fire(time_us)
    return windows.ready(2**63 - 1)


def minute(time_us: int, until_us: int) -> Piece:
    """Return the piece of a plan without a condition that has this time; nothing from `until_us` on is in it."""
    start_us = time_us // PIECE_US * PIECE_US
    return Piece(start_us, min(start_us + PIECE_US, until_us) - 1, False)
