"""Exported files: written so that erasures know of them from before their first byte, and erased from.

Rules:
* Only a file that is still where it was written, and as it was written, is touched: its SHA-256 tells.
* A row leaves that has the car's id, a pseudonym of it, or the id of one of its recordings anywhere in a text of it.
  All others stay as they are.
* What is not reached is said, with the reason: `gone`, `changed`, `cannot be read`, `a column is named after it`, or
  `cannot tell`: a row names no car of the tenant, as totals and hashes do not, so it may be about any.
* No file stands in the way of the others, or of the erasure.
* A file that is not finished has nobody yet: it is deleted, and whoever writes it hears of that at its end.
* A file of one drive, such as a scenario, has no rows: it is deleted whole where it names the car.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from carcloud.backends.files import flush
from carcloud.backends.records import Records
from carcloud.backends.records.export_files import ExportFile
from carcloud.errors import ConflictError, TryLaterError
from carcloud.lake.named import holds_any, is_any, rows_that
from carcloud.safety.keys import PRIVATE_FILE
from carcloud.vehicle.pseudonym import is_pseudonym

log = logging.getLogger(__name__)

BATCH_ROWS = 65_536
NAMED_COLUMN, CANNOT_TELL = "a column is named after it", "cannot tell"

WRITERS: Mapping[str, Callable[[Any, pa.Schema], Any]] = {
    "parquet": lambda sink, schema: pq.ParquetWriter(sink, schema, compression="zstd"),
    "csv": lambda sink, schema: pyarrow.csv.CSVWriter(sink, schema),
    "arrow": lambda sink, schema: pa.ipc.new_file(sink, schema),
}
"""How each format of an export is written."""
WHOLE = ("openscenario", "osi_mcap")
"""Formats of files that are each about one drive; who drove it stands in them as plain text."""


@dataclass
class Draft:
    """A file that is being written: where its bytes go, and how many rows they are so far."""

    sink: BinaryIO
    rows: int = 0


@contextmanager
def exporting(records: Records, tenant: str, actor: str, path: Path, format: str) -> Iterator[Draft]:  # noqa: A002
    """Give a draft to write rows to, read of the lake within; then put it at `path`, for its owner's eyes alone.

    Raises:
        TryLaterError: a car was erased meanwhile, or another export writes to the same path.
    """
    began, path = datetime.now(UTC), path.absolute()
    part = path.with_name(f"{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE), "wb") as sink:
        file = records.export_files.add(ExportFile(began, tenant, actor, str(part), format, "", 0))
        draft, finished = Draft(sink), False
        try:
            yield draft
            sink.flush()
            os.fsync(sink.fileno())
            sha256 = sha256_of(part) if part.exists() else ""
            finished = bool(sha256) and records.export_files.finish(file.id, str(path), sha256, draft.rows)
            if not finished:
                raise TryLaterError(f"{path.name} was deleted: a car was erased meanwhile.", "Export it again.")
            part.replace(path)
            flush(path.parent)
        except BaseException:
            if records.export_files.forget(file.id, str(part)):
                part.unlink(missing_ok=True)
            elif finished:
                part.unlink(missing_ok=True)
                if not path.is_file():
                    records.export_files.forget(file.id, str(path))
            raise
    records.export_files.settle(file.id)
    erase_meanwhile(records, began, str(path))


def erase_meanwhile(records: Records, began: datetime, path: str) -> None:
    """Remove from a file the rows of cars that were erased while it was written."""
    for erasure in records.erasures.all():
        if erasure.done_at is None or erasure.done_at >= began:
            names = (erasure.vehicle, *erasure.names, *erasure.recordings)
            erase_exports(records, erasure.id, erasure.tenant, names, only=path)


def erase_exports(
    records: Records, erasure: str, tenant: str, names: Collection[str], only: str | None = None
) -> dict[str, int]:
    """Remove a car's rows from a tenant's exported files; return how many files and rows, and what else was found.

    `without` counts files each of whose rows names a car, and none this one; `unfinished` those that were deleted.

    Args:
        records: where the register is.
        erasure: whose misses are kept.
        tenant: the car's.
        names: the car's id, its pseudonyms, and the ids of its recordings.
        only: the path of the one file to look at; None: all.
    """
    facts = dict.fromkeys(("files", "rows", "without", "unfinished"), 0)
    missed, cars = records.export_files.missed(erasure) if only else {}, records.export_files.cars(tenant)
    for file in records.export_files.all(tenant):
        if only is not None and file.path != only:
            continue
        why, removed = _erase(records, file, _Wanted(frozenset(names), cars))
        missed.pop(file.path, None)
        facts["rows"] += removed
        facts["files"] += removed > 0
        facts["without"] += not why and not removed and bool(file.sha256)
        facts["unfinished"] += not why and not file.sha256
        if why:
            missed[file.path] = why
    records.export_files.miss(erasure, missed)
    return facts | {"not_reached": len(missed)}


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


@dataclass(frozen=True)
class _Wanted:
    """The names of the car to be erased, and the ids of the cars that the tenant has beside it."""

    names: frozenset[str]
    cars: frozenset[str]


@dataclass
class _Found:
    """What was found in a file: rows removed, rows kept, rows among these that name no car, and a column that does."""

    removed: int = 0
    kept: int = 0
    nameless: int = 0
    in_columns: bool = False

    def why(self) -> str:
        """Return why the file is not reached, as a whole; "" where it is."""
        return NAMED_COLUMN if self.in_columns else CANNOT_TELL if self.nameless else ""


def _erase(records: Records, file: ExportFile, wanted: _Wanted) -> tuple[str, int]:
    """Remove a car's rows from one file; return why it was not reached, if so, and how many rows left."""
    path = Path(file.path)
    try:
        if not file.sha256:
            path.unlink(missing_ok=True)
            records.export_files.forget(file.id, file.path)
            return "", 0
        _tidy(path, file)
        if path.is_symlink() or not path.is_file():
            return "gone", 0
        if sha256_of(path) not in file.hashes:
            return "changed", 0
        if file.format in WHOLE:
            return "", _deleted(records, file, wanted)
        found = _rewritten(records, file, wanted)
    except (ConflictError, TryLaterError):
        raise  # the register is away: the erasure waits for it
    except Exception as error:  # noqa: BLE001 - what anyone may have put into a file must not stop the lake
        log.warning("an exported file cannot be erased from", extra={"reason": type(error).__name__})
        return "cannot be read", 0
    return found.why(), found.removed


