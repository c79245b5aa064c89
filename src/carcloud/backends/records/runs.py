"""Runs of planners over scenarios, the verdicts of the gate on them, and the candidates that passed.

Rules:
* A run is begun, and ended once, with the digest of its results; the same run again, of the same tenant, goes on.
* Verdicts and candidates never change. A candidate can be withdrawn, for ever, and stays: what named it is known.
* A candidate is kept with the statement that was signed, as it was signed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)

from carcloud.backends.records.audit import Audit, Entry
from carcloud.backends.records.database import Database, Instant, metadata
from carcloud.errors import ConflictError, MissingError

ACTION = "runResearch"
LIMIT_RUNS = 100_000
"""Runs, and verdicts, that a tenant may have."""
LIST = 1_000

runs = Table(
    "runs",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("id", String(32), primary_key=True),
    Column("planner", Text, nullable=False),
    Column("planner_hash", String(64), nullable=False),
    Column("query", Text, nullable=False),
    Column("scenarios", Integer, nullable=False),
    Column("scenarios_hash", String(64), nullable=False),
    Column("software_version", String(64), nullable=False),
    Column("settings", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("totals", Text, nullable=False),
    Column("made_by", String(96), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("ended_at", Instant),
)
Index("runs_made_at", runs.c.tenant, runs.c.made_at)

verdicts = Table(
    "verdicts",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("baseline", String(32), nullable=False),
    Column("candidate", String(32), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("document", LargeBinary, nullable=False),
    Column("made_by", String(96), nullable=False),
    Column("made_at", Instant, nullable=False),
)

candidates = Table(
    "candidates",
    metadata,
    Column("tenant", String(64), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("planner", Text, nullable=False),
    Column("planner_hash", String(64), nullable=False),
    Column("verdict", String(64), nullable=False),
    Column("statement", LargeBinary, nullable=False),
    Column("key", String(16), nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("made_by", String(96), nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
)


@dataclass(frozen=True)
class KeptRun:
    """A run of a planner.

    Args:
        id: made from all that decides its results, so the same run has the same id.
        planner: its reference. planner_hash: SHA-256 of its file, or of its name where it is one of ours.
        query: what chose the scenarios; empty where they were named. scenarios_hash: SHA-256 of their sorted ids.
        digest: SHA-256 of the results, empty until it is ended. totals: counts of them, by name.
    """

    tenant: str
    id: str
    planner: str
    planner_hash: str
    query: str
    scenarios: int
    scenarios_hash: str
    software_version: str
    settings: Mapping[str, Any]
    made_by: str
    made_at: datetime
    digest: str = ""
    totals: Mapping[str, Any] = field(default_factory=dict)
    ended_at: datetime | None = None


@dataclass(frozen=True)
class KeptVerdict:
    """What the gate said. `document`: canonical JSON, whose SHA-256 is `digest`."""

    tenant: str
    digest: str
    baseline: str
    candidate: str
    passed: bool
    document: bytes
    made_by: str
    made_at: datetime


@dataclass(frozen=True)
class Candidate:
    """A planner that passed the gate.

    Args:
        digest: SHA-256 of the statement, by which a rollout can name it.
        statement: canonical JSON. key, signature: of the zone's signer, over it.
    """

    tenant: str
    digest: str
    planner: str
    planner_hash: str
    verdict: str
    statement: bytes
    key: str
    signature: bytes
    made_by: str
    made_at: datetime
    withdrawn_at: datetime | None = None


class Runs:
    """Runs, verdicts and candidates of all tenants."""

    def __init__(self, database: Database, audit: Audit) -> None:
        self._database, self._audit = database, audit

    def begin(self, wanted: KeptRun) -> KeptRun:
        """Begin a run, or return it as it stands where it was begun before. Raise ConflictError for too many."""
        with self._database.transaction(writing=True) as db:
            row = db.execute(select(runs).where(runs.c.tenant == wanted.tenant, runs.c.id == wanted.id)).first()
            if row is not None:
                return _run(row)
            _check_room(db, runs, wanted.tenant)
            db.execute(insert(runs).values(**_row(wanted)))
            self._audit.note(db, _of_run(wanted, "begun", wanted.made_at))
        return wanted

    def end(self, begun: KeptRun, digest: str, totals: Mapping[str, Any], at: datetime) -> KeptRun:
        """Say what a run found; the same again changes nothing."""
        ended = replace(begun, digest=digest, totals=totals, ended_at=at)
        same = (runs.c.tenant == begun.tenant) & (runs.c.id == begun.id)
        with self._database.transaction(writing=True) as db:
            if db.execute(update(runs).where(same, runs.c.digest != digest).values(**_row(ended))).rowcount == 1:
                self._audit.note(db, _of_run(ended, "ended", at))
                return ended
        return self.get(begun.tenant, begun.id)

    def get(self, tenant: str, id: str) -> KeptRun:  # noqa: A002
        """Return a run by its id or the beginning of it; raise MissingError."""
        query = select(runs).where(runs.c.tenant == tenant, runs.c.id.startswith(id, autoescape=True)).limit(2)
        rows = self._database.rows(query)
        if len(rows) != 1 or not id:
            do = "List them: carcloud research runs."
            raise MissingError(f"{'No run' if not rows else 'Several runs'} {id[:64]!r}.", do)
        return _run(rows[0])

    def listed(self, tenant: str, limit: int = LIST) -> list[KeptRun]:
        """Return a tenant's runs, the newest first."""
        query = select(runs).where(runs.c.tenant == tenant).order_by(runs.c.made_at.desc(), runs.c.id).limit(limit)
        return [_run(row) for row in self._database.rows(query)]

    def judge(self, verdict: KeptVerdict, candidate: Candidate | None = None) -> None:
        """Keep a verdict, and the candidate that it leaves, at once; both are noted. The same again changes nothing."""
        with self._database.transaction(writing=True) as db:
            same = (verdicts.c.tenant == verdict.tenant) & (verdicts.c.digest == verdict.digest)
            if db.execute(select(verdicts.c.digest).where(same)).first() is None:
                _check_room(db, verdicts, verdict.tenant)
                db.execute(insert(verdicts).values(**vars(verdict)))
                self._audit.note(db, _of_verdict(verdict))
            if candidate is not None and self._candidate(db, candidate.tenant, candidate.digest) is None:
                db.execute(insert(candidates).values(**vars(candidate)))
                self._audit.note(db, _of_candidate(candidate, candidate.made_by, "signed", candidate.made_at))

    def verdict(self, tenant: str, digest: str) -> KeptVerdict:
        """Return a verdict by its digest or the beginning of it; raise MissingError."""
        query = select(verdicts).where(verdicts.c.tenant == tenant)
        rows = self._database.rows(query.where(verdicts.c.digest.startswith(digest, autoescape=True)).limit(2))
        if len(rows) != 1 or not digest:
            raise MissingError(f"No one verdict {digest[:64]!r}.", "List them: carcloud research verdicts.")
        return KeptVerdict(**rows[0]._mapping)

    def verdicts(self, tenant: str, limit: int = LIST) -> list[KeptVerdict]:
        """Return a tenant's verdicts, the newest first."""
        query = select(verdicts).where(verdicts.c.tenant == tenant).order_by(verdicts.c.made_at.desc()).limit(limit)
        return [KeptVerdict(**row._mapping) for row in self._database.rows(query)]

    def candidate(self, tenant: str, digest: str) -> Candidate:
        """Return a candidate by its digest or the beginning of it; raise MissingError."""
        query = select(candidates).where(candidates.c.tenant == tenant)
        rows = self._database.rows(query.where(candidates.c.digest.startswith(digest, autoescape=True)).limit(2))
        if len(rows) != 1 or not digest:
            raise MissingError(f"No one candidate {digest[:64]!r}.", "List them: carcloud research candidates.")
        return Candidate(**rows[0]._mapping)

    def candidates(self, tenant: str, limit: int = LIST) -> list[Candidate]:
        """Return a tenant's candidates, the newest first."""
        query = select(candidates).where(candidates.c.tenant == tenant).order_by(candidates.c.made_at.desc())
        return [Candidate(**row._mapping) for row in self._database.rows(query.limit(limit))]

    def withdraw(self, tenant: str, digest: str, actor: str, at: datetime) -> Candidate:
        """Withdraw a candidate for ever; again changes nothing. Raise MissingError."""
        found = self.candidate(tenant, digest)
        stands = (candidates.c.tenant == tenant) & (candidates.c.digest == found.digest)
        with self._database.transaction(writing=True) as db:
            changed = update(candidates).where(stands, candidates.c.withdrawn_at.is_(None)).values(withdrawn_at=at)
            if db.execute(changed).rowcount == 1:
                self._audit.note(db, _of_candidate(found, actor, "withdrawn", at))
        return self.candidate(tenant, found.digest)

    def _candidate(self, db: Connection, tenant: str, digest: str) -> Any:
        return db.execute(
            select(candidates.c.digest).where(candidates.c.tenant == tenant, candidates.c.digest == digest)
        ).first()


