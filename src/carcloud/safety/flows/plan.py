"""A flow worked out against governance and catalogue: which signals leave, and how their rows are changed.

Rules:
* A signal leaves while a part of the flow names it, the governance keeps it for the flow's purpose, and its class is
  one of the flow's. What the governance drops, or does not know, stays, also rows that an older governance kept.
* Numbers are rounded to the coarser of the two steps, the flow's and the governance's of today, and so are times. A
  place that the governance keeps by cells leaves on a grid as wide as a cell, or wider: halves leave one by one.
* A row that leaves has no number of a chunk, and rows are sorted by the name the car leaves under: neither says when
  they came.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.errors import InputError
from carcloud.safety.flows.flow import Flow
from carcloud.safety.governance.masks import masked
from carcloud.safety.governance.policy import Policy, Rule
from carcloud.safety.governance.table import Table
from carcloud.vehicle.catalogue import Catalogue

COLUMNS = ("vehicle", "signal", "time", "value", "text", "provenance")
"""What a row that leaves says."""

SECOND_US = 1_000_000
WIDEST_CELL_DEGREES = 23.0
"""About how wide an H3 cell of resolution 0 is; each resolution is finer by the root of 7."""

ORDER = [("vehicle", "ascending"), ("signal", "ascending"), ("time", "ascending")]

Name = Callable[[str, int], str]
"""Returns the name under which a car leaves, by its id and the calendar year of the sample."""


@dataclass(frozen=True)
class Leaving:
    """A signal that leaves. `exactness`: the step its values are rounded to, in its unit; None: as they came."""

    path: str
    kind: str
    exactness: float | None


class Plan:
    """What leaves by a flow. `signals`: by path, in order. `needs_consent`: whether the car's person must agree.

    `time_s`: the coarsest step that times of any of them are cut to.
    """

    def __init__(self, flow: Flow, governance: Policy, catalogue: Catalogue) -> None:
        """Work the flow out.

        Raises:
            InputError: it is for a purpose the governance does not know, or would let out more than is kept.
        """
        purpose = governance.purposes.get(flow.purpose)
        if purpose is None:
            known = ", ".join(governance.purposes)
            do = f"Purposes of the governance {governance.name}: {known}."
            raise InputError(f"Flow {flow.name!r} is for an unknown purpose {flow.purpose!r}.", do)
        self.flow, self.needs_consent = flow, purpose.needs_consent
        parts = [(Rule(part.paths, "", ()), part.exactness) for part in flow.parts]
        found = {path: _rule(flow, parts, governance.rule_of(path), path) for path in sorted(catalogue)}
        rules = {path: rule for path, rule in found.items() if rule is not None}
        self.signals = {path: Leaving(path, rule.kind, rule.exactness) for path, rule in rules.items()}
        self._index = catalogue.index
        self._step_us = {path: max(flow.time_s, rule.time_s) * SECOND_US for path, rule in rules.items()}
        self.time_s = max(self._step_us.values(), default=0) // SECOND_US
        self._table = Table(replace(governance, rules=tuple(rules.values())), catalogue)

    def sent(self, rows: pa.Table, name: Name, ahead_us: int) -> pa.Table:
        """Return rows of the lake as they leave.

        Args:
            rows: columns vehicle, signal, time, value, text and provenance, of signals that leave.
            name: gives each car its name by the calendar year of the sample.
            ahead_us: how far the calendar is ahead of UTC.
        """
        time_us = np.asarray(rows["time"].cast(pa.int64()))
        if self.time_s:
            time_us = time_us - time_us % self._steps_us(rows)
        columns = {
            "vehicle": pa.array(self._names(rows, time_us, name, ahead_us), pa.string()),
            "signal": rows["signal"],
            "time": pa.array(time_us).cast(pa.timestamp("us", "UTC")),
            "value": self._values(rows),
            "text": _masked(rows["text"]),
            "provenance": rows["provenance"],
        }
        return pa.table(columns).sort_by(ORDER)

    def _steps_us(self, rows: pa.Table) -> NDArray[np.int64]:
        paths, path = _encoded(rows["signal"])
        return np.array([max(self._step_us[each], 1) for each in paths], np.int64)[path]

    def _names(self, rows: pa.Table, time_us: NDArray[np.int64], name: Name, ahead_us: int) -> list[str]:
        if not self.flow.pseudonym:
            known: list[str] = rows["vehicle"].to_pylist()
            return known
        cars, car = _encoded(rows["vehicle"])
        years, year = np.unique(years_of(time_us + ahead_us), return_inverse=True)
        pairs, pair = np.unique(car * len(years) + year, return_inverse=True)
        names = [name(cars[at // len(years)], int(years[at % len(years)])) for at in pairs.tolist()]
        return [names[at] for at in pair.tolist()]

    def _values(self, rows: pa.Table) -> pa.Array:
        paths, path = _encoded(rows["signal"])
        values = rows["value"].combine_chunks()
        absent = np.asarray(values.is_null())
        numbers = np.array(np.asarray(values.fill_null(0.0)), np.float64)
        if len(paths):
            signals = np.array([self._index[each] for each in paths], np.int32)[path]
            rounds = (self._table.step[signals] > 0) & ~absent
            numbers[rounds] = self._table.rounded(signals[rounds], numbers[rounds])
        return pa.array(numbers, mask=absent)


def years_of(time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the calendar years of moments, in microseconds since 1970 of their calendar."""
    return time_us.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970


def _rule(flow: Flow, parts: list[tuple[Rule, float | None]], rule: Rule | None, path: str) -> Rule | None:
    """Return what holds for a signal that leaves, None where it stays. `rule`: the governance's."""
    part = next((part for part in parts if part[0].names(path)), None)
    if part is None or rule is None or not rule.keep:
        return None
    if rule.kind not in flow.classes or flow.purpose not in rule.purposes:
        return None
    wanted, kept = part[1], rule.exactness if rule.cell is None else _width(rule.cell)
    if wanted is not None and wanted < (kept or 0.0):
        do = f"Give {kept:g} or more, in signals of their own above where needed."
        raise InputError(f"Flow {flow.name!r} asks for {path} finer than the governance keeps it.", do)
    return replace(rule, paths=(path,), exactness=kept if wanted is None else wanted, cell=None)


def _width(resolution: int) -> float:
    """Return about how wide an H3 cell of a resolution is, in degrees of latitude."""
    return float(f"{WIDEST_CELL_DEGREES / 7 ** (resolution / 2):.2g}")


def _encoded(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return a column's different texts, and for each row the position of its own."""
    coded = column.combine_chunks().dictionary_encode()
    return coded.dictionary.to_pylist(), np.asarray(coded.indices, np.int64)


def _masked(texts: pa.ChunkedArray) -> pa.Array:
    coded = texts.combine_chunks().dictionary_encode()
    clean = pa.array([masked(text) for text in coded.dictionary.to_pylist()], pa.string())
    return clean.take(coded.indices)
