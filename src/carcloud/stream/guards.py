"""The guards: plain functions over columns, applied in order to whatever a car says.

Rules:
* A guard returns the rows it refuses, as a mask, or None where it refuses none. It never changes a row.
* A refused row counts under the first guard that refuses it. The rest of its batch goes on.
* The set of causes is closed; docs/wire.md says what to do about each.

Decode, identify and duplicates come before, batch by batch (see intake.py): the same list, seen from the wire.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from carcloud.safety.governance.table import Table
from carcloud.stream.receipts import DAY_US
from carcloud.stream.settings import TimeLimits
from carcloud.vehicle.batch import Provenance
from carcloud.vehicle.catalogue import Catalogue

Mask = NDArray[np.bool_]

UNKNOWN_SIGNAL = -1
WRONG_UNIT = -2

UNPAIRED = "unpaired"
"""Of what passed the guards and cannot be made as inexact as the governance wants it; see places.py."""

ROW_CAUSES = (
    *("unknown_signal", "not_permitted", "no_consent", "expired", "wrong_unit", "wrong_type"),
    *("not_finite", "out_of_range", "time_future", "time_past"),
    UNPAIRED,
)
BATCH_CAUSES = (
    *("unreadable", "too_large", "bad_header", "bad_body", "bad_json", "not_enrolled", "wrong_vehicle"),
    *("unknown_table", "duplicate", "flood", "quota", "empty"),
)
CAUSES = frozenset(ROW_CAUSES + BATCH_CAUSES)
COUNTED_ONLY = {
    *("unknown_signal", "not_permitted", "no_consent", "expired", UNPAIRED, "unknown_table"),
    *("duplicate", "flood", "quota", "empty", "not_enrolled", "wrong_vehicle"),
}
QUARANTINED = frozenset(CAUSES - COUNTED_ONLY)


@dataclass(frozen=True)
class Terms:
    """What the guards judge by: what signals are, how far times may lie, and what may be kept."""

    catalogue: Catalogue
    limits: TimeLimits
    table: Table


@dataclass
class Rows:
    """Columns of many batches before they are a chunk. A run is the samples of one signal in one batch.

    `run_batch`: (runs,) which batch; `run_signal`: (runs,) position in the catalogue, or negative where the car's table
    names no acceptable one; `run_count`: (runs,). `time_us`, `value`: (rows,). `texts`: row → text.
    `batch_received_us`, `batch_provenance`, `batch_purposes` (bits of what the car's person consented to): (batches,).
    """

    run_batch: NDArray[np.int32]
    run_signal: NDArray[np.int32]
    run_count: NDArray[np.int64]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    batch_received_us: NDArray[np.int64]
    batch_provenance: NDArray[np.uint8]
    batch_purposes: NDArray[np.uint64]
    texts: dict[int, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.value)

    @cached_property
    def signal(self) -> NDArray[np.int32]:
        """Return each row's position in the catalogue, 0 where the signal is refused anyway: (rows,)."""
        return np.repeat(np.maximum(self.run_signal, 0), self.run_count)

    @cached_property
    def is_text(self) -> Mask:
        """Tell which rows carry a text: (rows,)."""
        mask = np.zeros(len(self), bool)
        mask[list(self.texts)] = True
        return mask

    @cached_property
    def edges(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return each run's first and last row; a run is never empty."""
        ends = np.cumsum(self.run_count)
        return ends - self.run_count, ends - 1

    def spread(self, of_run: Mask) -> Mask | None:
        """Return the rows of the runs in the mask, None where there are none."""
        return np.repeat(of_run, self.run_count) if of_run.any() else None


def unknown_signal(rows: Rows, _: Terms) -> Mask | None:
    """Refuse what the catalogue does not name."""
    return rows.spread(rows.run_signal == UNKNOWN_SIGNAL)


def not_permitted(rows: Rows, terms: Terms) -> Mask | None:
    """Refuse what the zone's governance names nowhere, or drops: default deny."""
    kept = terms.table.kept
    return None if kept.all() else rows.spread(~kept[rows.run_signal.clip(0)])


def no_consent(rows: Rows, terms: Terms) -> Mask | None:
    """Refuse what is only lawful with a consent that the car's person has not given, or has withdrawn."""
    if not terms.table.asks:
        return None
    lawful = rows.batch_purposes | np.uint64(terms.table.lawful)
    return rows.spread((terms.table.purposes[rows.run_signal.clip(0)] & lawful[rows.run_batch]) == 0)


def expired(rows: Rows, terms: Terms) -> Mask | None:
    """Refuse what is older already than the governance keeps such rows: by UTC days, as the lake lets them expire."""
    if not terms.table.expires:
        return None
    days = terms.table.days[rows.run_signal.clip(0)]
    first = (rows.batch_received_us // DAY_US)[rows.run_batch] - days
    earliest = np.where((days > 0) & (rows.run_signal >= 0), first * DAY_US, np.iinfo(np.int64).min)
    if not (rows.time_us[rows.edges[0]] < earliest).any():
        return None
    return rows.time_us < np.repeat(earliest, rows.run_count)


def wrong_unit(rows: Rows, _: Terms) -> Mask | None:
    """Refuse a signal announced in another unit than the catalogue's: its numbers would lie."""
    return rows.spread(rows.run_signal == WRONG_UNIT)


def wrong_type(rows: Rows, terms: Terms) -> Mask | None:
    """Refuse text for numbers, numbers for text, fractions of integers, and booleans other than 0 and 1."""
    catalogue = terms.catalogue
    kinds = rows.run_signal.clip(0)
    bad = np.zeros(len(rows), bool)
    if rows.texts or catalogue.is_text[kinds].any():
        bad = catalogue.is_text[rows.signal] != rows.is_text
    if (catalogue.is_integer | catalogue.is_bool)[kinds].any():
        whole = np.repeat((catalogue.is_integer | catalogue.is_bool)[kinds], rows.run_count)
        with np.errstate(invalid="ignore"):
            bad |= whole & (rows.value != np.rint(rows.value)) & np.isfinite(rows.value)
            if catalogue.is_bool[kinds].any():
                truth = (rows.value == 0) | (rows.value == 1)
                bad |= catalogue.is_bool[rows.signal] & ~truth & np.isfinite(rows.value)
    return bad


def not_finite(rows: Rows, _: Terms) -> Mask | None:
    """Refuse NaN and infinities: a missing value is a missing row."""
    bad = ~np.isfinite(rows.value)
    return bad & ~rows.is_text if rows.texts else bad


def out_of_range(rows: Rows, terms: Terms) -> Mask | None:
    """Refuse values beyond the catalogue's limits or outside its list of allowed ones."""
    catalogue = terms.catalogue
    with np.errstate(invalid="ignore"):
        bad = (rows.value < catalogue.low[rows.signal]) | (rows.value > catalogue.high[rows.signal])
    for position in catalogue.allowed.keys() & set(rows.run_signal.tolist()):
        at = np.flatnonzero(rows.signal == position)
        allowed = catalogue.allowed[position]
        bad[at] |= [
            rows.texts.get(row, value) not in allowed
            for row, value in zip(at.tolist(), rows.value[at].tolist(), strict=True)
        ]
    return bad


def time_future(rows: Rows, terms: Terms) -> Mask | None:
    """Refuse samples from later than the broker's clock allows."""
    latest = (rows.batch_received_us + int(terms.limits.ahead_s * 1e6))[rows.run_batch]
    if not (rows.time_us[rows.edges[1]] > latest).any():
        return None
    return rows.time_us > np.repeat(latest, rows.run_count)


def time_past(rows: Rows, terms: Terms) -> Mask | None:
    """Refuse measured samples older than any parked car explains, and anything before 1990."""
    behind, ever = rows.batch_received_us - int(terms.limits.behind_days * 86_400e6), terms.limits.earliest_us
    measured = rows.batch_provenance == Provenance.MEASURED
    earliest = np.where(measured, np.maximum(behind, ever), ever)[rows.run_batch]
    if not (rows.time_us[rows.edges[0]] < earliest).any():
        return None
    return rows.time_us < np.repeat(earliest, rows.run_count)


GUARDS: tuple[Callable[[Rows, Terms], Mask | None], ...] = (
    *(unknown_signal, not_permitted, no_consent, expired, wrong_unit, wrong_type),
    *(not_finite, out_of_range, time_future, time_past),
)


def judge(rows: Rows, terms: Terms) -> tuple[Mask, dict[str, NDArray[np.int64]]]:
    """Apply every guard; return the rows kept, and for each cause the number of rows refused per batch."""
    kept, refused = np.ones(len(rows), bool), dict[str, NDArray[np.int64]]()
    if not len(rows):
        return kept, refused
    for guard in GUARDS:
        mask = guard(rows, terms)
        if mask is None or not (mask & kept).any():
            continue
        refused[guard.__name__] = by_batch(rows, mask & kept)
        kept &= ~mask
    return kept, refused


def by_batch(rows: Rows, mask: Mask) -> NDArray[np.int64]:
    """Return how many rows of the mask each batch has: (batches,)."""
    batch = np.repeat(rows.run_batch, rows.run_count)[mask]
    return np.bincount(batch, minlength=len(rows.batch_received_us))
