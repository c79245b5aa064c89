"""Measures how fast metrics are, against CommonRoad-CriMe in an environment of its own (0.9 GB), in one run.

    python bench/metrics.py [--egos 4] [--repeat 20]

Both answer the same seven measures of the same pairs of the same recordings: an ego, another, a step. Reading files is
in neither time, and ours is taken when its kernels are compiled, on one thread.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.conformance.research.crime import comparison

GOAL = 100


def measured(name: str, angle: float, egos: int, repeat: int) -> dict[str, object]:
    """Return microseconds a measure and pair of both, and their ratio."""
    file = comparison.turned(comparison.DATA / f"{name}.xml", angle)
    scenario = comparison.scenario_of(file)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "said.json"
        peer = comparison.HERE / "peer.py"
        subprocess.run([comparison.PYTHON, peer, file, str(egos), out], check=True)
        said = json.loads(out.read_text())
    rows = {user.name: at for at, user in enumerate(scenario.motion.users)}
    answered = {rows[one]: said["egos"][one]["times"] for one in said["egos"] if "times" in said["egos"][one]}
    pairs = sum(count for times in answered.values() for count, _ in times.values())
    theirs = sum(seconds for times in answered.values() for _, seconds in times.values())
    for row in answered:
        comparison.ours(scenario, row, False)
    began = time.perf_counter()
    for _ in range(repeat):
        for row in answered:
            comparison.ours(scenario, row, False)
    ours = (time.perf_counter() - began) / repeat
    each = {"crime_us": round(1e6 * theirs / pairs, 1), "ours_us": round(1e6 * ours / pairs, 3)}
    return {"recording": name, "pairs": pairs, **each, "ratio": round(theirs / ours), "goal": GOAL}


def main() -> None:
    """Print one line of JSON a recording."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--egos", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=20)
    asked = parser.parse_args()
    comparison.prepare()
    for name, angle in comparison.FILES.items():
        print(json.dumps(measured(name, angle, asked.egos, asked.repeat)), flush=True)


if __name__ == "__main__":
    main()
