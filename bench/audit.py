"""Appends to the audit log a second, beside pymerkle on SQLite and beside what the disk can flush.

Run: python bench/audit.py [--leaves N] [--runs N] [--folder DIR]. It prints a Markdown table of medians.

Every append is on the disk and under a root before it counts. Ours does more for it: it drafts, writes tiles and
leaves, signs a checkpoint, indexes acts in the records and takes them from what waits there. `receipts` come from the
governed stream, so that only runs of them are indexed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from peers.environment import PYTHON, prepare_with

from carcloud.backends.records import Entry, Records
from carcloud.safety.audit.leaf import chunk_leaf
from carcloud.safety.audit.log import AuditLog
from carcloud.safety.audit.note import LOG, Key
from carcloud.stream.audit import LIMIT_LEAVES

PEER = Path(__file__).parent / "peers" / "merkle.py"
FLUSHES, SINGLE = 200, 1000
SECRET = Ed25519PrivateKey.generate()
KEY = Key("carcloud/bench", LOG, SECRET.public_key().public_bytes_raw())


def opened(folder: Path) -> tuple[Records, AuditLog]:
    """Return empty records and an empty log."""
    (folder / "audit").mkdir()
    records = Records.open(f"sqlite:///{folder}/records.sqlite")
    log = AuditLog(folder / "audit", records, SECRET.sign, KEY, lambda *_: ())
    log.recover()
    return records, log


def acts(folder: Path, leaves: int) -> float:
    """Return how many acts a second go from the records into the log."""
    records, log = opened(folder)
    said = {"number": 1, "hash": "a" * 64, "reason": "key compromised"}
    for at in range(0, leaves, 1000):
        records.audit.add(
            *(Entry("person:abcdefgh", "revokeVehicle", f"vehicle:{n:016}", facts=said) for n in range(at, at + 1000))
        )
    began = time.perf_counter()
    while waiting := records.audit.pending(LIMIT_LEAVES):
        log.write(waiting, ())
    seconds = time.perf_counter() - began
    assert log.checkpoint.size == leaves
    records.close()
    return leaves / seconds


def receipt(number: int) -> bytes:
    """Return a leaf like that of a chunk's receipt."""
    said = {
        "partition": 0,
        "chunk": number,
        "at_us": number,
        "catalogue": "c" * 64,
        "in": 100,
        "kept": 99,
        "batches": 3,
    }
    return chunk_leaf({"statement": said | {"root": "a" * 64, "content": "b" * 64}, "key": "k" * 16}, "default")


def receipts(folder: Path, leaves: int) -> float:
    """Return how many leaves of receipts a second go into the log."""
    records, log = opened(folder)
    made = [receipt(number) for number in range(1, leaves + 1)]
    began = time.perf_counter()
    for at in range(0, leaves, LIMIT_LEAVES):
        log.write((), made[at : at + LIMIT_LEAVES])
    seconds = time.perf_counter() - began
    assert log.checkpoint.size == leaves
    records.close()
    return leaves / seconds


def peer(folder: Path, leaves: int, batch: int) -> float:
    """Return how many leaves a second pymerkle takes."""
    command: list[str | Path] = [PYTHON, PEER, folder / "tree.sqlite", str(leaves), str(batch), str(len(receipt(1)))]
    told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert told["leaves"] == leaves
    return float(leaves / told["seconds"])


def flushes(folder: Path, _: int) -> float:
    """Return how many small files a second the disk flushes, one after the other."""
    began = time.perf_counter()
    for number in range(FLUSHES):
        with (folder / str(number)).open("wb") as sink:
            sink.write(b"x" * 4096)
            sink.flush()
            os.fsync(sink.fileno())
    return FLUSHES / (time.perf_counter() - began)


WAYS: dict[str, Callable[[Path, int], float]] = {
    "carcloud, acts from the records, 1,000 a checkpoint": acts,
    "carcloud, receipts of chunks, 1,000 a checkpoint": receipts,
    "pymerkle, SQLite, 1,000 a transaction": lambda folder, leaves: peer(folder, leaves, 1000),
    "pymerkle, SQLite, one a transaction": lambda folder, leaves: peer(folder, SINGLE, 1),
    "flushed files of 4 KiB": flushes,
}


def main() -> None:
    """Measure every way in turn, as often as asked, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--leaves", type=int, default=20_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=None, help="where to write; by default a temporary folder")
    given = parser.parse_args()
    prepare_with("pymerkle")
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    for run in range(given.runs):
        for name, way in WAYS.items():
            with tempfile.TemporaryDirectory(dir=given.folder) as folder:
                rates[name].append(way(Path(folder), given.leaves))
            print(f"{run + 1}/{given.runs} {name}: {rates[name][-1]:,.0f}", file=sys.stderr)
    print("| way | a second, median | lowest | highest |\n| --- | --- | --- | --- |")
    for name, found in rates.items():
        print(f"| {name} | {statistics.median(found):,.0f} | {min(found):,.0f} | {max(found):,.0f} |")


if __name__ == "__main__":
    main()
