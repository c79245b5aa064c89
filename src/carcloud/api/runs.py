"""Runs of planners: which there are, how far they are, what they came to, and two of them side by side."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time
from carcloud.backends.records.runs import KeptRun
from carcloud.errors import InputError, MissingError
from carcloud.research.runs.review import Order, Outcome, Review, Turn, Which

LIMIT_PAGE = 500
LIMIT_BESIDE = 100_000
"""Scenarios of a run that are put beside another's."""

Reader = Annotated[Caller, Depends(allowed("readRecordings"))]


class RunShown(BaseModel):
    """A run. `done`: of its `scenarios`, how many have results. `ended_at`: null while it goes on, or was cut off.

    `digest` and `totals` (counts by name: collided, at_fault, off_road, faults) are there when it is ended.
    """

    id: str
    planner: str
    planner_hash: str
    query: str
    scenarios: int
    done: int
    scenarios_hash: str
    software_version: str
    settings: dict[str, Any]
    digest: str
    totals: dict[str, int]
    made_by: str
    made_at: Time
    ended_at: Time | None


class RunList(BaseModel):
    """Runs, the newest first."""

    runs: list[RunShown]


class MeasureShown(BaseModel):
    """A measure over the scenarios that have it: `low` and `high` leave out 5 % at either end."""

    name: str
    known: int
    mean: float | None
    low: float | None
    median: float | None
    high: float | None


class RunWhole(RunShown):
    """A run with what was measured over all its scenarios."""

    measures: list[MeasureShown]


class ResultShown(BaseModel):
    """What a run came to in a scenario: seconds, metres, m/s². Null: it never came near, or could not be told.

    `name`, `recording`: empty where the scenario is gone from the lake. `fault`: what the planner did wrong.
    """

    scenario: str
    name: str
    recording: str
    outcome: Outcome
    ego: int | None
    fault: str
    collided: bool | None
    at_fault: bool | None
    collided_how: str | None
    collided_s: float | None
    collided_with: float | None
    impact_mps: float | None
    off_road: bool | None
    off_road_s: float | None
    reached_goal: bool | None
    least_ttc_s: float | None
    least_thw_s: float | None
    least_pet_s: float | None
    least_distance_m: float | None
    most_drac_mps2: float | None
    most_deceleration_mps2: float | None
    most_jerk_mps3: float | None
    comfortable_share: float | None
    progress_m: float | None
    recorded_progress_m: float | None
    duration_s: float | None


class ResultPage(BaseModel):
    """A page of results. `found`: how many there are of the kind that was asked for."""

    found: int
    scenarios: list[ResultShown]


class TurnCount(BaseModel):
    """How many scenarios went from one outcome to another."""

    before: Outcome
    after: Outcome
    count: int


class PairShown(BaseModel):
    """A scenario in two runs. `turn`: above 0 it got worse, below 0 better."""

    scenario: str
    name: str
    recording: str
    before: Outcome
    after: Outcome
    turn: int
    before_collided_s: float | None
    after_collided_s: float | None
    before_at_fault: bool | None
    after_at_fault: bool | None
    before_least_ttc_s: float | None
    after_least_ttc_s: float | None
    before_progress_m: float | None
    after_progress_m: float | None


class Beside(BaseModel):
    """Two runs side by side, by the scenarios that both have. `alike`: settings and software are the same."""

    before: RunWhole
    after: RunWhole
    alike: bool
    shared: int
    only_before: int
    only_after: int
    worse: int
    better: int
    turns: list[TurnCount]
    found: int
    scenarios: list[PairShown]


Offset = Annotated[int, Query(ge=0, le=10_000_000)]
Limit = Annotated[int, Query(ge=1, le=LIMIT_PAGE)]
Piece = Annotated[Text, Field(max_length=200)]

routes = APIRouter(tags=["research"], responses=RESPONSES)


@routes.get("/v1/runs")
def runs(ports: Wired, caller: Reader) -> RunList:
    """List the runs, the newest first."""
    review = _review(ports, caller)
    return RunList(runs=[_shown(review, one) for one in ports.records.runs.listed(caller.tenant)])


@routes.get("/v1/runs/{id}")
def run(ports: Wired, caller: Reader, id: str) -> RunWhole:  # noqa: A002
    """Show a run, and what was measured over all its scenarios."""
    return _whole(_review(ports, caller), ports.records.runs.get(caller.tenant, id))


@routes.get("/v1/runs/{id}/scenarios")
def results(
    ports: Wired,
    caller: Reader,
    id: str,  # noqa: A002
    which: Which = "all",
    order: Order = "scenario",
    text: Piece = "",
    offset: Offset = 0,
    limit: Limit = 100,
) -> ResultPage:
    """Page through a run's results: all, or those of a kind, or whose scenario's name has a piece of text in it."""
    found = ports.records.runs.get(caller.tenant, id)
    count, rows = _review(ports, caller).page(found.id, which, order, offset, limit, text)
    return ResultPage(found=count, scenarios=[ResultShown(**_of(ResultShown, row)) for row in rows])


@routes.get("/v1/runs/{id}/beside/{other}")
def beside(
    ports: Wired,
    caller: Reader,
    id: str,  # noqa: A002
    other: str,
    turn: Turn = "changed",
    offset: Offset = 0,
    limit: Limit = 100,
) -> Beside:
    """Put another run beside a run: what is the same, and what turned to the worse or the better."""
    review, records = _review(ports, caller), ports.records.runs
    first, second = records.get(caller.tenant, id), records.get(caller.tenant, other)
    if max(first.scenarios, second.scenarios) > LIMIT_BESIDE:
        raise InputError(f"More than {LIMIT_BESIDE} scenarios.", "Compare such runs with `carcloud research gate`.")
    found = review.beside(first.id, second.id, turn, offset, limit)
    alike = (first.settings, first.software_version) == (second.settings, second.software_version)
    rows = [PairShown(**row) for row in found.pop("rows")]
    return Beside(before=_whole(review, first), after=_whole(review, second), alike=alike, scenarios=rows, **found)


def _review(ports: Ports, caller: Caller) -> Review:
    if ports.lake_folder is None:
        raise MissingError("No runs are kept here.", "Ask at the zone's own address.")
    return Review(ports.lake_folder, caller.tenant)


def _shown(review: Review, one: KeptRun) -> RunShown:
    done = one.scenarios if one.ended_at is not None else review.done(one.id)
    return RunShown(**_of(RunShown, vars(one) | {"done": done}))


def _whole(review: Review, one: KeptRun) -> RunWhole:
    measures = [MeasureShown(**vars(found)) for found in review.measures(one.id)]
    return RunWhole(**_shown(review, one).model_dump(), measures=measures)


def _of(shape: type[BaseModel], said: Any) -> dict[str, Any]:
    return {name: said[name] for name in shape.model_fields}
