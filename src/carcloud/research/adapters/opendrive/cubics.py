"""Cubics along a road: widths, borders and offsets, each a row of records that begin where the last one ends.

Source: ASAM OpenDRIVE 1.8.1, clauses 11.4 (lane offset) and 11.6 (lane geometry).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from carcloud.research.adapters import xml

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Cubics:
    """K cubics a + b x + c x² + d x³, x counted from each one's beginning.

    Args:
        starts: (K,) rising, metres.
        coefficients: (K, 4) from a to d.
    """

    starts: Numbers
    coefficients: Numbers

    def at(self, s: Numbers, end: float) -> Numbers:
        """Return the values at lengths along the road; 0 before the first record.

        Args:
            end: where the section ends: a record that begins there has no say.
        """
        if not len(self.starts):
            return np.zeros_like(s)
        which = np.searchsorted(self.starts, np.minimum(s, end - 1e-9), "right") - 1
        away = s - self.starts[which]
        a, b, c, d = self.coefficients[which].T
        return np.where(which < 0, 0.0, a + away * (b + away * (c + away * d)))


def cubics(records: Iterable[xml.Element], place: str, begin: float = 0.0) -> Cubics:
    """Read records.

    Args:
        place: the attribute that says where a record begins: `s` or `sOffset`.
        begin: where that is counted from, metres.
    """
    rows = sorted(
        [begin + xml.number(each, place, 0.0), *(xml.number(each, name, 0.0) for name in "abcd")] for each in records
    )
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Cubics(table[:, 0], table[:, 1:])
