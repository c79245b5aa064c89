"""What governance costs a million samples: `python bench/governance.py [SAMPLES [RUNS]]`. Prints one line of JSON.

The same batches go through the governor's own steps (decode, guards, transform, sort, receipt's root, encoding), turn
about under three policies: `open`, which keeps all as it came and asks nobody; `asking`, where every signal is looked
at: a sixth is rounded, a third needs a consent, which each car's person gave; and `hiding`, where in addition the sixth
goes by cells instead, a third stands under pseudonyms and half of the times are cut. CPU seconds, medians; `ratio` is
that of `asking` to `open`, `hiding_ratio` that of `hiding`.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence

import numpy as np

from carcloud.safety.governance.policy import parse as parse_policy
from carcloud.safety.governance.table import Table
from carcloud.stream.chunk import encoded_rows
from carcloud.stream.digest_keys import ChunkKeys, needed
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
  - {paths: [Vehicle.Here.*], class: personal, purposes: [run], exactness: 0.001}
  - {paths: [Vehicle.S2, Vehicle.S3, Vehicle.S4, Vehicle.S5], class: personal, purposes: [know]}
  - {paths: [Vehicle.*], class: operational, purposes: [run, know]}
"""
HIDING = """
name: hiding
purposes: {run: {basis: contract, why: x}, know: {basis: consent, why: x}}
rules:
  - {paths: [Vehicle.Here.Latitude, Vehicle.Here.Longitude], class: personal, purposes: [run], cell: 9, time: 10}
  - paths: [Vehicle.S2, Vehicle.S3, Vehicle.S4, Vehicle.S5]
    class: personal
    purposes: [know]
    car: pseudonym
    time: 60
  - {paths: [Vehicle.*], class: operational, purposes: [run, know]}
"""
POLICIES = {"open": OPEN, "asking": ASKING, "hiding": HIDING}


def main() -> None:
    """Make batches, govern them turn about, print."""
    samples, runs = (int(word) for word in (*sys.argv[1:], "1000000", "7")[:2])
    paths = ["Vehicle.Here.Latitude", "Vehicle.Here.Longitude", *(f"Vehicle.S{at}" for at in range(2, SIGNALS))]
    catalogue = Catalogue([Signal(path, "double") for path in paths])
    table = IdTable(tuple((path, None) for path in catalogue))
    now_us = int(time.time() * 1e6)
    each = max(samples // (CARS * SIGNALS), 1)
    batches = [_batch(table, car, each, now_us) for car in range(CARS)]
    names = [f"p-{car:020}" for car in range(CARS)]
    taken: dict[str, list[float]] = {name: [] for name in POLICIES}
    for turn in range(runs + 1):
        for name, text in POLICIES.items():
            terms = Terms(catalogue, TimeLimits(), Table(parse_policy(text, name), catalogue))
            consents = {f"car{car:013}": terms.table.bits(["know"]) for car in range(CARS)}
            spent = _governed(batches, terms, table, consents, names if terms.table.hides else (), now_us)
            if turn:  # the first warms up
                taken[name].append(spent)
    million = CARS * SIGNALS * each / 1e6
    medians = {name: round(statistics.median(times) / million, 4) for name, times in taken.items()}
    ratio, hiding = (
        round(statistics.median(b / a for a, b in zip(taken["open"], taken[name], strict=True)), 3)
        for name in ("asking", "hiding")
    )
    said = {"cpu_s_per_million": medians, "ratio": ratio, "hiding_ratio": hiding, "limit": LIMIT, "runs": runs}
    print(json.dumps(said))


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
    batches: list[tuple[str, bytes]],
    terms: Terms,
    table: IdTable,
    consents: Mapping[str, int],
    names: Sequence[str],
    now_us: int,
) -> float:
    intake = Intake(terms.catalogue, Marks(), {table.hash: table}, lambda _: "default", FloodLimits())
    began = time.process_time()
    for subject, payload in batches:
        intake.take(subject, payload, now_us)
    made = draft(intake.arrivals, terms, consents, names)
    cars, days = needed(made.rows, made.tenants)
    keys = ChunkKeys({name: bytes(16) for name in cars}, dict.fromkeys(days, bytes(16)))
    root(made.rows, made.tenants, 1, keys)
    encoded_rows(made.rows)
    spent = time.process_time() - began
    assert made.rows.num_rows == intake.samples, made.refused
    return spent


if __name__ == "__main__":
    main()
