"""Checking the lake against the governor's receipts: every row belongs to a signed chunk, and no row is missing.

Rules:
* Rows are regrouped by chunk, whatever files they are in; their Merkle root must be the one in the chunk's receipt.
* Every chunk up to the table's position has a receipt, empty ones too: a missing one, one whose signature does not
  hold, and one that kept other rows than the lake has, are faults.
* Where a car was erased its tombstones stand in for its rows, and so they do for cells that expired; the rows of all
  others must still give the signed root. A chunk of which all expired has no row any more.
* Whose a car is, is part of what was signed: rows that lie in another tenant's folder are not those of their chunk.
* A file that cannot be read, and a row that lies in another day than its own, are faults.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from carcloud.backends.delta import REPLACING, Table
from carcloud.errors import MissingError
from carcloud.lake.expired import Expired, Gone
from carcloud.lake.receipts import receipts_of
from carcloud.lake.rows import PARTITIONS, SCHEMA, Part
from carcloud.lake.tombstones import Tombstone, read
from carcloud.lake.windows import cells_of_parts, windows
from carcloud.safety.audit.tree import root_of
from carcloud.stream.digest_keys import StoredKeys
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import Car, digest_of, leaf, rows_of, statement

SHOWN_FAULTS = 20
SHOWN_FILES = 8
PATIENCE_S = 10.0
TRIES = 3


@dataclass
class Verdict:
    """What was found: chunks, rows and receipts checked, rows erased and expired; what is wrong, the first of many."""

    chunks: int = 0
    rows: int = 0
    faults: list[str] = field(default_factory=list)
    erased: int = 0
    expired: int = 0
    receipts: dict[int, dict[str, Any]] = field(default_factory=dict, compare=False, repr=False)

    def fault(self, text: str) -> None:
        """Note something wrong."""
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(text)


def verify_lake(
    folder: Path, signed: Verify, erased: Verify, stored: Callable[[], StoredKeys], partition: int = 0
) -> Verdict:
    """Check the whole lake. `signed`, `erased`: whether the signer made a signature on a receipt, on tombstones.

    `stored` returns the keys of digests that the records have, read anew.

    Where rows left while it was read, what was found wrong may be that; then it is read again.

    Raises:
        MissingError: the folder holds no lake.
    """
    if not (folder / "samples").is_dir():
        raise MissingError(f"There is no lake in {folder} yet.", "Send a first batch, or give the zone's folder.")
    table = Table(folder / "samples", SCHEMA, PARTITIONS)
    for _ in range(TRIES):
        before = _leaving(folder, table)
        verdict = _verdict(folder, table, signed, erased, stored(), partition)
        if not verdict.faults or _leaving(folder, table) == before:
            break
    return verdict


def _leaving(folder: Path, table: Table) -> tuple[int, dict[str, int]]:
    """Return what changes whenever rows leave: how often files were replaced, and the files of tombstones."""
    stones = [file for name in ("erased", "expired") for file in (folder / name).glob("*")]
    return table.position(REPLACING), {str(file): file.stat().st_mtime_ns for file in stones if file.exists()}


def _verdict(folder: Path, table: Table, signed: Verify, erased: Verify, keys: StoredKeys, partition: int) -> Verdict:
    verdict, application = Verdict(), f"lake/{partition}"
    position, live = table.position(application), table.live()  # in this order, for a lake that is being written to
    receipts = verdict.receipts = receipts_of(folder, verdict.fault)
    stones = _Stones(read(folder / "erased", erased, verdict.fault), Expired(folder / "expired", erased, verdict.fault))
    checked = set[int]()
    for by_chunk in windows(table, live, lambda part: part, verdict.fault):
        for number, parts in sorted(by_chunk.items()):
            _check(number, parts, receipts.get(number), stones, signed, keys, verdict)
        checked |= by_chunk.keys()
    after = _settled(table, application, max(receipts, default=0))
    behind = {number for number in receipts if number > after}
    for number in sorted((set(range(1, position + 1)) | behind) - checked):
        _check(number, [], receipts.get(number), stones, signed, keys, verdict)
    return verdict


def _settled(table: Table, application: str, newest: int) -> int:
    """Return the table's position once it is at the newest receipt, which is written a moment before its rows."""
    until = time.monotonic() + PATIENCE_S
    while (position := table.position(application)) < newest and time.monotonic() < until:
        time.sleep(0.2)
    return position


@dataclass(frozen=True)
class _Stones:
    """All tombstones: of cars that were erased, chunk → car → tombstone, and of rows that expired."""

    erased: Mapping[int, Mapping[Car, Tombstone]]
    expired: Expired


def _check(
    number: int,
    parts: list[Part],
    receipt: dict[str, Any] | None,
    stones: _Stones,
    signed: Verify,
    keys: StoredKeys,
    verdict: Verdict,
) -> None:
    missing = keys.missing
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
    if whole := stones.expired.whole(number):
        leaves, erased, expired = dict[Car, bytes](), 0, int(fields["kept"])
    else:
        leaves, erased, expired = _leaves(
            cells_of_parts(parts, number, keys), stones.erased.get(number, {}), stones.expired.of(number)
        )
    verdict.erased += erased
    verdict.expired += expired
    if rows + erased + expired != fields["kept"]:
        also = "".join(f" and {gone} {how}" for gone, how in ((erased, "erased"), (expired, "expired")) if gone)
        verdict.fault(f"chunk {number}: {rows} rows{also}, the receipt says {fields['kept']}")
    elif fields["kept"] and not whole and _root(leaves).hex() != fields["root"]:
        no_key = "; the records have no key of some" if keys.missing > missing else ""
        verdict.fault(f"chunk {number}: the rows are not those the governor signed{_where(parts)}{no_key}")


def _leaves(
    there: Mapping[Car, list[bytes]], erased: Mapping[Car, Tombstone], expired: Gone
) -> tuple[dict[Car, bytes], int, int]:
    """Return the leaf of each car by its cells that are there and its tombstones; and the rows erased, and expired."""
    leaves, gone, late = dict[Car, bytes](), 0, 0
    for car in there.keys() | erased.keys() | expired.cars.keys() | expired.cells.keys():
        if car not in there and car in erased:
            leaves[car] = erased[car].leaf
            gone += erased[car].rows
        elif car not in there and car in expired.cars:
            rows, leaves[car] = expired.cars[car]
            late += rows
        else:
            cells = there.get(car, [])
            left = expired.cells.get(car, set()).difference(cells)
            leaves[car] = leaf(car, digest_of([*cells, *left]))
            late += sum(map(rows_of, left))
    return leaves, gone, late


def _root(leaves: Mapping[Car, bytes]) -> bytes:
    return root_of([leaves[car] for car in sorted(leaves)])


def _where(parts: list[Part]) -> str:
    """Return which files the rows are in, the first of many."""
    files = sorted({part.file for part in parts})
    more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
    return f", in {', '.join(files[:SHOWN_FILES])}{more}" if files else ""
