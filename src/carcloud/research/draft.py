"""A recording on its way into the tables: its files are written as its scenarios come, and are no part of any table
until they are committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

import pyarrow as pa

from carcloud.backends.delta import AddAction, Table

ROWS_A_FILE = 1 << 19
"""Rows of one table that are held in memory before they are written; a scenario's rows stay in one file."""


class Draft:
    """The files of one recording; those that nobody committed are deleted at its end.

    Args:
        tables: to be written.
        filed: tenant and recording.
    """

    def __init__(self, tables: Mapping[str, Table], filed: tuple[str, str]) -> None:
        self._tables, self._filed = tables, filed
        self._held: dict[str, list[pa.Table]] = {name: [] for name in tables}
        self._rows = dict.fromkeys(tables, 0)
        self._files: dict[str, list[AddAction]] = {name: [] for name in tables}
        for table in tables.values():
            table.delete(table.filed_in(filed))  # what a try before a crash left

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for name, table in self._tables.items():
                table.delete([file.path for file in self._files[name]])

    def take(self, rows: Mapping[str, pa.Table]) -> None:
        """Take the rows of one scenario."""
        for name, some in rows.items():
            if some.num_rows:
                self._held[name].append(some)
            self._rows[name] += some.num_rows
            if self._rows[name] >= ROWS_A_FILE:
                self._write(name)

    def finished(self) -> Mapping[str, list[AddAction]]:
        """Write the rest; return all files by their tables."""
        for name in self._tables:
            self._write(name)
        return self._files

    def _write(self, name: str) -> None:
        if self._held[name]:
            ordered = sorted(self._held[name], key=lambda rows: str(rows["scenario"][0]))
            rows = pa.concat_tables(ordered).unify_dictionaries()
            self._held[name], self._rows[name] = [], 0
            self._files[name].append(self._tables[name].write(self._filed, rows, name))
