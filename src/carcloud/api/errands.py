"""Errands: runs and verdicts that are asked for here, and carried out by the zone, one after another."""

import secrets
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time, now
from carcloud.backends.records.errands import Errand, ErrandKind, ErrandState
from carcloud.errors import ConflictError, MissingError
from carcloud.research.gate.limits import LIMIT_BYTES, limits_from, limits_text
from carcloud.research.runs.review import Review
from carcloud.research.simulation.settings import Settings

LIMIT_NAMED = 10_000
"""Scenarios, and recordings, that one request names."""
LIMIT_QUERY = 10_000

Reader = Annotated[Caller, Depends(allowed("readRecordings"))]
Runner = Annotated[Caller, Depends(allowed("runResearch"))]

ZonePlanner = Literal["idm", "log", "constant-speed", "r157-cc-human", "r157-reg157", "r157-rss", "r157-fsm"]
"""The planners that come along: the only ones that a zone drives by itself."""

Id = Annotated[Text, Field(max_length=64)]


class RunWanted(BaseModel):
    """A run: a planner through the scenarios that are named, of recordings, or where a query finds something.

    All scenarios are meant where nothing is said. `query`: a query's name, or a condition. `traffic`: how others move.
    """

    planner: ZonePlanner
    scenarios: Annotated[list[Id], Field(max_length=LIMIT_NAMED)] = []
    recordings: Annotated[list[Id], Field(max_length=LIMIT_NAMED)] = []
    query: Annotated[Text, Field(max_length=LIMIT_QUERY)] = ""
    step_s: float = 0.1
    duration_s: float | None = None
    traffic: Literal["log", "idm", "constant"] = "log"
    react: bool = False
    seed: int = Field(default=0, ge=0, lt=2**63)


class GateWanted(BaseModel):
    """A verdict on a run against another. `limits`: the text of a file of limits; else ours."""

    baseline: Id
    candidate: Id
    limits: Annotated[Text, Field(max_length=LIMIT_BYTES)] = ""


class ErrandShown(BaseModel):
    """An errand. `result`: the run's id, or the verdict's digest. `done`, `scenarios`: how far a run is, once known."""

    id: str
    kind: ErrandKind
    state: ErrandState
    said: dict[str, Any]
    result: str
    done: int | None
    scenarios: int | None
    error: str
    made_by: str
    made_at: Time
    ended_at: Time | None


class ErrandList(BaseModel):
    """Errands, the newest first."""

    errands: list[ErrandShown]


class LimitsShown(BaseModel):
    """The gate's own limits, as their file says and explains them."""

    text: str


routes = APIRouter(tags=["research"], responses=RESPONSES)


@routes.post("/v1/runs", status_code=202)
def ask_run(ports: Wired, caller: Runner, said: RunWanted) -> ErrandShown:
    """Have the zone drive a planner through scenarios; the same run again goes on where it was cut off."""
    told = said.model_dump()
    Settings(**{name: told[name] for name in ("step_s", "duration_s", "traffic", "react", "seed")})
    return _asked(ports, caller, "run", told)


@routes.post("/v1/gates", status_code=202)
def ask_gate(ports: Wired, caller: Runner, said: GateWanted) -> ErrandShown:
    """Have the gate judge a run against another."""
    if said.limits:
        limits_from(said.limits.encode(), "limits")
    runs = [ports.records.runs.get(caller.tenant, one) for one in (said.baseline, said.candidate)]
    if (late := next((one for one in runs if one.ended_at is None), None)) is not None:
        raise ConflictError(f"Run {late.id} is not done.", "Wait for it, or ask for it again.")
    sides = {"baseline": runs[0].id, "candidate": runs[1].id}
    return _asked(ports, caller, "gate", said.model_dump() | sides)


@routes.get("/v1/gates/limits")
def limits(caller: Reader) -> LimitsShown:
    """Show the gate's own limits."""
    return LimitsShown(text=limits_text())


@routes.get("/v1/errands")
def errands(ports: Wired, caller: Reader) -> ErrandList:
    """List the runs and verdicts that were asked for, the newest first."""
    return ErrandList(errands=[_shown(ports, one) for one in ports.records.errands.listed(caller.tenant)])


@routes.post("/v1/errands/{id}/stop")
def stop_errand(ports: Wired, caller: Runner, id: str) -> ErrandShown:  # noqa: A002
    """Stop what waits or is carried out; what a run has done stays, and the same run again goes on from there."""
    return _shown(ports, ports.records.errands.stop(caller.tenant, id, caller.id, now()))


def _asked(ports: Ports, caller: Caller, kind: ErrandKind, said: dict[str, Any]) -> ErrandShown:
    if ports.lake_folder is None:
        raise MissingError("No runs are made here.", "Ask at the zone's own address.")
    wanted = Errand(secrets.token_hex(8), caller.tenant, kind, said, caller.id, now())
    return _shown(ports, ports.records.errands.ask(wanted))


def _shown(ports: Ports, one: Errand) -> ErrandShown:
    done: int | None = None
    count: int | None = None
    if one.kind == "run" and one.state == "running" and one.result and ports.lake_folder is not None:
        try:
            count = ports.records.runs.get(one.tenant, one.result).scenarios
            done = Review(ports.lake_folder, one.tenant).done(one.result)
        except MissingError:  # it is not begun yet
            count = None
    names = ("id", "kind", "state", "result", "error", "made_by", "made_at", "ended_at")
    said = {name: value for name, value in one.said.items() if name != "limits" or value}
    return ErrandShown(said=said, done=done, scenarios=count, **{name: getattr(one, name) for name in names})