def _deleted(records: Records, file: ExportFile, wanted: _Wanted) -> int:
    """Delete a file that is about one drive where it names the car; return how many rows, at least 1, that was."""
    path = Path(file.path)
    content = path.read_bytes()
    if not any(name.encode() in content for name in wanted.names):
        return 0
    path.unlink()
    flush(path.parent)
    records.export_files.forget(file.id, file.path)
    return max(file.rows, 1)


def _tidy(path: Path, file: ExportFile) -> None:
    """Delete what a crash left beside a file: a rewritten one, or a finished one that had not taken its place yet."""
    path.with_name(f"{path.name}.erasing").unlink(missing_ok=True)
    part = path.with_name(f"{path.name}.part")
    if part.is_file() and not part.is_symlink() and sha256_of(part) in file.hashes:
        part.unlink()


def _rewritten(records: Records, file: ExportFile, wanted: _Wanted) -> _Found:
    """Write a file anew without the rows that have one of the names; where there are none it stays as it is."""
    path, register = Path(file.path), records.export_files
    draft = path.with_name(f"{path.name}.erasing")
    try:
        with path.open("rb") as source, _like(path, draft) as sink:
            if file.format == "csv":
                found = _csv_without(source, sink, wanted)
            else:
                batches, schema = _batches(source, file.format)
                schema = _plain(schema)
                with WRITERS[file.format](sink, schema) as writer:
                    found = _without((batch.cast(schema) for batch in batches), writer, wanted)
                found.in_columns = any(name in schema.to_string(truncate_metadata=False) for name in wanted.names)
            sink.flush()
            os.fsync(sink.fileno())
        if found.removed:
            register.allow(file.id, sha256_of(draft))  # either is the file now, whichever a crash leaves
            draft.replace(path)
            flush(path.parent)
        if found.removed or file.also:
            register.change(file.id, sha256_of(path), found.kept)
    finally:
        draft.unlink(missing_ok=True)
    return found


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


def _plain(schema: pa.Schema) -> pa.Schema:
    """Return a schema with texts for dictionaries of texts, since these keep what no row has any more.

    Raises:
        pa.ArrowInvalid: one lies deeper.
    """
    for at, field in enumerate(schema):
        if pa.types.is_dictionary(field.type):
            schema = schema.set(at, field.with_type(field.type.value_type))
        elif "dictionary<" in f"{field.type}":
            raise pa.ArrowInvalid("a dictionary within another type")
    return schema


def _without(batches: Iterable[pa.RecordBatch], writer: Any, wanted: _Wanted) -> _Found:
    found, mine, known = _Found(), holds_any(wanted.names), is_any(wanted.cars)
    for batch in batches:
        going = rows_that(batch, mine)
        staying = batch.filter(pc.invert(going))
        found.removed += batch.num_rows - staying.num_rows
        found.kept += staying.num_rows
        found.nameless += staying.num_rows - (pc.sum(rows_that(staying, known)).as_py() or 0)
        writer.write_batch(staying)
    return found


def _csv_without(source: BinaryIO, sink: BinaryIO, wanted: _Wanted) -> _Found:
    """Copy records of CSV as they are, the first, which names the columns, in any case."""
    found, names = _Found(), [name.encode() for name in wanted.names]
    for number, record in enumerate(_csv_records(source)):
        mine = any(name in record for name in names)
        if number and mine:
            found.removed += 1
            continue
        sink.write(record)
        if number:
            found.kept += 1
            texts = (text.decode(errors="replace") for text in re.split(rb'[",\r\n]+', record))
            found.nameless += not any(text in wanted.cars or is_pseudonym(text) for text in texts)
        else:
            found.in_columns = mine
    return found


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
