"""The peer of the audit log: pymerkle on SQLite, in the environment of peers; not a dependency of carcloud.

Run: python merkle.py FILE LEAVES BATCH BYTES. It appends so many leaves in batches, each in one transaction that SQLite
flushes, takes the root after each, and prints the seconds that took as JSON. BATCH 1 appends one by one.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from pymerkle import SqliteTree


def main() -> None:
    """Append, and print how long it took."""
    file, leaves, batch, size = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    data = [os.urandom(size) for _ in range(leaves)]
    tree = SqliteTree(str(file))
    began = time.perf_counter()
    for at in range(0, leaves, batch):
        if batch == 1:
            tree.append_entry(data[at])
        else:
            tree.append_entries(data[at : at + batch])
        tree.get_state()
    print(json.dumps({"seconds": time.perf_counter() - began, "leaves": tree.get_size()}))


if __name__ == "__main__":
    main()
