"""Checking the lake against the governor's receipts: every row belongs to a signed chunk, and no row is missing.

Rules:
* Rows are regrouped by chunk, whatever files they are in; their Merkle root must be the one in the chunk's receipt.
* Every chunk up to the table's position has a receipt, empty ones too: a missing one, one whose signature does not
  hold, and one that kept other rows than the lake has, are faults.
* A file that cannot be read, and a row that lies in another day than its own, are faults.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from carcloud.backends.delta import LiveFile, Table
from carcloud.errors import MissingError
from carcloud.lake.rows import DAY_US, PROVENANCES, SCHEMA, Part, joined, part_of_file
from carcloud.lake.writer import DICTIONARIES
from carcloud.stream.chunk import SCHEMA as CHUNK_SCHEMA
from carcloud.stream.genuine import Verify
from carcloud.stream.receipts import root, statement

SHOWN_FAULTS = 20


@dataclass
class Verdict:
    """What was found: chunks and rows checked, and what is wrong, at most the first of many."""

    chunks: int = 0
    rows: int = 0
    faults: list[str] = field(default_factory=list)

    def fault(self, text: str) -> None:
        """Note something wrong."""
        if len(self.faults) < SHOWN_FAULTS:
            self.faults.append(text)


def verify_lake(folder: Path, signed: Verify, partition: int = 0) -> Verdict:
    """Check the whole lake. `signed(statement, signature)` tells whether the governor's key made the signature.

    Raises:
        MissingError: the folder holds no lake.
    """
    if not (folder / "samples").is_dir():
        raise MissingError(f"There is no lake in {folder} yet.", "Send a first batch, or give the zone's folder.")
    verdict = Verdict()
    receipts = _receipts(folder / "receipts", verdict)
    table = Table(folder / "samples", SCHEMA, "day")
    checked = set[int]()
    for by_chunk in _windows(table, verdict):
        for number, parts in sorted(by_chunk.items()):
            _check(number, parts, receipts.get(number), signed, verdict)
        checked |= by_chunk.keys()
    expected = range(1, table.position(f"lake/{partition}") + 1)
    for number in sorted((receipts.keys() | set(expected)) - checked):
        _check(number, [], receipts.get(number), signed, verdict)
    return verdict


def _windows(table: Table, verdict: Verdict) -> Iterator[dict[int, list[Part]]]:
    """Yield the rows by chunk, as soon as no later file has more of a chunk: the lake may be larger than memory."""
    files = sorted((_first_chunk(table, file), file.name, file) for file in table.live())
    open_: dict[int, list[Part]] = {}
    for at, (_, _, file) in enumerate(files):
        if part := _part(table, file, verdict):
            for number in np.unique(part.chunk).tolist():
                open_.setdefault(number, []).append(_rows_of(part, number))
        settled = files[at + 1][0] if at + 1 < len(files) else None
        done = {number: parts for number, parts in open_.items() if settled is None or number < settled}
        open_ = {number: parts for number, parts in open_.items() if number not in done}
        yield done


def _first_chunk(table: Table, file: LiveFile) -> int:
    try:
        return int(table.lowest(file, "chunk"))
    except (OSError, pa.ArrowException, AttributeError, TypeError, ValueError):
        return 0  # what is wrong with it is said when its rows are read


def _part(table: Table, file: LiveFile, verdict: Verdict) -> Part | None:
    try:
        part = part_of_file(table.read(file, DICTIONARIES))
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        verdict.fault(f"{file.name}: cannot be read as the lake's rows, {type(error).__name__}")
        return None
    if (part.time_us // DAY_US != np.datetime64(file.partition, "D").astype(np.int64)).any():
        verdict.fault(f"{file.name}: holds rows of other days")
    return part


def _check(number: int, parts: list[Part], receipt: dict[str, Any] | None, signed: Verify, verdict: Verdict) -> None:
    rows = sum(len(part.value) for part in parts)
    verdict.chunks += 1
    verdict.rows += rows
    if receipt is None:
        verdict.fault(f"chunk {number}: {rows} rows and no receipt")
        return
    fields = receipt["statement"]
    if not signed(statement(fields), bytes.fromhex(receipt["signature"])):
        verdict.fault(f"chunk {number}: the receipt's signature does not hold")
    elif rows != fields["kept"]:
        verdict.fault(f"chunk {number}: {rows} rows, the receipt says {fields['kept']}")
    elif rows and root(_as_chunk(joined(parts))).hex() != fields["root"]:
        verdict.fault(f"chunk {number}: the rows are not those the governor signed")


def _receipts(folder: Path, verdict: Verdict) -> dict[int, dict[str, Any]]:
    return {
        receipt["statement"]["chunk"]: receipt
        for file in sorted(folder.glob("*.jsonl"))
        for receipt in _lines(file, verdict)
    }


def _lines(file: Path, verdict: Verdict) -> Iterator[dict[str, Any]]:
    """Yield a file's receipts; the line a crash cut short is passed over, since it was written again."""
    for line in file.read_bytes().splitlines():
        try:
            receipt = orjson.loads(line)
        except orjson.JSONDecodeError:
            continue
        if _is_receipt(receipt):
            yield receipt
        else:
            verdict.fault(f"{file.name}: holds a line that is no receipt")


def _is_receipt(value: object) -> bool:
    try:
        return isinstance(value["statement"]["chunk"], int) and len(bytes.fromhex(value["signature"])) > 0  # type: ignore[index]
    except (KeyError, TypeError, ValueError):
        return False


def _rows_of(part: Part, number: int) -> Part:
    at = np.flatnonzero(part.chunk == number)
    columns = (part.vehicle[at], part.signal[at], part.time_us[at], part.value[at], part.provenance[at], part.chunk[at])
    text = None if part.text is None else part.text.take(pa.array(at))
    return Part(part.vehicles, part.signals, *columns, text)


def _as_chunk(rows: pa.Table) -> pa.RecordBatch:
    batch = rows.drop_columns(["chunk"]).combine_chunks().to_batches()[0]
    codes = batch["provenance"].indices.cast(pa.uint8())
    assert batch["provenance"].dictionary.to_pylist() == PROVENANCES
    columns = [batch[name] for name in CHUNK_SCHEMA.names if name != "provenance"]
    return pa.RecordBatch.from_arrays([*columns, codes], schema=CHUNK_SCHEMA)
