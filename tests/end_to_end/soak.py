"""The long run: `python -m tests.end_to_end.soak [--kills 100] [--seed 1] [--out FILE]`. `make soak` does this."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.end_to_end.cars import SAMPLES
from tests.end_to_end.faults import Report, run_faults

PAGE = """# Faults

What becomes of acknowledged data when every part of a zone is killed with `kill -9` under load, again and again. Six
cars, real agents in two processes, send samples that are each known by themselves; what the cars wrote down of `dn/ack`
is held against the lake afterwards.

* **killed**: in every second round in turn, each part after the zone acknowledges again; else in any order, some two at
  a time. `agent` is a process of three cars, which goes on from its queues. How soon the zone acknowledged again was
  measured in the rounds in turn; for a part that is not on the way of an acknowledgement it is only noise.
* **sent**, **acknowledged**, **stored**: batches of {samples} samples; stored are those that are whole in the lake.
* **lost**: samples acknowledged and not in the lake. **doubled**: samples stored more than once. **strange**: rows of
  the car that it never sent.

{tables}
Made by `{command}`.
`make test` does the same with 5 kills of each part, `make soak` with 100. A full disk, a killed supervisor, bad data
and restarts have tests of their own in `tests/end_to_end`.
"""


def page(report: Report, command: str) -> str:
    """Return the page with the tables."""
    return PAGE.format(samples=SAMPLES, tables=report.markdown(), command=command)


def main() -> int:
    """Kill every part so many times under load; print the tables, and write a page with them if one is named."""
    parser = argparse.ArgumentParser(prog="soak", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often each part is killed (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another order (default 1)")
    parser.add_argument("--out", type=Path, help="where to write the page with the tables")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carcloud-soak-") as folder:
        report = run_faults(
            Path(folder) / "zone", chosen.kills, chosen.seed, lambda text: print(text, file=sys.stderr, flush=True)
        )
    print(report.markdown())
    if chosen.out:
        command = f"python -m tests.end_to_end.soak --kills {chosen.kills} --seed {chosen.seed} --out {chosen.out}"
        chosen.out.write_text(page(report, command), "utf-8")
    print("good" if report.good else "NOT good")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
