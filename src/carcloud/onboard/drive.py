"""Drives cars: feeds a source to agents at the pace asked for, one agent and one connection a vehicle.

Rules:
* A drive ends when all is acknowledged but what plans hold back, or says what is not. Stopped early, the queues keep
  the rest for the next time.
* The same recording driven again after a stop or a kill, at the same kind of speed, goes on where it was.
* Plans are evaluated in any case. Where all is sent, they only tell when they fired; else what they collect is sent,
  and nothing besides. What they collect does not depend on the speed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from carcloud.errors import InputError
from carcloud.onboard.fleet import Collect, Fleet, Summary
from carcloud.onboard.orders import Body
from carcloud.onboard.queue import DEFAULT_LIMIT_BYTES
from carcloud.onboard.ring import ordered
from carcloud.onboard.source import Block, Slice, Source
from carcloud.vehicle.batching import LONGEST_WINDOW_US, WINDOW_US, Column, Packed
from carcloud.vehicle.catalogue import Signal

MAX = float("inf")
LONGEST_SILENCE_S = 30.0  # of wall time, between two samples of a recording whose times are kept
SHORTEST_BATCH_S = 0.1  # of wall time; at high speed a batch covers more than 2 s of data
GROUP = 32  # batches of a vehicle that are flushed to its queue together when unpaced
PATIENCE_S = 60.0
PROGRESS_S = 1.0
NO_CATALOGUE: Mapping[str, Signal] = {}


class Pace:
    """Turns the source's time into wall time, from its first sample on. `speed` 1 is real time, `MAX` does not wait.

    Where times are `kept`, not shifted to now, a night between two runs is not waited for: a long silence is cut short.
    """

    def __init__(self, speed: float, *, kept: bool) -> None:
        self.speed, self._kept = speed, kept
        self._first_us: int | None = None
        self._started = 0.0

    def begin(self, first_us: int) -> None:
        """Let a sample of this time be due now, unless the pace has begun."""
        if self._first_us is None:
            self._first_us, self._started = first_us, time.monotonic()

    def wait(self, at_us: int, stop: threading.Event, reporter: _Reporter) -> None:
        """Wait until a sample of this time is due, or until stopped; report meanwhile."""
        if self._kept:
            self._started -= max(0.0, self._left_s(at_us) - LONGEST_SILENCE_S)
        while (left_s := self._left_s(at_us)) > 0 and not stop.wait(min(left_s, PROGRESS_S)):
            reporter.tick()

    def _left_s(self, at_us: int) -> float:
        return self._started + (at_us - (self._first_us or 0)) / 1e6 / self.speed - time.monotonic()


def drive(
    source: Source,
    credentials: Mapping[str, Path],
    queues: Path,
    *,
    speed: float = 1.0,
    now: bool = False,
    progress: Callable[[Summary], None] | None = None,
    stop: threading.Event | None = None,
    patience_s: float = PATIENCE_S,
    limit_bytes: int = DEFAULT_LIMIT_BYTES,
    body: Callable[[str], Body | None] = lambda _: None,
    catalogue: Mapping[str, Signal] = NO_CATALOGUE,
    collect: Collect = "all",
) -> Summary:
    """Drive a source's vehicles until it ends or `stop` is set, and return what became of the samples.

    Args:
        credentials: the folder of each vehicle's credentials, by the source's name for it.
        queues: the folder of the queue files, one a vehicle.
        speed: 1 is real time, 20 twenty times as fast, `MAX` as fast as the zone takes it. A live source paces itself.
        now: shift all times so that the first sample is now.
        progress: called about every second with the counts so far.
        patience_s: how long to wait at the end without a single acknowledgement before giving up.
        body: gives what of a vehicle can be ordered about; a recording has nothing of the kind, and rejects orders.
        catalogue: what the cars' plans are read against; without it they take none.
        collect: what is sent: all, or what plans ask for.
    """
    if not speed > 0:
        raise InputError(f"The speed {speed} is not above 0.", "Give 1, a factor such as 20, or max.")
    stop = stop or threading.Event()
    fleet = Fleet(source, credentials, queues, limit_bytes, body, catalogue, collect)
    reporter = _Reporter(fleet, progress)
    try:
        window_us = WINDOW_US if source.live else _window_us(speed)
        fleet.start(window_us, now)
        _feed(fleet, source, MAX if source.live else speed, window_us, now, stop, reporter)
        if not stop.is_set():
            _await_acks(fleet, patience_s, stop, reporter)
        return fleet.summary()
    finally:
        fleet.stop()


def _window_us(speed: float) -> int:
    if speed == MAX:
        return LONGEST_WINDOW_US
    return max(WINDOW_US, min(LONGEST_WINDOW_US, int(SHORTEST_BATCH_S * speed * 1e6)))


class _Reporter:
    """Calls `progress` about every second."""

    def __init__(self, fleet: Fleet, progress: Callable[[Summary], None] | None) -> None:
        self._fleet, self._progress, self._at = fleet, progress, time.monotonic()

    def tick(self) -> None:
        """Report if a second has passed."""
        if self._progress is not None and time.monotonic() - self._at >= PROGRESS_S:
            self._at = time.monotonic()
            self._progress(self._fleet.summary())


def _feed(
    fleet: Fleet,
    source: Source,
    speed: float,
    window_us: int,
    now: bool,
    stop: threading.Event,
    reporter: _Reporter,
) -> None:
    pace, shift_us = Pace(speed, kept=not now), fleet.resume()
    for whole in source.slices():
        if shift_us is None:
            shift_us = _shift_us(whole, now)
        fleet.shift_us = shift_us or 0
        for piece in _pieces(_shifted(whole, fleet.shift_us), None if speed == MAX else window_us):
            if fleet.collect == "plans":
                _await(piece, pace, stop, reporter)
            if stop.is_set():
                break
            _collect(fleet, piece, stop)
            if fleet.collect == "all":
                for block in piece.blocks:
                    fleet.batchers[block.vehicle].add(block.columns)
                ready = {name: one.ready(piece.until_us) for name, one in fleet.batchers.items()}
                _release(fleet, ready, pace, stop, reporter)
            reporter.tick()
        if stop.is_set():
            break
    _release(fleet, {name: one.rest() for name, one in fleet.batchers.items()}, pace, stop, reporter)
    if source.live or not stop.is_set():  # a recording that was stopped goes on with the windows under way
        for name, collector in fleet.collectors.items():
            if (gathered := collector.rest()) is not None:
                fleet.keep(name, gathered, stop)
    if not stop.is_set():
        fleet.finish()


def _collect(fleet: Fleet, piece: Slice, stop: threading.Event) -> None:
    """Let the plans of every car see a piece."""
    for block in piece.blocks:
        fleet.collectors[block.vehicle].take(block.columns)
    for name, collector in fleet.collectors.items():
        if (gathered := collector.advance(piece.until_us)) is not None:
            fleet.keep(name, gathered, stop)


def _await(piece: Slice, pace: Pace, stop: threading.Event, reporter: _Reporter) -> None:
    """Wait until the last sample of a piece is due."""
    ends = [column.times_us[[0, -1]].tolist() for block in piece.blocks for column in block.columns if len(column)]
    if ends and pace.speed != MAX:
        pace.begin(min(first for first, _ in ends))
        pace.wait(max(last for _, last in ends), stop, reporter)


def _pieces(whole: Slice, size_us: int | None) -> Iterator[Slice]:
    """Cut a slice into pieces of at most so much time, in the order of time."""
    columns = [column for block in whole.blocks for column in block.columns if len(column)]
    ends = [(int(column.times_us.min()), int(column.times_us.max())) for column in columns]
    if size_us is None or not ends or max(end for _, end in ends) - min(start for start, _ in ends) < size_us:
        yield whole
        return
    blocks = [Block(block.vehicle, [ordered(column) for column in block.columns]) for block in whole.blocks]
    start: int | None = min(start for start, _ in ends)
    while start is not None:
        end = start + size_us
        piece = [
            Block(block.vehicle, [part for column in block.columns if len(part := _between(column, start, end))])
            for block in blocks
        ]
        later = [
            column.times_us[at]
            for block in blocks
            for column in block.columns
            if (at := _from(column, end)) < len(column)
        ]
        start = int(min(later)) if later else None
        yield Slice(
            [block for block in piece if block.columns], whole.until_us if start is None else min(end, whole.until_us)
        )


def _from(column: Column, time_us: int) -> int:
    return int(np.searchsorted(column.times_us, time_us))


def _between(column: Column, start_us: int, end_us: int) -> Column:
    return column.part(_from(column, start_us), _from(column, end_us))


def _release(
    fleet: Fleet, ready: dict[str, list[Packed]], pace: Pace, stop: threading.Event, reporter: _Reporter
) -> None:
    """Put batches into the queues in the order of time, each when its last sample is due."""
    reporter.tick()
    ready = {name: fleet.fresh(name, batches) for name, batches in ready.items()}
    if pace.speed == MAX:
        for name, batches in ready.items():
            for start in range(0, len(batches), GROUP):
                fleet.store(name, batches[start : start + GROUP], stop)
                reporter.tick()
        return
    line = sorted(((batch.last_us, name, batch) for name in ready for batch in ready[name]), key=lambda row: row[:2])
    if line:
        pace.begin(min(batch.first_us for _, _, batch in line))
    for last_us, name, batch in line:
        pace.wait(last_us, stop, reporter)
        if stop.is_set():
            return
        fleet.store(name, [batch], stop)
        reporter.tick()


def _shift_us(piece: Slice, now: bool) -> int | None:
    """Return how far to shift times so that the first sample is now; None while there was no sample yet."""
    firsts = [int(column.times_us[0]) for block in piece.blocks for column in block.columns if len(column)]
    if not now or not firsts:
        return None if now else 0
    return time.time_ns() // 1000 - min(firsts)


def _shifted(piece: Slice, shift_us: int) -> Slice:
    if not shift_us:
        return piece
    blocks = [
        Block(block.vehicle, [replace(column, times_us=column.times_us + shift_us) for column in block.columns])
        for block in piece.blocks
    ]
    return Slice(blocks, piece.until_us + shift_us)


def _await_acks(fleet: Fleet, patience_s: float, stop: threading.Event, reporter: _Reporter) -> None:
    """Wait until all is acknowledged, as long as there is progress."""
    waiting, since = -1, time.monotonic()
    while not stop.is_set():
        left = sum(agent.queue.batches - agent.queue.held_batches for agent in fleet.agents.values())
        if not left:
            return
        if left != waiting:
            waiting, since = left, time.monotonic()
        elif time.monotonic() - since > patience_s:
            return
        reporter.tick()
        stop.wait(0.05)
