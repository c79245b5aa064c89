"""Conditions alone: how many signal updates a second twenty conditions over sixty signals take, in one process.

Run: python conditions.py [--seconds 200] [--repeats 7]. It prints one JSON line. The updates are those of a car: every
signal ten times a second, at its own phase, a random walk; the watermark is moved every second of sample time. What is
counted is this process's own CPU time, so that other work on the machine does not enter.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

import numpy as np

from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.conditions.condition import Condition
from carcloud.vehicle.conditions.incremental import Evaluator
from carcloud.vehicle.conditions.text import parse

SIGNALS, HERTZ = 60, 10
LIMIT_UPDATES_S = 200_000
"""What an agent's process must reach: the goal that docs/benchmarks.md states beside the figure."""
START_US = 1_790_000_000_000_000
KINDS = (
    "{a} > 80 km/h and {b} < 20 km/h and not {c} > 90 km/h",
    "{a} > 80 km/h for at least 2 s or {b} + {c} > 180 km/h",
    "abs(rate of {a}) > 90 km/h/s and {b} > 10 km/h and {c} > 10 km/h",
    "{a} > 80 km/h within 3 s of {b} > 80 km/h and {c} is known",
    "rising {a} > 50 km/h then {b} > 80 km/h within 5 s or {c} > 95 km/h",
    "mean of {a} over 5 s > 60 km/h and {b} > 60 km/h and {c} < 60 km/h",
    "max of {a} over 2 s - min of {a} over 2 s > 30 km/h and {b} > 50 km/h or {c} > 95 km/h",
    "{a} changed by 5 km/h and {b} > 50 km/h and {c} changed by 20 km/h over 3 s",
    "{a} / {b} > 150 % or {c} is unknown for at least 10 s",
    "count of {a} over 5 s < 20 or falling ({b} > 50 km/h and {c} < 50 km/h)",
)
"""Each asked twice, of other signals: so that no update is one that nobody asks about."""

Update = tuple[str, int, float]


def asked() -> tuple[list[str], list[Condition]]:
    """Return sixty signals, and twenty conditions which ask about three of them each."""
    paths = [f"Vehicle.Part{number // 10}.Speed{number:02d}" for number in range(SIGNALS)]
    signals = {path: Signal(path, "float", "km/h") for path in paths}
    texts = [
        kind.format(**dict(zip("abc", paths[3 * at : 3 * at + 3], strict=True))) for at, kind in enumerate(KINDS * 2)
    ]
    return paths, [parse(text, signals) for text in texts]


def drive(paths: list[str], seconds: int) -> list[list[Update]]:
    """Return a car's updates, a list for each second of sample time."""
    rng = np.random.default_rng(7)
    ticks = seconds * HERTZ
    walks = 50 + np.cumsum(rng.normal(0, 3, (len(paths), ticks)), axis=1)
    values = np.round(np.abs((walks + 100) % 200 - 100), 1).tolist()  # between 0 and 100, without jumps
    phases = np.sort(rng.integers(0, 1_000_000 // HERTZ, len(paths))).tolist()
    turns: list[list[Update]] = [[] for _ in range(seconds)]
    for tick in range(ticks):
        for path, phase, walk in zip(paths, phases, values, strict=True):
            turns[tick // HERTZ].append((path, START_US + tick * (1_000_000 // HERTZ) + phase, walk[tick]))
    return turns


def incremental(seconds: int, repeats: int) -> dict[str, object]:
    """Measure the evaluator: updates a CPU second, of each run and their median."""
    paths, conditions = asked()
    turns = drive(paths, seconds)
    updates = sum(len(turn) for turn in turns)
    rates, changes = [], 0
    for _ in range(repeats):
        evaluator, changes = Evaluator(conditions), 0
        began = time.process_time()
        for second, turn in enumerate(turns):
            for path, time_us, value in turn:
                evaluator.take(path, time_us, value)
            changes += len(evaluator.advance(START_US + (second + 1) * 1_000_000))
        rates.append(round(updates / (time.process_time() - began)))
    median = statistics.median(rates)
    return {
        "conditions": len(conditions),
        "signals": SIGNALS,
        "updates": updates,
        "changes": changes,
        "updates_s": rates,
        "median_updates_s": median,
        "limit_updates_s": LIMIT_UPDATES_S,
        "met": median >= LIMIT_UPDATES_S,
    }


def main() -> None:
    """Measure and print."""
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    words.add_argument("--seconds", type=int, default=200, help="of sample time")
    words.add_argument("--repeats", type=int, default=7)
    options = words.parse_args()
    print(json.dumps({"incremental": incremental(options.seconds, options.repeats)}), flush=True)


if __name__ == "__main__":
    main()
