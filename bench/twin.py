"""The twin alone: 100,000 hot cars with 60 signals each, how much memory and how fast.

Run: python twin.py [CARS [SIGNALS]]. It prints one JSON line. The state is fed with governed chunks of about 480 k
rows, twice, and saved once, as the twin's process does every few seconds; and all cars are searched by a condition on
two signals, in as many answers as the twin's process makes of them, nine times.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import AsyncGenerator, Sequence

import numpy as np
import psutil
import pyarrow as pa

from carcloud.safety.grants.reach import Reach
from carcloud.safety.identity import new_vehicle_id
from carcloud.stream.chunk import SCHEMA, Chunk, RawPosition, Record
from carcloud.twin.keeper import CELLS_AN_ANSWER
from carcloud.twin.search import Found, search
from carcloud.twin.state import TwinState
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.conditions.text import parse

CHUNK_ROWS = 480_000


class Answers:
    """A state's answers to a search, as the twin's process gives them, without the way between the two."""

    def __init__(self, state: TwinState) -> None:
        self._state = state

    async def columns(self, tenant: str, paths: Sequence[str]) -> AsyncGenerator[pa.Table, None]:
        """Yield the state's values, some cars at once."""
        names, step = self._state.vehicles, CELLS_AN_ANSWER // len(paths)
        for first in range(0, len(names), step):
            yield self._state.columns(names[first : first + step], paths)


def searched(state: TwinState) -> tuple[Found, float]:
    """Return what a search finds, and how long it takes, in seconds of this process's CPU; the median of nine."""
    one, other = state.signals[:2]
    catalogue = {path: Signal(path, "float", "km/h") for path in (one, other)}
    asked, spent = parse(f"{one} > 90 km/h and {other} < 50 km/h stale after 1 h", catalogue), []
    for _ in range(9):
        began = time.process_time()
        found = asyncio.run(search(Answers(state), asked, Reach("default"), int(time.time() * 1e6)))
        spent.append(time.process_time() - began)
    return found, statistics.median(spent)


def chunk(number: int, cars: list[str], paths: pa.Array, at_us: int) -> Chunk:
    """Return one sample of every path for each of these cars."""
    rows, rng = len(cars) * len(paths), np.random.default_rng(number)
    vehicle = pa.DictionaryArray.from_arrays(np.repeat(np.arange(len(cars), dtype="i4"), len(paths)), pa.array(cars))
    signal = pa.DictionaryArray.from_arrays(np.tile(np.arange(len(paths), dtype="i4"), len(cars)), paths)
    times = pa.array(np.full(rows, at_us), pa.timestamp("us", "UTC"))
    columns = [vehicle, signal, times, rng.normal(50, 20, rows), pa.nulls(rows, pa.string()), np.ones(rows, "u1")]
    batch = pa.record_batch(
        [pa.array(column) if isinstance(column, np.ndarray) else column for column in columns], SCHEMA
    )
    return Chunk(Record(number, 0, at_us, RawPosition(), received_us=at_us), batch)


def main() -> None:
    """Feed, save, measure, print."""
    cars, signals = (int(word) for word in (*sys.argv[1:], "100000", "60")[:2])
    names = [new_vehicle_id() for _ in range(cars)]
    paths = pa.array([f"Vehicle.Part{n // 10}.Signal{n:02d}" for n in range(signals)])
    before, state, number, spent = psutil.Process().memory_info().rss, TwinState(), 0, 0.0
    step = max(1, CHUNK_ROWS // signals)
    for turn in range(2):
        for low in range(0, cars, step):
            number += 1
            piece = chunk(number, names[low : low + step], paths, int(time.time() * 1e6) + turn)
            began = time.process_time()
            state.apply(piece)
            spent += time.process_time() - began
            del piece
    kept = psutil.Process().memory_info().rss
    began = time.perf_counter()
    size = len(state.dump())
    dumped = time.perf_counter() - began
    found, search_s = searched(state)
    result = {
        "cars": cars,
        "signals": signals,
        "rss_bytes": kept,
        "state_bytes": kept - before,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "dump_bytes": size,
        "dump_s": dumped,
        "found": len(found.vehicles),
        "search_cpu_s": search_s,
        "samples_s": 2 * cars * signals / spent,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
