"""Reading the whole lake chunk by chunk, however its rows lie in files: it may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from carcloud.backends.delta import LiveFile, Table
from carcloud.lake.rows import DAY_US, PROVENANCES, Part, joined, part_of_file
from carcloud.stream.chunk import SCHEMA as CHUNK_SCHEMA
from carcloud.stream.receipts import Car, Keys, car_cells

DICTIONARIES = ["vehicle", "signal", "provenance"]
Fault = Callable[[str], None]


def windows(
    table: Table, live: Sequence[LiveFile], chosen: Callable[[Part], Part | None], fault: Fault
) -> Iterator[dict[int, list[Part]]]:
    """Yield the rows of these files by chunk, as soon as no later file has more of a chunk.

    Args:
        table: the lake's table.
        live: files of it.
        chosen: which rows of a file are wanted, None for none.
        fault: is told of a file that cannot be read, or holds rows of another day; the rows are left out then.
    """
    files = sorted((_first_chunk(table, file), file.name, file) for file in live)
    open_: dict[int, list[Part]] = {}
    for at, (_, _, file) in enumerate(files):
        whole = _part(table, file, fault)
        if whole is not None and (part := chosen(whole)) is not None:
            for number in np.unique(part.chunk).tolist():
                open_.setdefault(number, []).append(part.taken(np.flatnonzero(part.chunk == number)))
        settled = files[at + 1][0] if at + 1 < len(files) else None
        done = {number: parts for number, parts in open_.items() if settled is None or number < settled}
        open_ = {number: parts for number, parts in open_.items() if number not in done}
        yield done


def cells_of_parts(parts: Iterable[Part], number: int, keys: Keys) -> dict[Car, list[bytes]]:
    """Return the cells of each car of one chunk; whose it is, is said by the files its rows are in."""
    by_tenant: dict[str, list[Part]] = {}
    for part in parts:
        by_tenant.setdefault(part.tenant, []).append(part)
    found: dict[Car, list[bytes]] = {}
    for tenant, mine in by_tenant.items():
        rows = as_chunk(joined(mine))
        whose = dict.fromkeys(rows["vehicle"].dictionary.to_pylist(), tenant)
        found |= {(tenant, car): cells for car, cells in car_cells(rows, whose, number, keys).items()}
    return found


def as_chunk(rows: pa.Table) -> pa.RecordBatch:
    """Return joined rows in the schema of a chunk."""
    batch = rows.drop_columns(["chunk"]).combine_chunks().to_batches()[0]
    codes = batch["provenance"].indices.cast(pa.uint8())
    assert batch["provenance"].dictionary.to_pylist() == PROVENANCES
    columns = [batch[name] for name in CHUNK_SCHEMA.names if name != "provenance"]
    return pa.RecordBatch.from_arrays([*columns, codes], schema=CHUNK_SCHEMA)


def _first_chunk(table: Table, file: LiveFile) -> int:
    try:
        return int(table.edges(file, "chunk")[0])
    except (OSError, pa.ArrowException, AttributeError, TypeError, ValueError):
        return 0  # what is wrong with it is said when its rows are read


def _part(table: Table, file: LiveFile, fault: Fault) -> Part | None:
    try:
        part = replace(part_of_file(table.read(file, DICTIONARIES)), tenant=file.partition[0], file=file.name)
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        fault(f"{file.name}: cannot be read as the lake's rows, {type(error).__name__}")
        return None
    if (part.time_us // DAY_US != np.datetime64(file.partition[-1], "D").astype(np.int64)).any():
        fault(f"{file.name}: holds rows of other days")
    return part