def _check_room(db: Connection, table: Table, tenant: str) -> None:
    if db.execute(select(func.count()).select_from(table).where(table.c.tenant == tenant)).scalar_one() >= LIMIT_RUNS:
        raise ConflictError(f"There are {LIMIT_RUNS} {table.name} already.", "Ask who runs the zone to begin anew.")


def _row(one: KeptRun) -> dict[str, Any]:
    said = {
        name: orjson.dumps(getattr(one, name), option=orjson.OPT_SORT_KEYS).decode() for name in ("settings", "totals")
    }
    return vars(one) | said


def _run(row: Any) -> KeptRun:
    said = dict(row._mapping)
    return KeptRun(**said | {name: orjson.loads(said[name]) for name in ("settings", "totals")})


def _of_run(run: KeptRun, change: str, at: datetime) -> Entry:
    facts = {
        "change": change,
        "planner": run.planner_hash,
        "scenarios": run.scenarios,
        "data": run.scenarios_hash,
        "software": run.software_version,
    }
    if run.digest:
        facts["digest"] = run.digest
    return Entry(run.made_by, ACTION, f"run:{run.id}", "done", facts, tenant=run.tenant, at=at)


def _of_verdict(one: KeptVerdict) -> Entry:
    facts = {"verdict": one.digest, "passed": one.passed, "baseline": one.baseline, "candidate": one.candidate}
    return Entry(one.made_by, ACTION, f"verdict:{one.digest}", "done", facts, tenant=one.tenant, at=one.made_at)


def _of_candidate(one: Candidate, actor: str, change: str, at: datetime) -> Entry:
    facts = {"change": change, "planner": one.planner_hash, "verdict": one.verdict, "key": one.key}
    return Entry(actor, ACTION, f"candidate:{one.digest}", "done", facts, tenant=one.tenant, at=at)
