"""What the lake's own Delta log says, read from outside the zone: when rows were committed, how large files are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Commit:
    """One commit of the writer: when it was visible (seconds since 1970), its rows and bytes."""

    at: float
    rows: int
    bytes: int
    files: tuple[str, ...]


class LakeLog:
    """Follows a table's log; commits that only rewrite files (compaction) count as such, not as rows."""

    def __init__(self, table: Path) -> None:
        self.table, self._next = table, 0
        self.commits: list[Commit] = []
        self.live: dict[str, int] = {}
        self.rewrites = 0

    def read(self) -> int:
        """Read what is new; return the rows committed so far."""
        while (file := self.table / "_delta_log" / f"{self._next:020d}.json").exists():
            actions = [json.loads(line) for line in file.read_text().splitlines()]
            self._take(actions, file.stat().st_mtime)
            self._next += 1
        return sum(commit.rows for commit in self.commits)

    def _take(self, actions: list[dict[str, dict[str, Any]]], at: float) -> None:
        added = [action["add"] for action in actions if "add" in action]
        removed = [action["remove"]["path"] for action in actions if "remove" in action]
        for path in removed:
            self.live.pop(path, None)
        self.live |= {add["path"]: add["size"] for add in added}
        if removed:
            self.rewrites += 1
        elif added:
            files = tuple(add["path"] for add in added)
            rows = sum(json.loads(add["stats"])["numRecords"] for add in added)
            self.commits.append(Commit(at, rows, sum(add["size"] for add in added), files))

    @property
    def written_bytes(self) -> int:
        """Return the bytes of all files the writer committed, before any compaction."""
        return sum(commit.bytes for commit in self.commits)

    @property
    def live_bytes(self) -> int:
        """Return the bytes of the files that are part of the table now."""
        return sum(self.live.values())
