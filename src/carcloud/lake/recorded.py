"""The tables that recordings brought in, as they lie in the lake: which files of them a tenant's query reads.

Rules:
* They lie in the folder `research` of the lake, each filed under tenant and recording.
* A recording is there when it is in `scenarios`, which is written last and left first: a query sees all of a recording
  or nothing.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath

import pyarrow as pa

from carcloud.backends.delta import Reader
from carcloud.backends.files import make_folder
from carcloud.errors import MissingError

FOLDER = "research"
DECIDES = "scenarios"
LOCK = "lock"


def folder_of(lake: Path, table: str) -> Path:
    """Return where a table of recordings lies."""
    return lake / FOLDER / table


@contextmanager
def alone(lake: Path) -> Iterator[None]:
    """Have the tables to oneself among all threads and processes that change them."""
    make_folder(lake / FOLDER)
    handle = os.open(lake / FOLDER / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def packed(schemas: Mapping[str, pa.Schema]) -> str:
    """Return schemas as text, for a process of its own; `unpacked` takes it."""
    return json.dumps({name: base64.b64encode(schema.serialize()).decode() for name, schema in schemas.items()})


def unpacked(text: str) -> dict[str, pa.Schema]:
    """Return what `packed` made text of."""
    return {name: pa.ipc.read_schema(pa.py_buffer(base64.b64decode(one))) for name, one in json.loads(text).items()}


def view(columns: Sequence[str], files: Sequence[str]) -> str:
    """Return the SQL of a table's rows, read from at least one of its files."""
    listed = ", ".join(_quoted(file) for file in files)
    named = ", ".join(f'"{column}"' for column in columns)
    filed = "hive_partitioning = true, hive_types = {'tenant': VARCHAR, 'recording': VARCHAR}"
    return f"SELECT {named} FROM read_parquet([{listed}], {filed})"  # noqa: S608 quoted above


class Recorded:
    """The live files of one tenant's recordings; follows new versions.

    Args:
        lake: the lake's folder.
    """

    def __init__(self, lake: Path, tenant: str) -> None:
        self._lake, self._tenant = lake, tenant
        self._readers: dict[str, Reader] = {}

    def files(self, table: str) -> list[str]:
        """Return the absolute paths of a table's files; none before the table exists."""
        decides = self._live(DECIDES)
        if table == DECIDES:
            return decides
        there = {_recording(file) for file in decides}
        return [file for file in self._live(table) if _recording(file) in there]

    def _live(self, table: str) -> list[str]:
        folder = folder_of(self._lake, table).absolute()
        reader = self._readers.setdefault(table, Reader(folder, ("tenant", self._tenant)))
        try:
            return sorted(reader.live()[1])
        except MissingError:
            return []


class Shown:
    """The tables of one tenant's recordings, as SQL shows them to who reaches all of the tenant's cars.

    Args:
        lake: the lake's folder.
        schemas: of the tables; their column `tenant` is not shown.
    """

    def __init__(self, lake: Path, tenant: str, schemas: Mapping[str, pa.Schema]) -> None:
        self.folder = (lake / FOLDER).absolute()
        self._tenant, self._recorded = tenant, Recorded(lake, tenant)
        self._schemas = {name: _shown(schema) for name, schema in schemas.items()}

    @property
    def names(self) -> frozenset[str]:
        """Return the tables' names."""
        return frozenset(self._schemas)

    @property
    def folders(self) -> list[Path]:
        """Return where the tenant's files of them lie."""
        return [self.folder / name / f"tenant={self._tenant}" for name in self._schemas]

    def view(self, name: str) -> str | pa.Table:
        """Return the SQL of a table's rows; an empty table where it has none."""
        files, schema = self._recorded.files(name), self._schemas[name]
        return view(schema.names, files) if files else schema.empty_table()


def _shown(schema: pa.Schema) -> pa.Schema:
    plain = [pa.field(one.name, _plain(one.type)) for one in schema if one.name != "tenant"]
    return pa.schema(plain)


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _recording(file: str) -> str:
    return PurePath(file).parent.name


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
