"""How fast reports of GB/T 32960 are read, beside rtm-con, on one core, in one run.

Run: python gbt32960.py [FRAMES]. The frame is the one published of 2025 with 180 cells and 48 probes where it is at
../shared/data/gbt32960, else one of the same shape. Both take it from bytes to values and check the check byte; rtm-con
names codes and bits besides, which ours leave to the mapping to signals. Turns, one reader after the other; the medians
of all turns count, and the ratio is the median of the turns' own. It prints one JSON line.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rtm_con import msg_checked

from carcloud.vehicle.gbt32960.composing import units_of
from carcloud.vehicle.gbt32960.forms import Report, Signature
from carcloud.vehicle.gbt32960.frames import Edition, FrameReader, encode
from carcloud.vehicle.gbt32960.mapping import samples
from carcloud.vehicle.gbt32960.messages import read, write
from carcloud.vehicle.gbt32960.rules import table

PUBLISHED = Path(__file__).parents[2] / "shared/data/gbt32960/frames.json"
NAME = "weird message 2025 with addtional unknown data before checksum"
TURNS = 15


def frame() -> tuple[str, bytes]:
    """Return where the frame is from, and its bytes."""
    if PUBLISHED.exists():
        return "published", bytes.fromhex(json.loads(PUBLISHED.read_text())[NAME])
    rng = random.Random(1)
    cells = json.dumps([round(rng.uniform(3.9, 4.0), 3) for _ in range(180)])
    values: dict[str, float | str] = {"Vehicle.Speed": 50.0, "Vehicle.GBT32960.Pack1.CellVoltages": cells}
    values["Vehicle.GBT32960.Pack1.Temperatures"] = json.dumps([20.0] * 48)
    values |= {f"Vehicle.GBT32960.Motor{number}.Speed": 900.0 for number in (1, 2)}
    report = Report("LSVAU2A30NN000001", datetime(2026, 3, 1, tzinfo=UTC), units_of(values, Edition.E2025))
    signed = write(report, Edition.E2025, lambda data: Signature(2, bytes(256)))
    return "made up", encode(signed)


READER = FrameReader()
"""A connection has one reader for all its frames."""


def ours(data: bytes) -> Report:
    """Read a frame from bytes to values: scalars in their units, cells and probes as arrays of float."""
    (found,) = READER.feed(data)
    report = read(found)  # type: ignore[arg-type]
    (cells,), (probes,) = (unit.fields["packs"] for unit in report.units[-2:])  # type: ignore[union-attr]
    assert cells["cells"].values.size + probes["probes"].values.size
    return report  # type: ignore[return-value]


def rate(work: Callable[[bytes], Any], data: bytes, count: int) -> float:
    """Return how often a second of CPU the work was done."""
    began = time.process_time()
    for _ in range(count):
        work(data)
    return count / (time.process_time() - began)


def main() -> None:
    """Measure and print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2_000
    source, data = frame()
    report = ours(data)
    works: dict[str, tuple[Callable[[bytes], Any], int]] = {
        "ours": (ours, count),
        "rtm-con": (msg_checked.parse, max(20, count // 50)),
        "ours with mapping": (lambda raw: samples(ours(raw), Edition.E2025), count // 3),
    }
    rates: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(1 + TURNS):
        for name, (work, times) in works.items():
            found = rate(work, data, times)
            if turn:  # the first one warms
                rates[name].append(found)
    middle = {name: statistics.median(found) for name, found in rates.items()}
    ratios = [mine / theirs for mine, theirs in zip(rates["ours"], rates["rtm-con"], strict=True)]
    result = {
        "frame": source,
        "bytes": len(data),
        "samples": len(samples(report, Edition.E2025).rows),
        "signals": len(table().signals),
        "frames_per_cpu_s": {name: round(value) for name, value in middle.items()},
        "ratio": round(statistics.median(ratios), 1),
        "ratios": [round(min(ratios), 1), round(max(ratios), 1)],
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
