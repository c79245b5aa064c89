"""Checking the lake against the governor's receipts: every row belongs to a signed chunk, and no row is missing.

Rules:
* Rows are regrouped by chunk, whatever files they are in; their Merkle root must be the one in the chunk's receipt.
* Every chunk up to the table's position has a receipt, empty ones too: a missing one, one whose signature does not
  hold, and one that kept other rows than the lake has, are faults.
* Where a car was erased its tombstones stand in for its rows; those of all others must still give the signed root.
* A file that cannot be read, and a row that lies in another day than its own, are faults.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carcloud.backends.delta import Table
from carcloud.errors import MissingError
from carcloud.lake.receipts import receipts_of
from carcloud.lake.rows import PARTITIONS, SCHEMA, Part, joined
from carcloud.lake.tombstones import Tombstone, read
from carcloud.lake.windows import as_chunk, windows
from carcloud.safety.audit.tree import root_of
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import car_digests, leaf, statement

SHOWN_FAULTS = 20
PATIENCE_S = 10.0


@dataclass
class Verdict:
    """What was found: chunks, rows and receipts checked, rows erased, and what is wrong, at most the first of many."""

    chunks: int = 0
    rows: int = 0
    faults: list[str] = field(default_factory=list)
    erased: int = 0
    receipts: dict[int, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)

    def fault(self, text: str) -> None:
        """Note something wrong."""
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(text)


def verify_lake(folder: Path, signed: Verify, erased: Verify, partition: int = 0) -> Verdict:
    """Check the whole lake. `signed`, `erased`: whether the signer made a signature on a receipt, on tombstones.

    Raises:
        MissingError: the folder holds no lake.
    """
    if not (folder / "samples").is_dir():
        raise MissingError(f"There is no lake in {folder} yet.", "Send a first batch, or give the zone's folder.")
    verdict, table, application = Verdict(), Table(folder / "samples", SCHEMA, PARTITIONS), f"lake/{partition}"
    position, live = table.position(application), table.live()  # in this order, for a lake that is being written to
    receipts = verdict.receipts = receipts_of(folder, verdict.fault)
    stones = read(folder / "erased", erased, verdict.fault)
    checked = set[int]()
    for by_chunk in windows(table, live, lambda part: part, verdict.fault):
        for number, parts in sorted(by_chunk.items()):
            _check(number, parts, receipts.get(number), stones.get(number, {}), signed, verdict)
        checked |= by_chunk.keys()
    after = _settled(table, application, max(receipts, default=0))
    behind = {number for number in receipts if number > after}
    for number in sorted((set(range(1, position + 1)) | behind) - checked):
        _check(number, [], receipts.get(number), stones.get(number, {}), signed, verdict)
    return verdict


def _settled(table: Table, application: str, newest: int) -> int:
    """Return the table's position once it is at the newest receipt, which is written a moment before its rows."""
    until = time.monotonic() + PATIENCE_S
    while (position := table.position(application)) < newest and time.monotonic() < until:
        time.sleep(0.2)
    return position


def _check(
    number: int,
    parts: list[Part],
    receipt: dict[str, Any] | None,
    erased: Mapping[str, Tombstone],
    signed: Verify,
    verdict: Verdict,
) -> None:
    rows = sum(len(part.value) for part in parts)
    verdict.chunks += 1
    verdict.rows += rows
    if receipt is None:
        verdict.fault(f"chunk {number}: {rows} rows and no receipt")
        return
    fields = receipt["statement"]
    if not signed(statement(fields), bytes.fromhex(receipt["signature"])):
        verdict.fault(f"chunk {number}: the receipt's signature does not hold")
        return
    digests = car_digests(as_chunk(joined(parts))) if rows else {}
    stones = {vehicle: stone for vehicle, stone in erased.items() if vehicle not in digests}
    gone = sum(stone.rows for stone in stones.values())
    verdict.erased += gone
    if rows + gone != fields["kept"]:
        also = f" and {gone} erased" if gone else ""
        verdict.fault(f"chunk {number}: {rows} rows{also}, the receipt says {fields['kept']}")
    elif fields["kept"] and _root(digests, stones).hex() != fields["root"]:
        verdict.fault(f"chunk {number}: the rows are not those the governor signed")


def _root(digests: Mapping[str, bytes], stones: Mapping[str, Tombstone]) -> bytes:
    """Return the root over the cars that are there and the leaves of those that were erased."""
    leaves = {vehicle: stone.leaf for vehicle, stone in stones.items()}
    leaves |= {vehicle: leaf(vehicle, digest) for vehicle, digest in digests.items()}
    return root_of([leaves[vehicle] for vehicle in sorted(leaves)])
