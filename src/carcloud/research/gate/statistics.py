"""Statistics of pairs: the same scenarios, driven by two planners.

Rules:
* The bootstrap draws scenarios with their pair, by a generator of its own with a fixed seed: the same numbers give the
  same bounds, anywhere.

Source: McNemar, "Note on the sampling error of the difference between correlated proportions" (1947), in its exact form
by the binomial distribution; Efron and Tibshirani, "An Introduction to the Bootstrap" (1993), 13.3 (percentiles).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]

LIMIT_RESAMPLES = 1_000_000
_AT_ONCE = 4_000_000
"""Draws that are in memory at once."""


@dataclass(frozen=True)
class Bounds:
    """An estimate and the bounds that hold it with the confidence that was asked for."""

    estimate: float
    low: float
    high: float


def mcnemar_worse(worse: int, better: int) -> float:
    """Return how probable that many turns to the worse, or more, are if both planners were alike.

    Args:
        worse, better: scenarios of which only the second, only the first planner fails.
    """
    turns = worse + better
    if worse <= 0:
        return 1.0
    return min(1.0, math.fsum(math.exp(_log_choose(turns, k) - turns * math.log(2)) for k in range(worse, turns + 1)))


def difference(first: Numbers, second: Numbers, confidence: float, resamples: int, seed: int) -> Bounds:
    """Return the mean of second less first, both (N,) of the same scenarios, with bootstrap bounds."""
    gap = second - first
    means = np.concatenate([gap[at].mean(axis=1) for at in _draws(len(gap), resamples, seed)])
    return _bounds(float(gap.mean()), means, confidence)


def ratio(first: Numbers, second: Numbers, confidence: float, resamples: int, seed: int) -> Bounds:
    """Return the mean of second by the mean of first, with bootstrap bounds; 1 where both are 0."""
    drawn = [(first[at].mean(axis=1), second[at].mean(axis=1)) for at in _draws(len(first), resamples, seed)]
    ratios = np.concatenate([_by(below, above) for below, above in drawn])
    return _bounds(float(_by(np.array([first.mean()]), np.array([second.mean()]))[0]), ratios, confidence)


def _by(below: Numbers, above: Numbers) -> Numbers:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == above, 1.0, above / below)


def _draws(count: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    generator = np.random.Generator(np.random.PCG64(seed))
    at_once = max(1, _AT_ONCE // max(1, count))
    for done in range(0, resamples, at_once):
        yield generator.integers(0, count, (min(at_once, resamples - done), count))


def _bounds(estimate: float, found: Numbers, confidence: float) -> Bounds:
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf")
    return Bounds(estimate, float(low), float(high))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
