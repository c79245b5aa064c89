"""One version of a table, as the files that a copy of it needs.

Source: Delta Lake protocol, "Delta Log Entries" and "Checkpoints"; deltalake 1.6.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import TableNotFoundError

from carcloud.backends.delta import REPLACING

LOG = "_delta_log"
_NUMBERED = re.compile(r"([0-9]{20})\.(json|checkpoint\.parquet)")


@dataclass(frozen=True)
class Cut:
    """A version: where its application stands, how often files were replaced, and the names of its rows' files and of
    its log's, below the table.

    The hint which checkpoint is the newest is left out: it may name a later one, and whoever opens the table looks.
    """

    version: int
    position: int
    replaced: int
    files: list[str]
    log: list[str]


def cut(path: Path, application: str) -> Cut:
    """Return the newest version of a table; version -1 with nothing before the table exists."""
    try:
        table = DeltaTable(str(path))
    except TableNotFoundError:
        return Cut(-1, 0, 0, [], [])
    version = table.version()
    files = pa.table(table.get_add_actions())["path"].to_pylist()
    named = ((entry.name, _NUMBERED.fullmatch(entry.name)) for entry in sorted((path / LOG).iterdir()))
    log = [f"{LOG}/{name}" for name, match in named if match and int(match[1]) <= version]
    position, replaced = (table.transaction_version(name) or 0 for name in (application, REPLACING))
    return Cut(version, position, replaced, files, log)
