"""Places that go on as cells: latitude and longitude of one moment become the centre of the H3 cell they lie in.

Rules:
* A pair is a latitude and a longitude of one thing, of one batch and one time. Where one time stands several times,
  the first goes with the first.
* One half alone is refused as `unpaired`: it would be exact in one direction.
* The centre is kept within the catalogue's range.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from carcloud.backends.cells import centres
from carcloud.safety.governance.table import Table
from carcloud.stream.guards import Mask, Rows

Places = NDArray[np.int64]


def into_cells(rows: Rows, kept: Mask, table: Table) -> Mask | None:
    """Set the kept pairs to the centres of their cells; return the kept rows without a partner, None where none is."""
    of_run = table.cell[rows.run_signal.clip(0)] >= 0
    asked = rows.spread(of_run)
    if asked is None:
        return None
    at = np.flatnonzero(asked & kept)
    first = table.partner[rows.signal[at]] > rows.signal[at]  # the half whose position in the catalogue is lower
    one, other = at[first], at[~first]
    batch = np.repeat(rows.run_batch, rows.run_count)
    if not _same(rows, batch, one, other, table):
        one, other = _paired(rows, batch, one, other, table)
    _set(rows, one, other, table)
    if len(one) + len(other) == len(at):
        return None
    lone = np.zeros(len(rows), bool)
    lone[at] = True
    lone[one] = lone[other] = False
    return lone


def _set(rows: Rows, one: Places, other: Places, table: Table) -> None:
    north = table.is_latitude[rows.signal[one]]
    latitude, longitude = np.where(north, one, other), np.where(north, other, one)
    resolution = table.cell[rows.signal[latitude]].astype(np.uint8)
    middle = centres(rows.value[latitude], rows.value[longitude], resolution)
    for half, values in zip((latitude, longitude), middle, strict=True):
        signal = rows.signal[half]
        rows.value[half] = np.clip(values, table.low[signal], table.high[signal])


def _same(rows: Rows, batch: NDArray[np.int32], one: Places, other: Places, table: Table) -> bool:
    """Tell whether the halves go with each other as they stand."""
    if len(one) != len(other):
        return False
    together = (table.partner[rows.signal[one]] == rows.signal[other]) & (batch[one] == batch[other])
    return bool((together & (rows.time_us[one] == rows.time_us[other])).all())


def _paired(rows: Rows, batch: NDArray[np.int32], one: Places, other: Places, table: Table) -> tuple[Places, Places]:
    """Return those of the halves that have a partner, in the order of their partners."""
    at = np.concatenate([one, other])
    thing = np.concatenate([rows.signal[one], table.partner[rows.signal[other]]])
    half = np.repeat([0, 1], [len(one), len(other)])
    order = np.lexsort((at, half, rows.time_us[at], thing, batch[at]))
    at, thing, half = at[order], thing[order], half[order]
    new = np.ones(len(at), bool)
    for key in (batch[at], thing, rows.time_us[at]):
        new[1:] &= key[1:] == key[:-1]
    new[1:] = ~new[1:]
    moment = np.cumsum(new) - 1
    begins = new.copy()
    begins[1:] |= half[1:] != half[:-1]
    firsts = np.flatnonzero(begins)
    turn = np.arange(len(at)) - firsts[np.cumsum(begins) - 1]
    key = moment * (int(turn.max(initial=0)) + 1) + turn
    _, first, second = np.intersect1d(key[half == 0], key[half == 1], assume_unique=True, return_indices=True)
    return at[half == 0][first], at[half == 1][second]
