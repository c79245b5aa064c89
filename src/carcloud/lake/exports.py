"""Erasing cars from files that were exported: rows that say a car's name leave them.

Rules:
* Only a file that is still where it was written, and as it was written, is touched: its SHA-256 tells.
* A row leaves that has the car's id, or a pseudonym of it, anywhere in a text of it. All others stay as they are.
* What is not reached is said, with the reason: `gone`, `changed`, `cannot be read`, or `names no car`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from carcloud.backends.files import flush
from carcloud.backends.records import Records
from carcloud.backends.records.export_files import ExportFile

BATCH_ROWS = 65_536

WRITERS: Mapping[str, Callable[[Any, pa.Schema], Any]] = {
    "parquet": lambda sink, schema: pq.ParquetWriter(sink, schema, compression="zstd"),
    "csv": lambda sink, schema: pyarrow.csv.CSVWriter(sink, schema),
    "arrow": lambda sink, schema: pa.ipc.new_file(sink, schema),
}
"""How each format of an export is written."""


def erase_exports(
    records: Records, erasure: str, tenant: str, names: Collection[str], only: str | None = None
) -> dict[str, int]:
    """Remove a car's rows from a tenant's exported files; return how many files and rows, and how many not reached.

    Args:
        records: where the register is.
        erasure: whose misses are kept.
        tenant: the car's.
        names: the car's id and its pseudonyms.
        only: the path of the one file to look at; None: all.
    """
    files = rows = 0
    missed = records.export_files.missed(erasure) if only else {}
    for file in records.export_files.all(tenant):
        if only is not None and file.path != only:
            continue
        why, removed = _erase(records, file, names)
        rows += removed
        files += removed > 0
        if why:
            missed[file.path] = why
    records.export_files.miss(erasure, missed)
    return {"files": files, "rows": rows, "not_reached": len(missed)}


def erase_meanwhile(records: Records, began: datetime, path: str) -> None:
    """Remove from a file the rows of cars that were erased while it was written."""
    for erasure in records.erasures.all():
        if erasure.done_at is None or erasure.done_at >= began:
            names = (erasure.vehicle, *erasure.names)
            erase_exports(records, erasure.id, erasure.tenant, names, only=path)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _erase(records: Records, file: ExportFile, names: Collection[str]) -> tuple[str, int]:
    """Remove a car's rows from one file; return why it was not reached, if so, and how many rows left."""
    path = Path(file.path)
    try:
        if path.is_symlink() or not path.is_file():
            return "gone", 0
        if sha256_of(path) != file.sha256:
            return "changed", 0
        removed = _rewritten(path, file.format, [name.encode() for name in names])
        if removed:
            records.export_files.change(file.id, sha256_of(path), file.rows - removed)
    except (OSError, pa.ArrowException):
        return "cannot be read", 0
    return ("" if file.names_cars else "names no car"), removed


def _rewritten(path: Path, format: str, names: Collection[bytes]) -> int:  # noqa: A002
    """Write a file anew without the rows that have one of these names; return how many there were, 0: it stays."""
    draft = path.with_name(f"{path.name}.erasing")
    draft.unlink(missing_ok=True)
    try:
        with path.open("rb") as source, _like(path, draft) as sink:
            if format == "csv":
                removed = _csv_without(source, sink, names)
            else:
                batches, schema = _batches(source, format)
                with WRITERS[format](sink, schema) as writer:
                    removed = _without(batches, writer, names)
            sink.flush()
            os.fsync(sink.fileno())
        if removed:
            draft.replace(path)
            flush(path.parent)
    finally:
        draft.unlink(missing_ok=True)
    return removed


def _like(path: Path, draft: Path) -> BinaryIO:
    """Open a new file for writing that whoever may read the other may read, and nobody else."""
    mode = path.stat().st_mode & 0o777
    return os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb")


def _batches(source: BinaryIO, format: str) -> tuple[Iterator[pa.RecordBatch], pa.Schema]:  # noqa: A002
    if format == "parquet":
        file = pq.ParquetFile(source)
        return file.iter_batches(BATCH_ROWS), file.schema_arrow
    reader = pa.ipc.open_file(source)
    return (reader.get_batch(at) for at in range(reader.num_record_batches)), reader.schema


def _without(batches: Iterable[pa.RecordBatch], writer: Any, names: Collection[bytes]) -> int:
    removed = 0
    for batch in batches:
        mine = _rows_with(batch, names)
        removed += pc.sum(mine).as_py() or 0
        writer.write_batch(batch.filter(pc.invert(mine)))
    return removed


def _rows_with(batch: pa.RecordBatch, names: Collection[bytes]) -> pa.BooleanArray:
    """Return which rows have one of the names in a text, also within lists and structures."""
    found = pa.array([False] * batch.num_rows, pa.bool_())
    for column in batch.columns:
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_string(column.type):
            for name in names:
                found = pc.or_(found, pc.fill_null(pc.match_substring(column, name.decode()), False))
        elif not pa.types.is_primitive(column.type):
            said = (repr(value).encode() for value in column.to_pylist())
            found = pc.or_(found, pa.array([any(name in text for name in names) for text in said], pa.bool_()))
    return found


def _csv_without(source: BinaryIO, sink: BinaryIO, names: Collection[bytes]) -> int:
    """Copy records of CSV as they are, the first, which names the columns, in any case."""
    removed = 0
    for number, record in enumerate(_csv_records(source)):
        if number and any(name in record for name in names):
            removed += 1
        else:
            sink.write(record)
    return removed


def _csv_records(source: BinaryIO) -> Iterator[bytes]:
    """Yield records: lines, joined while a quote is open."""
    record, quotes = b"", 0
    for line in source:
        record += line
        quotes += line.count(b'"')
        if quotes % 2 == 0:
            yield record
            record, quotes = b"", 0
    if record:
        yield record
