"""The car's collector: how many signal updates a second an agent's process takes with twenty plans that gather.

Run: python collector.py [--seconds 200] [--repeats 5]. It prints one JSON line. Updates and conditions are those of
conditions.py: sixty signals ten times a second, every one of which a plan asks about. Each plan collects three of them
around its firings, the samples go through ring, sampling and packing, and the batches into a queue on disk. Samples
come in slices of a second. What is counted is this process's own CPU time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from conditions import LIMIT_UPDATES_S, SIGNALS, START_US, asked, drive

from carcloud.onboard.collector import Collector, with_own_signals
from carcloud.onboard.plans import Plans
from carcloud.onboard.queue import KeptPlan, Queue
from carcloud.vehicle.batch import IdTable, Provenance
from carcloud.vehicle.batching import Column
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.order import canonical

SAMPLINGS = ({}, {"every": "1 s"}, {"band": "2 km/h"}, {"curve": "1 km/h"})


def documents(paths: list[str]) -> list[dict[str, object]]:
    """Return twenty plans, a condition each."""
    _, conditions = asked()
    return [
        {
            "plan": f"plan{at}",
            "version": 1,
            "signals": [{"path": path, **SAMPLINGS[at % 4]} for path in paths[3 * at : 3 * at + 3]],
            "when": condition.text,
            "before": "5 s",
            "after": "5 s",
            "interval": "10 s",
            "priority": 1 + at % 9,
            "purpose": "research",
            "basis": "consent",
            "budget": "5 MB",
            "until": "2099-01-01T00:00:00Z",
        }
        for at, condition in enumerate(conditions)
    ]


def slices(paths: list[str], seconds: int) -> list[list[Column]]:
    """Return a car's updates as columns, a list for each second."""
    found: list[list[Column]] = []
    for turn in drive(paths, seconds):
        times: dict[str, list[int]] = {}
        values: dict[str, list[float]] = {}
        for path, time_us, value in turn:
            times.setdefault(path, []).append(time_us)
            values.setdefault(path, []).append(value)
        found.append(
            [Column(paths.index(path), np.array(times[path], np.int64), np.array(values[path])) for path in times]
        )
    return found


def collect(seconds: int, repeats: int) -> dict[str, object]:
    """Measure the collector: updates a CPU second, of each run and their median."""
    paths, _ = asked()
    catalogue = {path: Signal(path, "float", "km/h") for path in paths}
    turns = slices(paths, seconds)
    updates = sum(len(column) for turn in turns for column in turn)
    table = with_own_signals(IdTable(tuple((path, "km/h") for path in paths)))
    rates: list[int] = []
    gathered = 0
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            queue = Queue(Path(folder) / "car.queue")
            for document in documents(paths):
                queue.keep_plan(KeptPlan(str(document["plan"]), canonical(document), b"{}"))
            plans, skipped = Plans(queue, catalogue, paths), Counter[str]()
            collector = Collector(plans, queue, table, Provenance.SIMULATED, skipped, gather=True)
            began = time.process_time()
            for second, turn in enumerate(turns):
                collector.take(turn)
                found = collector.advance(START_US + (second + 1) * 1_000_000)
                if found is not None:
                    queue.append(found.parcels, None, found.states)
            rates.append(round(updates / (time.process_time() - began)))
            gathered = queue.samples
            assert len(plans.current()) == len(documents(paths)), plans.unread
            assert not skipped, skipped
            queue.close()
    median = statistics.median(rates)
    return {
        "plans": len(documents(paths)),
        "signals": SIGNALS,
        "updates": updates,
        "samples_gathered": gathered,
        "updates_s": rates,
        "median_updates_s": median,
        "limit_updates_s": LIMIT_UPDATES_S,
        "met": median >= LIMIT_UPDATES_S,
    }


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--seconds", type=int, default=200, help="of sample time")
    words.add_argument("--repeats", type=int, default=5)
    options = words.parse_args()
    print(json.dumps({"collector": collect(options.seconds, options.repeats)}), flush=True)


if __name__ == "__main__":
    main()
