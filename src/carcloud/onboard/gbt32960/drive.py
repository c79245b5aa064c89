"""Drives terminals: a recording or the simulated fleet, told as GB/T 32960 tells it.

Rules:
* Each car's newest values are reported once a period of its samples' time, whole; what is older than a minute is not
  said any more.
* A source that is not live is held back to its pace, so that a minute of samples takes a minute divided by `speed`.
* Slices come from a thread of their own: a source may wait, the terminals do not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from carcloud.onboard.gbt32960.store import Store
from carcloud.onboard.gbt32960.terminal import Identity, Line, Terminal
from carcloud.onboard.source import Block, Slice, Source
from carcloud.vehicle.gbt32960.composing import units_of
from carcloud.vehicle.gbt32960.mapping import time_of

PERIOD_S = 10.0
STALE_US = 60_000_000
PATIENCE_S = 60.0


@dataclass(frozen=True)
class Told:
    """What a drive of terminals did."""

    reports: int
    waiting: int
    dropped: int
    counts: Mapping[str, int]


class _Car:
    """One car's newest values, and its terminal."""

    def __init__(self, terminal: Terminal, period_s: float) -> None:
        self.terminal, self._period_us = terminal, int(period_s * 1e6)
        self._values: dict[str, tuple[int, float | str]] = {}
        self._next_us = 0
        self.reports = 0

    def take(self, block: Block, paths: list[str]) -> None:
        samples = []
        for column in block.columns:
            texts = column.texts if column.texts is not None else column.values.tolist()
            samples += [
                (at, paths[column.signal], value) for at, value in zip(column.times_us.tolist(), texts, strict=True)
            ]
        for at, path, value in sorted(samples, key=lambda sample: sample[0]):
            if at >= self._next_us and self._values:
                self.tell()
                self._next_us = at - at % self._period_us + self._period_us
            self._next_us = self._next_us or at - at % self._period_us + self._period_us
            self._values[path] = at, value

    def tell(self) -> None:
        """Report the newest values."""
        newest = max(at for at, _ in self._values.values())
        fresh = {path: value for path, (at, value) in self._values.items() if at > newest - STALE_US}
        if units := units_of(fresh, self.terminal.identity.edition):
            self.terminal.report(time_of(newest), units)
            self.reports += 1


async def drive_terminals(
    source: Source,
    identities: Mapping[str, Identity],
    line: Line,
    folder: Path,
    speed: float = 1.0,
    period_s: float = PERIOD_S,
    said: Callable[[Told], None] = lambda told: None,
) -> Told:
    """Feed a source's cars to their terminals until it ends; return what was done.

    `identities` names the terminal of each of the source's vehicles; one without is not driven. Stores lie in `folder`.
    """
    paths = [path for path, _ in source.table.signals]
    stores = _stores(folder, identities)
    cars = {name: _Car(Terminal(identities[name], line, stores[name]), period_s) for name in identities}
    running = [asyncio.create_task(car.terminal.run()) for car in cars.values()]
    try:
        slices, first_us, began = source.slices(), 0, asyncio.get_running_loop().time()
        while (piece := await asyncio.to_thread(_next, slices)) is not None:
            first_us = first_us or piece.until_us
            if not source.live:
                due = began + (piece.until_us - first_us) / 1e6 / speed
                await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
            for block in piece.blocks:
                if (car := cars.get(block.vehicle)) is not None:
                    car.take(block, paths)
            said(_told(cars))
        for car in cars.values():
            if car.reports:
                car.tell()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(car.terminal.drained() for car in cars.values()))
    except TimeoutError:
        pass  # what waits is told, and lies in the store for the next time
    finally:
        await asyncio.gather(*(car.terminal.stop() for car in cars.values()))
        await asyncio.gather(*running, return_exceptions=True)
        told = _told(cars)
        for store in stores.values():
            store.close()
    return told


def _stores(folder: Path, identities: Mapping[str, Identity]) -> dict[str, Store]:
    folder.mkdir(parents=True, exist_ok=True)
    return {name: Store(folder / f"{identity.vin}.sqlite") for name, identity in identities.items()}


def _next(slices: Iterator[Slice]) -> Slice | None:
    return next(slices, None)


def _told(cars: Mapping[str, _Car]) -> Told:
    counts: dict[str, int] = {}
    for car in cars.values():
        for name, count in car.terminal.counts.items():
            counts[name] = counts.get(name, 0) + count
    stores = [car.terminal.store for car in cars.values()]
    reports = sum(car.reports for car in cars.values())
    return Told(reports, sum(map(len, stores)), sum(store.dropped for store in stores), counts)
