"""What a caller reaches: compiled from grants, and asked by query, twin, live stream and order alike.

Rules:
* A part is what one grant opens of one car: signals, how exactly, times, commands. A value is in reach while a part
  holds it, by the time it was measured at; where several do, the most exact one counts.
* No list of parts is no limit within the tenant; an empty one reaches nothing.
* `times` and `scopes` say the same as tables that do not overlap: a row matches one of them or none.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from carcloud.backends.records import Held
from carcloud.safety.grants.grant import ZONE, Grain, Ground, Signals

EXACT = Grain()
BEGIN_US, END_US = 0, 253_402_300_799_000_000
"""All of time: from 1970 to the end of 9999."""


@dataclass(frozen=True)
class Part:
    """What one grant opens of one car. `from_us` is in, `until_us` is not, in microseconds since 1970 UTC.

    commands: what the car may be told. named: whether the car's VIN may be seen.
    """

    vehicle: str
    signals: Signals
    commands: frozenset[str] = frozenset()
    from_us: int = BEGIN_US
    until_us: int = END_US
    named: bool = False


class Times(NamedTuple):
    """When a car is open, and in which scope. Those of one car do not overlap."""

    vehicle: str
    scope: int
    from_us: int
    until_us: int


@dataclass(frozen=True)
class Reach:
    """What a caller may see and do of a tenant's cars; parts None: all of them."""

    tenant: str
    parts: tuple[Part, ...] | None = None

    @cached_property
    def _of(self) -> dict[str, list[Part]]:
        found: dict[str, list[Part]] = {}
        for part in self.parts or ():
            found.setdefault(part.vehicle, []).append(part)
        return found

    @cached_property
    def cars(self) -> frozenset[str] | None:
        """Return the cars in reach; None: all."""
        return None if self.parts is None else frozenset(self._of)

    @cached_property
    def paths(self) -> frozenset[str] | None:
        """Return the signals that are in reach of some car; None: all."""
        return None if self.parts is None else frozenset(path for part in self.parts for path in part.signals)

    def holds(self, vehicle: str) -> bool:
        """Tell whether anything of a car is in reach."""
        return self.parts is None or vehicle in self._of

    def names(self, vehicle: str) -> bool:
        """Tell whether a car's VIN may be seen."""
        return self.parts is None or any(part.named for part in self._of.get(vehicle, ()))

    def orders(self, vehicle: str, command: str, queued_at: datetime | None = None) -> bool:
        """Tell whether a car may be told this; and, of an order that was queued, whether it may be seen.

        Whoever was granted a car later sees no order of those who had it before.
        """
        queued_us = END_US if queued_at is None else _us(queued_at)
        mine = self._of.get(vehicle, ())
        return self.parts is None or any(command in part.commands and part.from_us <= queued_us for part in mine)

    @cached_property
    def orders_from(self) -> datetime | None:
        """Return when the first part that opens an order begins; None: no limit."""
        begins = [part.from_us for part in self.parts or () if part.commands]
        return datetime.fromtimestamp(min(begins) / 1e6, UTC) if begins else None

    @cached_property
    def commands(self) -> Mapping[frozenset[str], list[str]] | None:
        """Return what may be told to which cars: commands → cars; None: everything to all."""
        if self.parts is None:
            return None
        found: dict[frozenset[str], list[str]] = {}
        for vehicle, parts in self._of.items():
            found.setdefault(frozenset().union(*(part.commands for part in parts)), []).append(vehicle)
        return found

    def signals(self, vehicle: str) -> frozenset[str] | None:
        """Return which signals of a car are in reach at some time; None: all."""
        if self.parts is None:
            return None
        return frozenset(path for part in self._of.get(vehicle, ()) for path in part.signals)

    def grain(self, vehicle: str, path: str, time_us: int) -> Grain | None:
        """Return how exactly a value is shown; None where it is not."""
        if self.parts is None:
            return EXACT
        found = [
            part.signals[path]
            for part in self._of.get(vehicle, ())
            if path in part.signals and part.from_us <= time_us < part.until_us
        ]
        return min(found, key=lambda grain: grain.step, default=None)

    def seen(self, vehicle: str, path: str, time_us: int, value: Any) -> Any:
        """Return a value as the caller may see it, None where they may not; numbers keep their type."""
        grain = self.grain(vehicle, path, time_us)
        if grain is None or grain.step == 0 or isinstance(value, bool) or not isinstance(value, int | float):
            return None if grain is None else value
        return type(value)(float(coarse(np.array([value], float), *(np.array([part]) for part in grain))[0]))

    # as tables

    @cached_property
    def times(self) -> tuple[Times, ...]:
        """Return when which car is open, in which scope."""
        return self._tables[0]

    @cached_property
    def scopes(self) -> tuple[Signals, ...]:
        """Return what each scope opens, by its number."""
        return self._tables[1]

    @cached_property
    def _tables(self) -> tuple[tuple[Times, ...], tuple[Signals, ...]]:
        numbers: dict[frozenset[int], int] = {}
        scopes: list[Signals] = []
        times: list[Times] = []
        for vehicle, parts in self._of.items():
            edges = sorted({edge for part in parts for edge in (part.from_us, part.until_us)})
            for begin, end in itertools.pairwise(edges):
                open_ = [part.signals for part in parts if part.from_us <= begin and end <= part.until_us]
                if not open_:
                    continue
                key = frozenset(map(id, open_))
                if key not in numbers:
                    numbers[key] = len(scopes)
                    scopes.append(_finest(open_))
                times.append(Times(vehicle, numbers[key], begin, end))
        return tuple(times), tuple(scopes)

    def rows(self, rows: pa.Table) -> pa.Table:
        """Return of a table of samples what is in reach, as exactly as it may be seen.

        Args:
            rows: columns vehicle, signal, time (timestamp in microseconds) and value among others.
        """
        if self.parts is None:
            return rows
        car, cars = _codes(rows["vehicle"])
        signal, paths = _codes(rows["signal"])
        time_us = rows["time"].combine_chunks().cast(pa.int64()).to_numpy()
        scope = np.full(rows.num_rows, len(self.scopes))
        for open_ in self.times:
            if open_.vehicle in cars:
                mine = (car == cars[open_.vehicle]) & (open_.from_us <= time_us) & (time_us < open_.until_us)
                scope[mine] = open_.scope
        step, low, high = _grid(self.scopes, paths)
        steps = step[scope, signal]
        seen = ~np.isnan(steps)
        values = rows["value"].combine_chunks()
        numbers = np.nan_to_num(values.to_numpy(zero_copy_only=False), nan=0.0)
        changed = np.flatnonzero(seen & (np.nan_to_num(steps) > 0))
        at = scope[changed], signal[changed]
        numbers[changed] = coarse(numbers[changed], step[at], low[at], high[at])
        shown = pa.array(numbers, mask=values.is_null().to_numpy(zero_copy_only=False))
        column = rows.schema.get_field_index("value")
        return rows.set_column(column, rows.schema.field("value"), shown).filter(pa.array(seen))


