"""The bench: cars to lake, end to end, beside the peers, in one run on one machine.

Run: python bench/ingest.py [--samples 100000000] [--batch 2400,100,20] [--cars 2000] [--only zone,paced,…] [--quick].
A whole run writes its tables into docs/benchmarks.md; a partial or quick one prints them only.

Steps: `zone` flat out at each batch size, with the queries · `paced` at a fixed rate: delays · `storm` of connections ·
`twin` alone · `limit`: plain Parquet · the peers `ordinary`, `postgres`, `unlogged`, `parquet`, `clickhouse`.
"""

from __future__ import annotations

import argparse
import functools
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import recordings
import report
from driver import HERE
from peers.environment import prepare
from peers.measure import measure
from runs import PROBES, flat_out, paced, storm
from zone import Enrolled

STEPS = ("limit", "twin", "storm", "paced", "zone", "ordinary", "postgres", "unlogged", "parquet", "clickhouse")
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ordinary": ("ordinary", {}),
    "postgres": ("postgres", {"unlogged": False}),
    "unlogged": ("postgres", {"unlogged": True}),
    "parquet": ("parquet", {}),
    "clickhouse": ("clickhouse", {"codec": "ZSTD(3)"}),
}
SMALLER = {2400: 1.0, 100: 0.2, 20: 0.05}


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000_000, help="samples of the run at 2,400 a batch")
    parser.add_argument("--peer-samples", type=int, default=24_000_000, help="samples a peer is given")
    parser.add_argument("--batch", default="2400,100,20", help="samples a batch; smaller batches get fewer samples")
    parser.add_argument("--cars", type=int, default=2000)
    parser.add_argument("--storm", type=int, default=5000, help="cars that connect at the same moment")
    parser.add_argument("--rate", type=float, default=200_000, help="samples a second of the paced run")
    parser.add_argument("--seconds", type=float, default=75, help="length of the paced run")
    parser.add_argument("--repeats", type=int, default=3, help="the zone at the first batch size, and each peer")
    parser.add_argument("--only", default="", help="steps, comma-separated: " + ", ".join(STEPS))
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a twentieth of the load and a tenth of the cars, once: to see that all works",
    )
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    found = parser.parse_args()
    if found.quick:
        found.samples, found.peer_samples, found.repeats, found.seconds = found.samples // 20, 2_400_000, 1, 25
        found.cars, found.storm = found.cars // 10, found.storm // 10
    unknown = set(filter(None, found.only.split(","))) - set(STEPS)
    if unknown:
        parser.error(f"unknown step {', '.join(sorted(unknown))}; the steps are {', '.join(STEPS)}")
    return found


class Bench:
    """One run of the bench; `results` grows step by step and is kept beside the load."""

    def __init__(self, asked: argparse.Namespace, folder: Path) -> None:
        self.asked, self.folder = asked, folder
        self.sizes = [int(size) for size in asked.batch.split(",")]
        self.steps = asked.only.split(",") if asked.only else list(STEPS)
        self.results: dict[str, Any] = {"asked": {k: str(v) for k, v in vars(asked).items()}, "zone": [], "peers": []}

    def load(self, size: int, samples: int) -> recordings.Load:
        """Return the load of a size, encoded now or before."""
        self.say(f"encoding {samples:,} samples in batches of {size}")
        return recordings.build(self.folder / f"load-{size}-{samples}", size, samples)

    @functools.cached_property
    def enrolled(self) -> Enrolled:
        """Return the zone's cars, enrolled once."""
        cars = max(self.asked.cars + PROBES, self.asked.storm if "storm" in self.steps else 0)
        self.say(f"enrolling {cars:,} cars")
        return Enrolled(self.folder / "enrolled", cars)

    def say(self, text: str) -> None:
        """Tell whoever watches what is going on."""
        print(f"· {text}", file=sys.stderr, flush=True)

    def run(self) -> dict[str, Any]:
        """Do all steps asked for, one after the other; the machine is never shared between two."""
        self.results["load"] = report.describe_load(self.asked.samples)
        alone: dict[str, Callable[[], Any]] = {
            "limit": lambda: self._child("limit.py", self.load(self.sizes[0], self.asked.peer_samples).folder),
            "twin": lambda: self._child("twin.py"),
            "storm": lambda: storm(self.enrolled, self.asked.storm, self.folder),
            "paced": self._paced,
        }
        for name, step in alone.items():
            if name in self.steps:
                self.say(name)
                self.keep(name, step())
        for turn in range(self.asked.repeats):
            self._round(turn)
        return self.results

    def keep(self, name: str, result: Any) -> None:
        """Remember a result, in memory and in the folder."""
        if isinstance(self.results.get(name), list):
            self.results[name].append(result)
        else:
            self.results[name] = result
        (self.folder / "results.json").write_text(json.dumps(self.results, indent=1))
        self.say(json.dumps(result))

    def _child(self, program: str, *arguments: object) -> Any:
        line: list[str | Path] = [sys.executable, HERE / program, *map(str, arguments)]
        return json.loads(subprocess.run(line, stdout=subprocess.PIPE, check=True).stdout)

    def _paced(self) -> list[dict[str, Any]]:
        asked, done = self.asked, []
        for size in self.sizes[:2]:
            load = self.load(size, int(asked.rate * asked.seconds))
            done.append(paced(load, self.enrolled, asked.cars, asked.rate, self.folder))
        return done

    def _round(self, turn: int) -> None:
        asked = self.asked
        if "zone" in self.steps:
            for size in self.sizes if turn == 0 else self.sizes[:1]:
                load = self.load(size, int(asked.samples * SMALLER.get(size, 1.0)))
                self.say(f"zone, {size} samples a batch, turn {turn + 1}")
                first = turn == 0 and size == self.sizes[0]
                self.keep("zone", flat_out(load, self.enrolled, asked.cars, self.folder, queries=first))
        for name, (module, extra) in PEERS.items():
            if name in self.steps:
                load = self.load(self.sizes[0], asked.peer_samples // (10 if name == "ordinary" else 1))
                self.say(f"peer {name}, turn {turn + 1}")
                self.keep("peers", measure(module, load, asked.cars, self.folder / "peer", **extra) | {"peer": name})


def main() -> None:
    """Run what was asked for and report it; a kill, too, ends every child."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    asked = options()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="carcloud-bench-"))
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked, folder)
    if "clickhouse" in bench.steps:
        prepare()
    try:
        tables = report.tables(bench.run())
        print(tables)
        if not asked.only and not asked.quick:
            report.write(tables)
    finally:
        if not asked.folder:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
