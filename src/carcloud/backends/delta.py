"""Tables: Delta Lake on local files. Chosen, so there is no port around it.

Rules:
* A file is flushed before it is committed, and the commit is flushed before anyone is told of it.
* The position of whoever writes stands in the same commit as the rows (`txn` action): exactly once rests on it.
* A writer that does not know the newest position of its application is refused: ConflictError.
* Files that were replaced stay until no query can still be reading them.

Source: Delta Lake protocol, "Transaction Identifiers" and "Add File"; deltalake 1.6.
"""

from __future__ import annotations

import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from carcloud.backends.files import flush
from carcloud.errors import ConflictError, MissingError, TryLaterError

__all__ = ["AddAction", "LiveFile", "Reader", "Table", "Totals", "write_parquet"]

ROW_GROUP = 1 << 17
DRAFT = ".new"
KEEP_OLD_FILES_H = 1
REPLACING = "replacing"  # the application of all who replace files, so that two never do at once

_trial = zstandard.ZstdCompressor(level=1)


@dataclass(frozen=True)
class Totals:
    """How much a table holds now."""

    version: int
    files: int
    rows: int
    bytes: int


@dataclass(frozen=True)
class LiveFile:
    """One file of a table: its name below the table's folder, the values it is filed under, how many rows and bytes."""

    name: str
    partition: tuple[str, ...]
    rows: int
    bytes: int


