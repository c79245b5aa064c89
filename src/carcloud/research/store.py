"""The store: scenarios in the lake, put in a recording at a time, taken out whole.

Rules:
* A recording is added once; after a crash it is added again, and what was left of the first try goes.
* A scenario that the tenant has already is not added again.
* What is dropped leaves the tables and the disk. Its recording is remembered, so that it is not added again.
* Adding and dropping wait for each other at the commit only; whoever reads waits for nobody.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb

from carcloud.backends.delta import LiveFile, Table
from carcloud.backends.files import make_folder
from carcloud.errors import ConflictError, InputError, MissingError, TryLaterError
from carcloud.lake.recorded import DECIDES, FOLDER, Recorded, folder_of
from carcloud.research.draft import Draft
from carcloud.research.reading import ScenarioRow, opened, scenarios_of, summaries
from carcloud.research.rows import rows_of
from carcloud.research.scenario import Scenario
from carcloud.research.tables import FILED, TABLES

RECORDING = re.compile(r"[0-9a-z][0-9a-z_-]{0,63}")
DROPPED = 1 << 48
"""Where a dropped recording's position begins; what is above it is the number of its rows."""
CHECKPOINT_EVERY = 64
"""Versions of a table."""


@dataclass(frozen=True)
class Added:
    """What of a recording is in the store: the ids of its scenarios, and how many were there already."""

    ids: tuple[str, ...]
    duplicates: int