def coarse(
    values: NDArray[np.float64], step: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return values in the middle of their steps, within their range; whole numbers stay whole. All (values,)."""
    whole = (step == np.rint(step)) & (step % 2 != 0)  # an odd whole step: its middle is not whole
    floor = np.floor(values / step)
    middle = np.where(whole, floor * step + (step - 1) / 2, (floor + 0.5) * step)
    within: NDArray[np.float64] = np.clip(middle, low, high)
    return within


def reach(tenant: str, held: Iterable[Held], ground: Ground, at: datetime) -> Reach:
    """Return what grants open at a moment; consents, which are to the zone, open nothing to anybody."""
    parts = []
    for one in held:
        grant = one.grant
        if grant.grantee == ZONE or grant.tenant != tenant or not ground.holds(one, at):
            continue
        both = [grant] if one.under is None else [grant, one.under]
        part = Part(
            grant.vehicle,
            ground.opened(one),
            frozenset.intersection(*(frozenset(each.commands) for each in both)),
            max(_us(each.from_at) for each in both),
            min(END_US if each.until_at is None else _us(each.until_at) for each in both),
            ground.names_vin(one),
        )
        parts.append(part)
    return Reach(tenant, tuple(parts))


def next_change(held: Iterable[Held], at: datetime) -> datetime | None:
    """Return when a grant of these next begins or ends by itself; None for never."""
    edges = [edge for one in held for edge in (one.grant.from_at, one.grant.until_at) if edge is not None]
    return min((edge for edge in edges if edge > at), default=None)


def _us(at: datetime) -> int:
    return min(math.floor(at.timestamp() * 1e6), END_US)


def _finest(open_: list[Signals]) -> Signals:
    if len(open_) == 1:
        return open_[0]
    found: dict[str, Grain] = {}
    for signals in open_:
        for path, grain in signals.items():
            if path not in found or grain.step < found[path].step:
                found[path] = grain
    return found


def _codes(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], dict[str, int]]:
    encoded = column.cast(pa.string()).combine_chunks().dictionary_encode()
    names = encoded.dictionary.to_pylist()
    return encoded.indices.to_numpy().astype(np.int64), {name: at for at, name in enumerate(names)}


def _grid(scopes: tuple[Signals, ...], paths: Mapping[str, int]) -> tuple[NDArray[np.float64], ...]:
    """Return step, low and high by scope and signal; NaN where closed. One scope more is closed altogether."""
    grid = np.full((3, len(scopes) + 1, max(len(paths), 1)), np.nan)
    for number, signals in enumerate(scopes):
        for path, at in paths.items():
            if path in signals:
                grid[:, number, at] = signals[path]
    return grid[0], grid[1], grid[2]
