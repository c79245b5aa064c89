"""What governance costs a million samples: `python bench/governance.py [SAMPLES [RUNS]]`. Prints one line of JSON.

The same batches go through the governor's own steps (decode, guards, transform, sort, receipt's root, encoding), turn
about under two policies: `open`, which keeps all as it came and asks nobody, and `asking`, where every signal is
looked at: a sixth is rounded, a third needs a consent, which each car's person gave. CPU seconds, medians.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping

import numpy as np

from carcloud.safety.governance.policy import parse as parse_policy
from carcloud.safety.governance.table import Table
from carcloud.stream.chunk import encoded_rows
from carcloud.stream.draft import draft
from carcloud.stream.guards import Terms
from carcloud.stream.intake import Intake
from carcloud.stream.marks import Marks
from carcloud.stream.receipts import root
from carcloud.stream.settings import FloodLimits, TimeLimits
from carcloud.stream.subjects import raw
from carcloud.vehicle.batch import Batch, IdTable, Provenance, encode
from carcloud.vehicle.catalogue import Catalogue, Signal

CARS, SIGNALS = 1000, 12
LIMIT = 1.25
OPEN = (
    "name: open\npurposes: {run: {basis: contract, why: x}}\nrules: [{paths: ['**'], class: public, purposes: [run]}]"
)
ASKING = """
name: asking
purposes: {run: {basis: contract, why: x}, know: {basis: consent, why: x}}
rules:
  - {paths: [Vehicle.S0, Vehicle.S1], class: personal, purposes: [run], exactness: 0.001}
  - {paths: [Vehicle.S2, Vehicle.S3, Vehicle.S4, Vehicle.S5], class: personal, purposes: [know]}
  - {paths: [Vehicle.*], class: operational, purposes: [run, know]}
"""


def main() -> None:
    """Make batches, govern them turn about, print."""
    samples, runs = (int(word) for word in (*sys.argv[1:], "1000000", "7")[:2])
    catalogue = Catalogue([Signal(f"Vehicle.S{number}", "double") for number in range(SIGNALS)])
    table = IdTable(tuple((path, None) for path in catalogue))
    now_us = int(time.time() * 1e6)
    each = max(samples // (CARS * SIGNALS), 1)
    batches = [_batch(table, car, each, now_us) for car in range(CARS)]
    taken: dict[str, list[float]] = {"open": [], "asking": []}
    for turn in range(runs + 1):
        for name, text in (("open", OPEN), ("asking", ASKING)):
            terms = Terms(catalogue, TimeLimits(), Table(parse_policy(text, name), catalogue))
            consents = {f"car{car:013}": terms.table.bits(["know"]) for car in range(CARS)}
            spent = _governed(batches, terms, table, consents, now_us)
            if turn:  # the first warms up
                taken[name].append(spent)
    million = CARS * SIGNALS * each / 1e6
    medians = {name: round(statistics.median(times) / million, 4) for name, times in taken.items()}
    ratio = statistics.median(b / a for a, b in zip(taken["open"], taken["asking"], strict=True))
    print(json.dumps({"cpu_s_per_million": medians, "ratio": round(ratio, 3), "limit": LIMIT, "runs": runs}))


def _batch(table: IdTable, car: int, each: int, now_us: int) -> tuple[str, bytes]:
    rng = np.random.default_rng(car)
    batch = Batch(
        table.hash,
        1,
        1,
        now_us,
        np.arange(SIGNALS, dtype=np.uint16),
        np.full(SIGNALS, each, np.uint32),
        np.tile(np.arange(each, dtype=np.int32) * 1000, SIGNALS),
        np.round(rng.normal(50, 20, SIGNALS * each), 2),
        Provenance.MEASURED,
    )
    return raw("default", f"car{car:013}", "batch"), encode(batch)


def _governed(
    batches: list[tuple[str, bytes]], terms: Terms, table: IdTable, consents: Mapping[str, int], now_us: int
) -> float:
    intake = Intake(terms.catalogue, Marks(), {table.hash: table}, lambda _: "default", FloodLimits())
    began = time.process_time()
    for subject, payload in batches:
        intake.take(subject, payload, now_us)
    made = draft(intake.arrivals, terms, consents)
    root(made.rows)
    encoded_rows(made.rows)
    spent = time.process_time() - began
    assert made.rows.num_rows == intake.samples, made.refused
    return spent


if __name__ == "__main__":
    main()
