"""The twin alone: 100,000 hot cars with 60 signals each, how much memory and how fast.

Run: python twin.py [CARS [SIGNALS]]. It prints one JSON line. The state is fed with governed chunks of about 480 k
rows, twice, and saved once, as the twin's process does every few seconds.
"""

from __future__ import annotations

import json
import resource
import sys
import time

import numpy as np
import psutil
import pyarrow as pa

from carcloud.safety.identity import new_vehicle_id
from carcloud.stream.chunk import SCHEMA, Chunk, RawPosition, Record
from carcloud.twin.state import TwinState

CHUNK_ROWS = 480_000


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
    result = {
        "cars": cars,
        "signals": signals,
        "rss_bytes": kept,
        "state_bytes": kept - before,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "dump_bytes": size,
        "dump_s": time.perf_counter() - began,
        "samples_s": 2 * cars * signals / spent,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
