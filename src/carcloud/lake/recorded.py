"""The tables that recordings brought in, as they lie in the lake: which files of them a tenant's query reads.

Rules:
* They lie in the folder `research` of the lake, each filed under tenant and recording.
* A recording is there when it is in `scenarios`, which is written last and left first: a query sees all of a recording
  or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from carcloud.backends.delta import Reader
from carcloud.errors import MissingError

FOLDER = "research"
DECIDES = "scenarios"


def folder_of(lake: Path, table: str) -> Path:
    """Return where a table of recordings lies."""
    return lake / FOLDER / table


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


def _recording(file: str) -> str:
    return PurePath(file).parent.name


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