class Table:
    """One Delta table on a local path, partitioned by text columns, written by one process."""

    def __init__(self, path: Path, schema: pa.Schema, partitions: Sequence[str]) -> None:
        self.path, self._schema, self._partitions = path, schema, list(partitions)
        try:
            self._table = DeltaTable(str(path))
        except TableNotFoundError:
            self._table = _create(path, schema, self._partitions)

    def position(self, application: str) -> int:
        """Return the position the application's newest commit stands at; 0 before the first."""
        self._table.update_incremental()
        return self._table.transaction_version(application) or 0

    def write(self, values: Sequence[str], rows: pa.Table, name: str) -> AddAction:
        """Write and flush one file under these values; it is no part of the table until committed."""
        filed = self._filed(values)
        folder = self.path.joinpath(*(f"{column}={value}" for column, value in filed.items()))
        file = folder / f"{name}-{uuid.uuid4().hex[:12]}.parquet"
        draft = file.with_name(f"{file.name}{DRAFT}")  # so that a file of its name is whole
        try:
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True)
                for above in folder.parents[: len(filed)]:
                    flush(above)
            with draft.open("wb") as sink:
                write_parquet(rows, sink)
                sink.flush()
                os.fsync(sink.fileno())
            draft.rename(file)
            flush(folder)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise TryLaterError(f"The lake cannot write: {error.strerror}.", "Make room on its disk.") from error
        size, now_ms = file.stat().st_size, int(time.time() * 1000)
        return AddAction(str(file.relative_to(self.path)), size, filed, now_ms, True, _statistics(rows))

    def commit(self, files: list[AddAction], application: str, position: int, metadata: dict[str, str]) -> None:
        """Add the files and move the application to `position` in one flushed step.

        Raises:
            ConflictError: another writer of this application was here; read `position` again.
            TryLaterError: not known to be committed; read `position` again.
        """
        if position <= (self._table.transaction_version(application) or 0):
            raise ConflictError(f"{application} has committed {position} already.", "Read its position again.")
        moved = CommitProperties(app_transactions=[Transaction(application, position)], custom_metadata=metadata)
        self._commit([*files], moved)

    def _commit(self, actions: list[AddAction | RemoveAction], properties: CommitProperties) -> None:
        hooks = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)
        before = self._table.version()
        with _written(self.path):
            self._table.create_write_transaction(
                actions,
                "append",
                self._table.schema(),
                self._partitions,
                commit_properties=properties,
                post_commithook_properties=hooks,
            )
            self._table.update_incremental()
            self._flush_log(before + 1)

    def checkpoint(self) -> None:
        """Write a checkpoint of the log, so that opening the table stays quick."""
        with _written(self.path):
            self._table.create_checkpoint()

    def replace(self, old: list[LiveFile], new: list[AddAction]) -> None:
        """Put rewritten files in the place of others in one flushed step; the rows are the same.

        Raises:
            ConflictError: one of the old files left the table meanwhile.
        """
        if not set(old) <= set(self.live()):
            raise ConflictError(f"A file to be replaced left the table {self.path.name}.")
        kept = [replace(action, data_change=False) for action in new]
        turn = Transaction(REPLACING, (self._table.transaction_version(REPLACING) or 0) + 1)
        self._commit([*self._gone(old, False), *kept], CommitProperties(max_commit_retries=20, app_transactions=[turn]))

    def exchange(self, old: list[LiveFile], new: list[AddAction], moves: Mapping[str, int]) -> None:
        """Take files out, put others in and move each application to its position, in one flushed step.

        Raises:
            ConflictError: an application has committed its position already.
            TryLaterError: not known to be committed; read `position` again.
        """
        for application, position in moves.items():
            if position <= self.position(application):
                raise ConflictError(f"{application} has committed {position} already.", "Read its position again.")
        turns = [Transaction(*move) for move in moves.items()]
        self._commit([*self._gone(old, True), *new], CommitProperties(max_commit_retries=20, app_transactions=turns))

    def _gone(self, files: list[LiveFile], data_change: bool) -> list[RemoveAction]:
        now_ms = int(time.time() * 1000)
        return [RemoveAction(file.name, data_change, now_ms, file.bytes, self._filed(file.partition)) for file in files]

    def sweep(self) -> None:
        """Delete files that left the table long enough ago that no query still reads them."""
        with _written(self.path):
            table = DeltaTable(str(self.path))
            table.vacuum(KEEP_OLD_FILES_H, dry_run=False, enforce_retention_duration=False, full=True)
            table.cleanup_metadata()

    def live(self) -> list[LiveFile]:
        """Return the files of the table as it stands, in the order of their names."""
        self._table.update_incremental()
        actions = pa.table(self._table.get_add_actions(flatten=True))
        values = [actions[f"partition.{column}"].to_pylist() for column in self._partitions]
        filed = zip(*values, strict=True)
        paths, rows, sizes = (actions[name].to_pylist() for name in ("path", "num_records", "size_bytes"))
        files = (LiveFile(*about) for about in zip(paths, filed, rows, sizes, strict=True))
        return sorted(files, key=lambda file: file.name)

    def read(self, file: LiveFile, dictionaries: list[str], columns: list[str] | None = None) -> pa.Table:
        """Read one file, all columns or some, the named ones as dictionaries."""
        return pq.ParquetFile(self.path / file.name, read_dictionary=dictionaries).read(columns)

    def distinct(self, file: LiveFile, column: str) -> set[str]:
        """Return the texts that a file has in a column."""
        return set(pc.unique(self.read(file, [column], [column])[column].cast(pa.string())).to_pylist())

    def holds(self, name: str, column: str, value: str) -> bool:
        """Tell whether a file, in the table or left over on the disk, has a row with this text in a column."""
        file = pq.ParquetFile(self.path / name, read_dictionary=[column])
        at = file.metadata.schema.names.index(column)
        for group in range(file.num_row_groups):
            edges = file.metadata.row_group(group).column(at).statistics
            if edges is not None and edges.has_min_max and not edges.min <= value <= edges.max:
                continue
            if pc.any(pc.equal(file.read_row_group(group, [column])[column].cast(pa.string()), value)).as_py():
                return True
        return False

    def tidy(self) -> None:
        """Delete what a crash left half written. For the table's one writer, before it writes."""
        for draft in self.path.glob(f"{self._folders()}/*{DRAFT}"):
            draft.unlink()

    def on_disk(self) -> set[str]:
        """Return the names of all files below the table's folder, those included that are no part of it any more."""
        return {str(file.relative_to(self.path)) for file in self.path.glob(f"{self._folders()}/*.parquet")}

    def filed_in(self, values: Sequence[str]) -> list[str]:
        """Return the names of all files in the folder of these values, drafts and those of old versions too."""
        folder = self.path.joinpath(*(f"{column}={value}" for column, value in self._filed(values).items()))
        return [str(file.relative_to(self.path)) for file in sorted(folder.glob("*"))]

    @property
    def version(self) -> int:
        """Return the newest version that is known here."""
        return self._table.version()

    def delete(self, names: list[str]) -> None:
        """Delete files that left the table; whoever still reads them must be given time before."""
        live = {file.name for file in self.live()}
        for name in names:
            if name not in live:
                (self.path / name).unlink(missing_ok=True)
        for folder in {(self.path / name).parent for name in names}:
            flush(folder)

    def edges(self, file: LiveFile, column: str) -> tuple[Any, Any]:
        """Return the lowest and the highest value of a column by the file's own statistics."""
        footer = pq.read_metadata(self.path / file.name)
        at = footer.schema.names.index(column)
        groups = [footer.row_group(group).column(at).statistics for group in range(footer.num_row_groups)]
        return min(group.min for group in groups), max(group.max for group in groups)

    def totals(self) -> Totals:
        """Return what the table holds now."""
        files = self.live()
        rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
        return Totals(self._table.version(), len(files), rows, size)

    def _filed(self, values: Sequence[str]) -> dict[str, str | None]:
        return dict(zip(self._partitions, values, strict=True))

    def _folders(self) -> str:
        return "/".join(f"{column}=*" for column in self._partitions)

    def _flush_log(self, first: int) -> None:
        folder = self.path / "_delta_log"
        for version in range(first, self._table.version() + 1):
            flush(folder / f"{version:020}.json")
        flush(folder)


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Turn the vendor's errors into ours."""
    try:
        yield
    except CommitFailedError as error:
        raise ConflictError(f"The table {path.name} moved under its writer: {error}") from error
    except (DeltaError, OSError) as error:
        raise TryLaterError(f"The table {path.name} cannot be written: {error}.", "Make room on its disk.") from error