class Store:
    """One tenant's scenarios.

    Args:
        folder: the lake's.
    """

    def __init__(self, folder: Path, tenant: str = "default") -> None:
        self._folder, self._tenant = folder, tenant
        self._recorded = Recorded(folder, tenant)
        self._written: dict[str, Table] = {}

    def add(self, recording: str, scenarios: Iterable[Scenario]) -> Added:
        """Add the scenarios of a recording, all or none.

        Raises:
            ConflictError: the recording was added already, or dropped.
            TryLaterError: the disk is full, or another recording brought one of these scenarios meanwhile.
        """
        self._refuse_known(recording)
        with Draft(self._tables(), (self._tenant, recording)) as draft:
            known, ids, duplicates = self._known(), [], 0
            for scenario in scenarios:
                if scenario.id in known:
                    duplicates += 1
                    continue
                known.add(scenario.id)
                ids.append(scenario.id)
                draft.take(rows_of(scenario))
            with self._locked():
                self._commit(recording, draft, ids, duplicates)
        return Added(tuple(ids), duplicates)

    def added(self, recording: str) -> Added | None:
        """Return what a recording brought; None where it is not in the store."""
        position = self._position(recording)
        if not 0 < position < DROPPED:
            return None
        return Added(tuple(row.id for row in self.scenarios() if row.recording == recording), position - 1)

    def drop(self, recordings: Collection[str], patience_s: float = 0.0) -> int:
        """Take recordings out, rows and files; return how many rows they had. May be repeated after any failure.

        Args:
            patience_s: how long a query may still read their files.
        """
        wanted = sorted(set(recordings))
        for recording in wanted:
            _refuse_odd(recording)
        with self._locked():
            moves = {self._application(one): DROPPED + self._count(one) for one in wanted if not self._is_dropped(one)}
            for name, table in self._tables().items():
                old = [file for one in wanted for file in self._live(table, one)]
                if old or (name == DECIDES and moves):
                    table.exchange(old, [], moves if name == DECIDES else {})
                    table.checkpoint()
        self._clear(wanted, patience_s)
        return sum(self._position(one) - DROPPED for one in wanted)

    def scenarios(self, ids: Sequence[str] | None = None) -> list[ScenarioRow]:
        """Return what stands in `scenarios`, of these in their order, or of all by recording and id.

        Raises:
            MissingError: there is no scenario of one of these ids.
        """
        with self.session() as session:
            rows = summaries(session)
        if ids is None:
            return rows
        known = {row.id: row for row in rows}
        _refuse_missing(ids, known)
        return [known[one] for one in ids]

    def load(self, scenario: str) -> Scenario:
        """Return one scenario, as it was added.

        Raises:
            MissingError: there is none of that id.
        """
        return next(self.loaded([scenario]))

    def loaded(self, ids: Sequence[str]) -> Iterator[Scenario]:
        """Yield scenarios in the order of these ids, as they were added; a few are in memory at once.

        Raises:
            MissingError: there is no scenario of one of these ids.
        """
        rows = self.scenarios(ids)
        with self.session() as session:
            yield from scenarios_of(session, rows)

    def files(self, table: str) -> list[str]:
        """Return the absolute paths of a table's Parquet files."""
        return self._recorded.files(table)

    def session(self) -> duckdb.DuckDBPyConnection:
        """Return a connection of its own with the tables as views: for our statements, not for strangers'."""
        return opened({name: self.files(name) for name in TABLES})

    def _commit(self, recording: str, draft: Draft, ids: Collection[str], duplicates: int) -> None:
        self._refuse_known(recording)
        if not self._known().isdisjoint(ids):
            raise TryLaterError("Another recording brought one of these scenarios meanwhile.", "Import it again.")
        files = draft.finished()
        for name, table in self._tables().items():
            old, moves = self._live(table, recording), {}
            if name == DECIDES:
                moves = {self._application(recording): duplicates + 1}
            if old or files[name] or moves:
                table.exchange(old, files[name], moves)
            if table.version % CHECKPOINT_EVERY == 0:
                table.checkpoint()

    def _tables(self) -> Mapping[str, Table]:
        """Return the tables to be written, the one that decides last."""
        if not self._written:
            with self._locked():
                names = sorted(TABLES, key=lambda name: name == DECIDES)
                self._written = {name: Table(folder_of(self._folder, name), TABLES[name], FILED) for name in names}
        return self._written

    def _known(self) -> set[str]:
        with self.session() as session:
            return {one for (one,) in session.execute("SELECT scenario FROM scenarios").fetchall()}

    def _application(self, recording: str) -> str:
        return f"recording/{self._tenant}/{recording}"

    def _position(self, recording: str) -> int:
        _refuse_odd(recording)
        return self._tables()[DECIDES].position(self._application(recording))

    def _is_dropped(self, recording: str) -> bool:
        return self._position(recording) >= DROPPED

    def _refuse_known(self, recording: str) -> None:
        position = self._position(recording)
        if position:
            said = "was taken out of" if position >= DROPPED else "is already in"
            raise ConflictError(f"Recording {recording} {said} the lake.", "Import it as a new recording.")

    def _live(self, table: Table, recording: str) -> list[LiveFile]:
        return [file for file in table.live() if file.partition == (self._tenant, recording)]

    def _count(self, recording: str) -> int:
        return sum(file.rows for table in self._tables().values() for file in self._live(table, recording))

    def _clear(self, recordings: Collection[str], patience_s: float) -> None:
        """Delete all files of recordings, those of old versions and of tries too."""
        gone = {
            table: [name for one in recordings for name in table.filed_in((self._tenant, one))]
            for table in self._tables().values()
        }
        if any(gone.values()):
            time.sleep(patience_s)
        for table, names in gone.items():
            table.delete(names)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Have the tables to oneself among all processes that write them."""
        folder = self._folder / FOLDER
        make_folder(folder)
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _refuse_odd(recording: str) -> None:
    if not RECORDING.fullmatch(recording):
        raise InputError(f"{recording[:64]!r} is no id of a recording.", "Use the id that the import gave.")


def _refuse_missing(ids: Iterable[str], known: Mapping[str, ScenarioRow]) -> None:
    missing = next((one for one in ids if one not in known), None)
    if missing is not None:
        raise MissingError(f"There is no scenario {missing[:64]}.", "List them: carcloud research scenarios.")
