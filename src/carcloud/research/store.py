"""The store: scenarios in the lake, put in a recording at a time, read back as they were, taken out whole.

Rules:
* A recording is added once, all of it or nothing; after a crash it is added again, and what was left of it goes.
* A scenario that the tenant has already is not added again. It leaves with the recording that brought it first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from carcloud.errors import MissingError, TryLaterError
from carcloud.lake.recorded import Recorded
from carcloud.research.draft import Draft
from carcloud.research.filing import Filing
from carcloud.research.reading import ScenarioRow, opened, scenarios_of, summaries
from carcloud.research.rows import rows_of
from carcloud.research.scenario import Scenario
from carcloud.research.schemas import SCHEMAS


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
        self._filing, self._recorded = Filing(folder, tenant), Recorded(folder, tenant)
        self._tenant = tenant

    def add(self, recording: str, scenarios: Iterable[Scenario]) -> Added:
        """Add the scenarios of a recording, all or none.

        Raises:
            ConflictError: the recording was added already, or dropped.
            TryLaterError: the disk is full, or another recording brought one of these scenarios meanwhile.
        """
        self._filing.refuse_known(recording)
        with Draft(self._filing.tables, (self._tenant, recording)) as draft:
            known, duplicates = self._known(), 0
            ids: list[str] = []
            for scenario in scenarios:
                if scenario.id in known:
                    duplicates += 1
                else:
                    known.add(scenario.id)
                    ids.append(scenario.id)
                    draft.take(rows_of(scenario))
            files = draft.finished()
            with self._filing.alone():
                self._refuse_taken(ids)
                self._filing.add(recording, files, duplicates)
        return Added(tuple(ids), duplicates)

    def added(self, recording: str) -> Added | None:
        """Return what a recording brought, its ids in their order; None where it is not in the store."""
        duplicates = self._filing.added(recording)
        if duplicates is None:
            return None
        return Added(tuple(row.id for row in self.scenarios() if row.recording == recording), duplicates)

    def drop(self, recordings: Collection[str], patience_s: float = 0.0) -> int:
        """Take recordings out, rows and files; return how many rows they had. May be repeated after any failure.

        Args:
            patience_s: how long a query may still read their files.
        """
        return self._filing.drop(recordings, patience_s)

    def note(self, recording: str, query: str, events: pa.Table) -> None:
        """Keep where a query held in a recording's scenarios, in the place of what was kept of it before.

        Args:
            events: rows of `events`, without tenant and recording.

        Raises:
            MissingError: the recording is not in the store.
        """
        self._filing.note(recording, query, events)

    def scenarios(self, ids: Sequence[str] | None = None) -> list[ScenarioRow]:
        """Return what stands in `scenarios`, of these in their order, or of all by recording and id.

        Raises:
            MissingError: there is no scenario of one of these ids.
        """
        with self.session() as session:
            rows = summaries(session, ids)
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
        return opened({name: self.files(name) for name in SCHEMAS})

    def _known(self) -> set[str]:
        with self.session() as session:
            return {one for (one,) in session.execute("SELECT scenario FROM scenarios").fetchall()}

    def _refuse_taken(self, ids: Collection[str]) -> None:
        if not self._known().isdisjoint(ids):
            raise TryLaterError("Another recording brought one of these scenarios meanwhile.", "Import it again.")


def _refuse_missing(ids: Iterable[str], known: Mapping[str, ScenarioRow]) -> None:
    missing = next((one for one in ids if one not in known), None)
    if missing is not None:
        raise MissingError(f"There is no scenario {missing[:64]}.", "List them: carcloud research scenarios.")