class Reader:
    """The live files of one part of a table, for whoever queries it; follows new versions.

    Args:
        path: the table's folder.
        part: the column and the value by which the wanted files are filed.
    """

    def __init__(self, path: Path, part: tuple[str, str]) -> None:
        self._path, self._part = path, part
        self._table: DeltaTable | None = None
        self._known: tuple[int, list[str]] = (-1, [])

    def live(self) -> tuple[int, list[str]]:
        """Return (version, absolute paths of the files); raise MissingError before the table exists."""
        try:
            if self._table is None:
                self._table = DeltaTable(str(self._path))
            else:
                self._table.update_incremental()
        except (TableNotFoundError, FileNotFoundError) as error:
            raise MissingError("The lake has no table yet.", "Send a first batch.") from error
        if self._known[0] != self._table.version():
            column, value = self._part
            actions = pa.table(self._table.get_add_actions(flatten=True))
            mine = actions["path"].filter(pc.equal(actions[f"partition.{column}"].cast(pa.string()), value))
            self._known = self._table.version(), [str(self._path / name) for name in mine.to_pylist()]
        return self._known


def write_parquet(rows: pa.Table, sink: IO[bytes]) -> None:
    """Write sorted rows as the lake's Parquet.

    Times as packed deltas, numbers split by byte where a trial says that is smaller: together a third less than the
    defaults on recorded drives. A page is a row group: a reader skips whole groups by the statistics anyway.
    """
    encoding = {name: "DELTA_BINARY_PACKED" for name in rows.schema.names if pa.types.is_timestamp(rows[name].type)}
    plain = [name for name in rows.schema.names if pa.types.is_floating(rows[name].type)]
    encoding |= {name: "BYTE_STREAM_SPLIT" for name in plain if _splits_well(rows[name])}
    pq.write_table(
        rows,
        sink,
        row_group_size=ROW_GROUP,
        max_rows_per_page=ROW_GROUP,
        data_page_size=64 << 20,
        compression="zstd",
        compression_level=3,
        use_dictionary=[name for name in rows.schema.names if name not in encoding and name not in plain],
        column_encoding=encoding,
        write_statistics=[name for name in rows.schema.names if name not in plain],
        store_schema=False,
    )


def _splits_well(column: pa.ChunkedArray) -> bool:
    """Tell by a trial on up to 65,536 values whether numbers compress better with their bytes apart."""
    values = column.drop_null().to_numpy()
    step = max(len(values) // 16, 1)
    tried = np.concatenate([values[at * step : at * step + 4096] for at in range(16)])
    apart = np.ascontiguousarray(tried.view(np.uint8).reshape(-1, tried.itemsize).T)
    return len(_trial.compress(apart.data)) < len(_trial.compress(tried.data))


def _create(path: Path, schema: pa.Schema, partitions: list[str]) -> DeltaTable:
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"delta.checkpointInterval": "1000000", "delta.logRetentionDuration": "interval 1 days"}
    return DeltaTable.create(str(path), schema=schema, partition_by=partitions, configuration=settings)


def _statistics(rows: pa.Table) -> str:
    """Return what the log says of a file: how many rows, and how many of a column are null.

    No lowest and highest values: the log outlives the rows, and would name cars and say their moments. A reader finds
    these in the file's footer. And none of a few columns only: deltalake 1.6 takes the others' for null, and leaves
    all rows out.
    """
    nulls = {name: rows[name].null_count for name in rows.schema.names}
    return json.dumps({"numRecords": rows.num_rows, "nullCount": nulls})
