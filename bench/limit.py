"""The limit: how fast the same rows go into Parquet when nothing else is done, one core.

Run: python limit.py LOAD_FOLDER. It prints one JSON line: samples a second of CPU and bytes a sample, with the lake's
own encodings and with pyarrow's defaults (zstd).
"""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from peers.columns import Vehicles, table
from recordings import Load, read, stamp

from carcloud.backends.delta import write_parquet

ROWS = 1_000_000


def rows(load: Load, cars: int = 2000) -> pa.Table:
    """Return a million rows as the lake writes them: batches as they come from all cars, sorted."""
    payloads, now = load.payloads(), int(time.time() * 1e6)
    messages, count = [], 0
    _, shares = load.share(cars)
    for n in range(max(map(len, shares))):
        for car, share in enumerate(shares):
            if n >= len(share) or count >= ROWS:
                continue
            i = share[n]
            body = payloads[load.start[i] : load.end[i]].tobytes()
            messages.append((f"vehicle{car:09d}", stamp(body, 1, n + 1, now + n * 20_000_000 + car * 7000)))
            count += int(load.samples[i])
    found = table(messages, Vehicles())
    extra = {
        "text": pa.nulls(len(found), pa.string()),
        "provenance": pa.array(["replay"] * len(found)).dictionary_encode(),
        "chunk": pa.array([7] * len(found), pa.int64()),
    }
    for name, column in extra.items():
        found = found.append_column(name, column)
    return found


def main() -> None:
    """Write the rows both ways, three times each, and print the best."""
    data = rows(read(Path(sys.argv[1])))
    ways: dict[str, Callable[[pa.Table, IO[bytes]], None]] = {
        "lake": write_parquet,
        "plain": lambda table, sink: pq.write_table(table, sink, compression="zstd"),
    }
    result: dict[str, float] = {"rows": len(data)}
    for name, write in ways.items():
        spent = []
        for _ in range(3):
            sink, began = io.BytesIO(), time.process_time()
            write(data, sink)
            spent.append(time.process_time() - began)
        result[f"{name}_samples_s"] = len(data) / min(spent)
        result[f"{name}_bytes"] = len(sink.getvalue()) / len(data)
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
