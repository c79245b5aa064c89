"""The desk of runs: what is run and judged, kept in the records, noted, and signed where it passed.

Rules:
* A run is in the records from before its first shard; its results are in the lake's folder.
* The gate drives the candidate on UN R157's grid itself, by the very file that its run was driven by.
* A verdict that passed is kept with its candidate, signed, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from carcloud import __version__
from carcloud.backends.compute import Compute
from carcloud.backends.records import Records
from carcloud.backends.records.runs import Candidate, KeptRun
from carcloud.errors import ConflictError, MissingError
from carcloud.research.gate.candidate import candidate_of, kept
from carcloud.research.gate.competence import competence_of
from carcloud.research.gate.limits import Limits
from carcloud.research.gate.verdict import Side, Verdict, judged
from carcloud.research.runs.results import digest_of, folder_of, results_of
from carcloud.research.runs.run import Progress, Run, run, wanted
from carcloud.research.simulation.references import planner_hash
from carcloud.research.simulation.settings import Settings
from carcloud.research.store import Store
from carcloud.safety.signer import Signature


class Desk:
    """Runs planners, and judges them.

    Args:
        lake: the lake's folder. actor: who asks, as the audit log names them.
    """

    def __init__(self, records: Records, lake: Path, tenant: str, actor: str) -> None:
        self._records, self._lake, self._tenant, self._actor = records, lake, tenant, actor

    def run(
        self,
        ids: Iterable[str],
        planner: str,
        settings: Settings,
        compute: Compute,
        query: str = "",
        progress: Progress = lambda done, all_: None,
    ) -> Run:
        """Drive a planner through scenarios; the same again goes on where it was cut off.

        Args:
            query: what chose the scenarios; empty where they were named.

        Raises:
            InputError, MissingError: as `wanted`.
        """
        asked = wanted(Store(self._lake, self._tenant), self._tenant, ids, planner, settings)
        begun = self._records.runs.begin(
            KeptRun(
                tenant=self._tenant,
                id=asked.id,
                planner=planner,
                planner_hash=asked.planner_hash,
                query=query,
                scenarios=len(asked.ids),
                scenarios_hash=asked.scenarios_hash,
                software_version=__version__,
                settings=asked.told,
                made_by=self._actor,
                made_at=datetime.now(UTC),
            )
        )
        found = run(asked, self._lake, compute, progress)
        self._records.runs.end(begun, found.digest, found.totals, datetime.now(UTC))
        return found

    def judge(
        self, baseline: str, candidate: str, limits: Limits, zone: str, sign: Callable[[bytes], Signature]
    ) -> tuple[Verdict, Candidate | None]:
        """Judge a run against another; return the verdict and, where it passed, the signed candidate.

        Args:
            baseline, candidate: ids of runs, or beginnings of them. sign: the zone's signer, for candidates.

        Raises:
            MissingError: there is no such run. ConflictError: it is not ended, or its planner's file has changed.
        """
        first, second = self._side(baseline), self._side(candidate)
        competence: Mapping[str, Any] | None = None
        if limits.competence:
            if planner_hash(second.planner) != second.planner_hash:
                message = f"{second.planner} is another file by now than the one that was run."
                raise ConflictError(message, "Run it again, then judge that run.")
            competence = competence_of(second.planner)
        verdict, now = judged(first, second, limits, competence), datetime.now(UTC)
        left = None
        if verdict.passed:
            left = candidate_of(verdict, self._tenant, zone, self._actor, now, sign)
        self._records.runs.judge(kept(verdict, self._tenant, self._actor, now), left)
        return verdict, left

    def results(self, run_: str) -> Any:
        """Return the results of a run as a table, sorted by scenario. Raise MissingError."""
        return results_of(folder_of(self._lake, self._tenant, self._records.runs.get(self._tenant, run_).id))

    def _side(self, name: str) -> Side:
        found = self._records.runs.get(self._tenant, name)
        if found.ended_at is None:
            raise ConflictError(f"Run {found.id} is not done.", "Run it again: it goes on where it was cut off.")
        table = self.results(found.id)
        if not table.num_rows:
            raise MissingError(f"The results of run {found.id} are gone.", "Run it again.")
        side = Side(
            found.id,
            found.planner,
            found.planner_hash,
            found.query,
            found.scenarios_hash,
            found.settings,
            found.software_version,
            found.digest,
            table,
        )
        return replace(side, digest=digest_of(table))
