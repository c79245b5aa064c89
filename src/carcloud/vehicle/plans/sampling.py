"""Which samples of a signal a plan keeps: all, one a period, on change, by a dead band, or by a curve log.

Rules:
* Sampling begins anew with each merged window: its first sample is always kept.
* `every` keeps the first sample of each period; periods are counted from 1970 UTC, so that cars agree.
* `change` keeps a value other than the one before; `band` one that lies the band or more away from the last kept.
* `curve` keeps samples so that the straight lines between them pass each sample left out at no more than the error.
  A piece's last sample is kept, so that what is left out is known when the piece ends.

Source: COVESA VISS version 3.0, filters `timebased`, `change` and `curvelog`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["all", "every", "change", "band", "curve"]

Values = NDArray[Any] | Sequence[str]
"""(n,) float64, or texts."""


@dataclass(frozen=True)
class Sampling:
    """How a signal is sampled. `by`: the period in µs, or the band or error in the catalogue's unit of the signal."""

    kind: Kind = "all"
    by: float = 0.0


class Sampler:
    """Samples one signal in one merged window, piece by piece, in the order of time."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self._last: tuple[int, Any] | None = None

    def take(self, times_us: NDArray[np.int64], values: Values) -> NDArray[np.bool_]:
        """Return which samples of the next piece are kept. `times_us`: (n,) int64, none falling."""
        count = len(times_us)
        if not count or self._sampling.kind == "all":
            return np.ones(count, np.bool_)
        match self._sampling.kind:
            case "every":
                mask = self._periods(times_us)
            case "change":
                mask = self._changes(values)
            case "band":
                mask = self._band(np.asarray(values, np.float64).tolist())
            case _:
                mask = self._curve(times_us.tolist(), np.asarray(values, np.float64).tolist())
        kept = int(np.flatnonzero(mask)[-1]) if mask.any() else None
        if kept is not None:
            self._last = int(times_us[kept]), values[kept]
        return mask

    def _periods(self, times_us: NDArray[np.int64]) -> NDArray[np.bool_]:
        period = times_us // int(self._sampling.by)
        before = None if self._last is None else self._last[0] // int(self._sampling.by)
        return np.concatenate(([before is None or period[0] != before], period[1:] != period[:-1]))

    def _changes(self, values: Values) -> NDArray[np.bool_]:
        found = np.asarray(values, object)
        first = self._last is None or found[0] != self._last[1]
        return np.concatenate(([first], found[1:] != found[:-1])).astype(np.bool_)

    def _band(self, values: list[float]) -> NDArray[np.bool_]:
        mask = np.zeros(len(values), np.bool_)
        last, by = None if self._last is None else float(self._last[1]), self._sampling.by
        for at, value in enumerate(values):
            if last is None or abs(value - last) >= by:
                mask[at], last = True, value
        return mask

    def _curve(self, times_us: list[int], values: list[float]) -> NDArray[np.bool_]:
        """Draw lines from the last kept sample, as far as one stays close enough to all samples it passes."""
        mask, error = np.zeros(len(values), np.bool_), self._sampling.by
        start = 0
        if self._last is None:
            mask[0], anchor, start = True, (times_us[0], values[0]), 1
        else:
            anchor = self._last
        low, high = -np.inf, np.inf
        for at in range(start, len(values)):
            time, value = times_us[at], values[at]
            passed = time - anchor[0]
            slope = (value - anchor[1]) / passed if passed else np.nan
            if not low <= slope <= high:
                if at > start:
                    mask[at - 1], anchor = True, (times_us[at - 1], values[at - 1])
                passed = time - anchor[0]
                low, high = -np.inf, np.inf
                if not passed:  # of one time both are kept: no line goes through both
                    mask[at], anchor = True, (time, value)
                    continue
            low = max(low, (value - error - anchor[1]) / passed)
            high = min(high, (value + error - anchor[1]) / passed)
        mask[-1] = True
        return mask


def chosen(sampling: Sampling, times_us: NDArray[np.int64], values: Values) -> NDArray[np.bool_]:
    """Return which samples of a whole merged window are kept."""
    return Sampler(sampling).take(times_us, values)
