"""Verdicts of the gate, and the candidates that they left."""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends
from pydantic import BaseModel

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.times import Time, now
from carcloud.backends.records.runs import Candidate, KeptVerdict
from carcloud.research.runs.review import Review

Reader = Annotated[Caller, Depends(allowed("readRecordings"))]
Runner = Annotated[Caller, Depends(allowed("runResearch"))]


class GateShown(BaseModel):
    """A verdict: the runs it is about, and whether the candidate's planner passed."""

    digest: str
    passed: bool
    baseline: str
    candidate: str
    baseline_planner: str
    candidate_planner: str
    scenarios: int
    failed: list[str]
    made_by: str
    made_at: Time


class GateList(BaseModel):
    """Verdicts, the newest first."""

    gates: list[GateShown]


class CandidateShown(BaseModel):
    """A planner that passed the gate. `digest`: of the signed statement, by which a rollout can name it."""

    digest: str
    planner: str
    planner_hash: str
    verdict: str
    key: str
    signature: str
    statement: str
    made_by: str
    made_at: Time
    withdrawn_at: Time | None


class CandidateList(BaseModel):
    """Candidates, the newest first."""

    candidates: list[CandidateShown]


class GateWhole(GateShown):
    """A verdict as it was said. `document`: its JSON, whose bytes have the digest. `names`: of scenarios it names."""

    document: dict[str, Any]
    names: dict[str, str]
    left: CandidateShown | None


routes = APIRouter(tags=["research"], responses=RESPONSES)


@routes.get("/v1/gates")
def gates(ports: Wired, caller: Reader) -> GateList:
    """List the gate's verdicts, the newest first."""
    return GateList(gates=[GateShown(**_said(one)) for one in ports.records.runs.verdicts(caller.tenant)])


@routes.get("/v1/gates/{digest}")
def gate(ports: Wired, caller: Reader, digest: str) -> GateWhole:
    """Show a verdict, and the candidate that it left."""
    found = ports.records.runs.verdict(caller.tenant, digest)
    document = orjson.loads(found.document)
    named = {row["scenario"] for kind in document["newly"].values() for row in kind["first"]}
    left = next((one for one in ports.records.runs.candidates(caller.tenant) if one.verdict == found.digest), None)
    return GateWhole(
        **_said(found),
        document=document,
        names=_names(ports, caller, named),
        left=None if left is None else _left(left),
    )


@routes.get("/v1/candidates")
def candidates(ports: Wired, caller: Reader) -> CandidateList:
    """List the planners that passed the gate, the newest first."""
    return CandidateList(candidates=[_left(one) for one in ports.records.runs.candidates(caller.tenant)])


@routes.post("/v1/candidates/{digest}/withdraw")
def withdraw(ports: Wired, caller: Runner, digest: str) -> CandidateShown:
    """Withdraw a candidate for ever; it stays, and says so."""
    return _left(ports.records.runs.withdraw(caller.tenant, digest, caller.id, now()))


def _names(ports: Ports, caller: Caller, scenarios: set[str]) -> dict[str, str]:
    if ports.lake_folder is None:
        return {}
    return {one: found.name for one, found in Review(ports.lake_folder, caller.tenant).names(scenarios).items()}


def _said(one: KeptVerdict) -> dict[str, Any]:
    said = orjson.loads(one.document)
    names = ("digest", "passed", "baseline", "candidate", "made_by", "made_at")
    return {name: getattr(one, name) for name in names} | {
        "baseline_planner": said["baseline"]["planner"],
        "candidate_planner": said["candidate"]["planner"],
        "scenarios": said["scenarios"]["count"],
        "failed": [check["name"] for check in said["checks"] if not check["passed"]],
    }


def _left(one: Candidate) -> CandidateShown:
    said = vars(one) | {"signature": one.signature.hex(), "statement": one.statement.decode()}
    return CandidateShown(**{name: said[name] for name in CandidateShown.model_fields})
