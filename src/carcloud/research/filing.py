"""What of recordings the tables hold: how they are added at once, taken out whole, and remembered.

Rules:
* A recording's position in the table `scenarios` says how it stands: nothing, added, dropped. It moves in the commit
  that shows the recording or hides it; the other tables' rows come before and leave after.
* What is dropped leaves the tables and the disk, old versions too. Its recording is remembered, so that it is not
  added again.
* Whoever changes the tables has them alone for the moment of the change; whoever reads waits for nobody.
"""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from carcloud.backends.delta import AddAction, LiveFile, Table
from carcloud.errors import ConflictError, InputError, MissingError
from carcloud.lake.recorded import DECIDES, alone, folder_of
from carcloud.research.schemas import SCHEMAS
from carcloud.research.tables import FILED

RECORDING = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")
DROPPED = 1 << 48
"""Where a dropped recording's position begins; what is above it is the number of its rows."""
EVENTS = "events"
SORTED = ("scenario", "track", "begin_us", "query")
CHECKPOINT_EVERY = 64
"""Versions of a table."""


class Filing:
    """One tenant's recordings in the tables.

    Args:
        folder: the lake's.
    """

    def __init__(self, folder: Path, tenant: str) -> None:
        self._folder, self._tenant = folder, tenant
        self._opened: dict[str, Table] = {}

    @property
    def tables(self) -> Mapping[str, Table]:
        """Return the tables to be written, made where they are missing; the one that decides is the last."""
        if not self._opened:
            with self.alone():
                names = sorted(SCHEMAS, key=lambda name: name == DECIDES)
                self._opened = {name: Table(folder_of(self._folder, name), SCHEMAS[name], FILED) for name in names}
        return self._opened

    def added(self, recording: str) -> int | None:
        """Return how many duplicates a recording had when it was added; None where it is not in the tables."""
        position = self._position(recording)
        return position - 1 if 0 < position < DROPPED else None

    def refuse_known(self, recording: str) -> None:
        """Raise ConflictError where a recording was added or dropped before."""
        position = self._position(recording)
        if position:
            said = "was taken out of" if position >= DROPPED else "is already in"
            raise ConflictError(f"Recording {recording} {said} the lake.", "Import it as a new recording.")

    def add(self, recording: str, files: Mapping[str, list[AddAction]], duplicates: int) -> None:
        """Show a recording whose files are written; for who is alone. Raise as `refuse_known`."""
        self.refuse_known(recording)
        for name, table in self.tables.items():
            moves = {self._application(recording): duplicates + 1} if name == DECIDES else {}
            if old := self._live(table, [recording]):  # a crash left it, between two tables
                table.exchange(old, files[name], moves)
                table.delete([file.name for file in old])
            elif files[name] or moves:
                table.exchange([], files[name], moves)
            if table.version % CHECKPOINT_EVERY == 0:
                table.checkpoint()

    def drop(self, recordings: Collection[str], patience_s: float = 0.0) -> int:
        """Take recordings out, rows and files; return how many rows they had. May be repeated after any failure.

        Args:
            patience_s: how long a query may still read their files.
        """
        wanted = sorted(set(recordings))
        if not wanted:
            return 0
        tables = self.tables  # made before, for who makes them is alone too
        tables = self.tables  # which have to be alone to be made
        with self.alone():
            moves = {self._application(one): DROPPED + self._rows(one) for one in wanted if not self._is_dropped(one)}
            for name in reversed(list(tables)):
                self._leave(tables[name], wanted, moves if name == DECIDES else {})
        self._clear(wanted, patience_s)
        return sum(self._position(one) - DROPPED for one in wanted)

    def note(self, recording: str, query: str, rows: pa.Table) -> None:
        """Put a recording's events of a query in the place of those that stand there; all of them lie in one file.

        Raises:
            MissingError: the recording is not in the tables.
        """
        table = self.tables[EVENTS]
        with self.alone():
            if self.added(recording) is None:
                raise MissingError(f"Recording {recording} is not in the lake.", "Look: carcloud research recordings.")
            old = self._live(table, [recording])
            stand = [table.read(file, []).cast(rows.schema) for file in old]
            kept = [some.filter(pc.not_equal(some["query"], query)) for some in stand]
            plain = pa.schema([(one.name, pa.string() if one.name == "scenario" else one.type) for one in rows.schema])
            whole = pa.concat_tables([*kept, rows]).cast(plain).sort_by([(name, "ascending") for name in SORTED])
            new = [table.write((self._tenant, recording), whole.cast(rows.schema), EVENTS)] if whole.num_rows else []
            if old or new:
                table.exchange(old, new, {})

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Have the tables to oneself among all threads and processes that change them."""
        with alone(self._folder):
            yield

    def _leave(self, table: Table, recordings: Collection[str], moves: Mapping[str, int]) -> None:
        old = self._live(table, recordings)
        if old or moves:
            table.exchange(old, [], moves)
            table.checkpoint()

    def _clear(self, recordings: Collection[str], patience_s: float) -> None:
        """Delete all files of recordings, those of old versions and of tries too."""
        gone = {
            table: [name for one in recordings for name in table.filed_in((self._tenant, one))]
            for table in self.tables.values()
        }
        if any(gone.values()):
            time.sleep(patience_s)
        for table, names in gone.items():
            table.delete(names)

    def _live(self, table: Table, recordings: Collection[str]) -> list[LiveFile]:
        wanted = {(self._tenant, one) for one in recordings}
        return [file for file in table.live() if file.partition in wanted]

    def _rows(self, recording: str) -> int:
        return sum(file.rows for table in self.tables.values() for file in self._live(table, [recording]))

    def _application(self, recording: str) -> str:
        return f"recording/{self._tenant}/{recording}"

    def _position(self, recording: str) -> int:
        if not RECORDING.fullmatch(recording):
            raise InputError(f"{recording[:64]!r} is no id of a recording.", "Use the id that the import gave.")
        return self.tables[DECIDES].position(self._application(recording))

    def _is_dropped(self, recording: str) -> bool:
        return self._position(recording) >= DROPPED
