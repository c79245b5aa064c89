"""The long run: `python -m tests.end_to_end.soak [--kills 100] [--seed 1] [--out FILE]`. `make soak` does this."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.end_to_end.faults import run_faults


def main() -> int:
    """Kill every part so many times under load; print the tables, and write them to a file if one is given."""
    parser = argparse.ArgumentParser(prog="soak", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=100, help="how often each part is killed (default 100)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, another order (default 1)")
    parser.add_argument("--out", type=Path, help="where to write the tables")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="carcloud-soak-") as folder:
        report = run_faults(
            Path(folder) / "zone", chosen.kills, chosen.seed, lambda text: print(text, file=sys.stderr, flush=True)
        )
    print(report.markdown())
    if chosen.out:
        chosen.out.write_text(report.markdown(), "utf-8")
    print("good" if report.good else "NOT good")
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
