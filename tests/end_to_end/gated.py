"""Runs a planner over a lake in a process of its own, so that it can be killed: LAKE PLANNER WORKERS."""

import sys
from pathlib import Path

from carcloud.backends.compute import Processes
from carcloud.research.runs import run as runs
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store

SHARD = 6
SETTINGS = Settings(limit_s=60.0)

if __name__ == "__main__":
    runs.SHARD = SHARD
    lake = Path(sys.argv[1])
    ids = [row.id for row in Store(lake).scenarios()]
    found = runs.run(runs.wanted(Store(lake), "default", ids, sys.argv[2], SETTINGS), lake, Processes(int(sys.argv[3])))
    print(found.digest)
