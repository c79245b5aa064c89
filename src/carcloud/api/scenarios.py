"""A scenario to look at: who is in it, who was where, on which lanes, and how a run's planner drove it."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel

from carcloud.api.auth import Caller, allowed
from carcloud.api.errors import RESPONSES
from carcloud.api.ports import Ports, Wired
from carcloud.api.said import Text
from carcloud.api.times import Time
from carcloud.errors import InputError, MissingError, TryLaterError
from carcloud.research import viewing
from carcloud.research.runs.replay import replayed
from carcloud.research.store import Store

READS_AT_ONCE = 4
REPLAYS_AT_ONCE = 2
LIMIT_NAMES = 4096
"""Characters of a list in an address."""

Reader = Annotated[Caller, Depends(allowed("readRecordings"))]
Name = Annotated[Text, Path(max_length=64)]
Names = Annotated[Text, Query(max_length=LIMIT_NAMES)]

T = TypeVar("T")

_reads, _replays = asyncio.Semaphore(READS_AT_ONCE), asyncio.Semaphore(REPLAYS_AT_ONCE)


class RoadUserShown(BaseModel):
    """A road user: its number in the scenario, what its source calls it, and its box in metres."""

    track: int
    name: str
    kind: str
    length: float
    width: float
    height: float


class SignalOfScenario(BaseModel):
    """A signal of the recording car; `count`: of its values during the scenario."""

    name: str
    unit: str
    count: int


class EventOfScenario(BaseModel):
    """Where a kept query held, seconds since the scenario's beginning. `other`: whom it is about besides."""

    query: str
    track: int
    other: int | None
    begin_s: float
    end_s: float


class ScenarioAbout(BaseModel):
    """A scenario. `latitude`, `longitude`: of its frame's origin. `map`: the format of its roads, null without any.

    `goal`: the area that the ego is to reach, as x, y, x, y … metres.
    """

    id: str
    recording: str
    name: str
    step_s: float
    steps: int
    duration_s: float
    ego: int | None
    begin: Time | None
    latitude: float | None
    longitude: float | None
    map: str | None
    simulated: bool
    tags: list[str]
    parameters: dict[str, float]
    goal: list[float]
    users: list[RoadUserShown]
    series: list[SignalOfScenario]
    events: list[EventOfScenario]


class UserMotion(BaseModel):
    """A road user from step `first` on, to its last: middle of its box in metres, radians, metres a second."""

    track: int
    first: int
    x: list[float | None]
    y: list[float | None]
    yaw: list[float | None]
    speed: list[float | None]
    acceleration: list[float | None]


class MotionShown(BaseModel):
    """Who was where, at each of `time_s`. `every`: only each so manyth step is told."""

    every: int
    time_s: list[float]
    users: list[UserMotion]


class LaneShown(BaseModel):
    """A lane and its edges as x, y, x, y … metres, in the direction of travel."""

    lane: str
    kind: str
    junction: bool
    limit_mps: float | None
    left_edge: list[float]
    right_edge: list[float]


class Lanes(BaseModel):
    """The lanes under a scenario; empty where it has no roads."""

    lanes: list[LaneShown]


class FeaturesOfTrack(BaseModel):
    """Features of a road user over time, by their paths; null where one cannot be told."""

    track: int
    time_s: list[float]
    values: dict[str, list[Any]]


class FeatureColumns(BaseModel):
    """Features of road users. `every`: only each so manyth step is told."""

    every: int
    tracks: list[FeaturesOfTrack]


class SignalValues(BaseModel):
    """What a signal said. `every`: only each so manyth value is told."""

    name: str
    unit: str
    every: int
    time_s: list[float]
    values: list[float | None]


class SignalsShown(BaseModel):
    """Signals of the recording car."""

    series: list[SignalValues]


class DrivenMotion(MotionShown):
    """How a run's planner drove a scenario. `same`: whether to the last bit as in the run.

    `collided_s`, `off_road_s`: when the ego first touched another, or left the lanes. `features`: the ego's.
    """

    run: str
    planner: str
    same: bool
    ego: int
    fault: str
    collided_s: float | None
    collided_with: int | None
    off_road_s: float | None
    features: list[FeaturesOfTrack]


routes = APIRouter(tags=["research"], responses=RESPONSES)


@routes.get("/v1/scenarios/{id}")
async def scenario(ports: Wired, caller: Reader, id: Name) -> ScenarioAbout:  # noqa: A002
    """Show a scenario: what is known of it, its road users, signals and kept events."""
    return ScenarioAbout(**await _asked(ports, caller, lambda store: viewing.about(store, id)))


@routes.get("/v1/scenarios/{id}/motion", response_model=MotionShown)
async def scenario_motion(ports: Wired, caller: Reader, id: Name) -> Response:  # noqa: A002
    """Show who was where, as columns."""
    return _plain(await _asked(ports, caller, lambda store: orjson.dumps(viewing.motion(store, id))))


@routes.get("/v1/scenarios/{id}/lanes", response_model=Lanes)
async def scenario_lanes(ports: Wired, caller: Reader, id: Name) -> Response:  # noqa: A002
    """Show the lanes under a scenario."""
    return _plain(await _asked(ports, caller, lambda store: orjson.dumps({"lanes": viewing.lanes(store, id)})))


@routes.get("/v1/scenarios/{id}/features", response_model=FeatureColumns)
async def scenario_features(
    ports: Wired,
    caller: Reader,
    id: Name,  # noqa: A002
    tracks: Names,
    paths: Names = "",
) -> Response:
    """Show features of road users over time: `tracks` and `paths` with commas between; the usual ones without."""
    wanted, named = _numbers(tracks), [one for one in paths.split(",") if one] or viewing.SHOWN
    return _plain(
        await _asked(ports, caller, lambda store: orjson.dumps(vars(viewing.features(store, id, wanted, named))))
    )


@routes.get("/v1/scenarios/{id}/series", response_model=SignalsShown)
async def scenario_series(ports: Wired, caller: Reader, id: Name, names: Names) -> Response:  # noqa: A002
    """Show what signals of the recording car said: `names` with commas between."""
    wanted = [one for one in names.split(",") if one]
    return _plain(
        await _asked(ports, caller, lambda store: orjson.dumps({"series": viewing.series(store, id, wanted)}))
    )


@routes.get("/v1/runs/{run}/scenarios/{id}/motion", response_model=DrivenMotion)
async def driven_motion(ports: Wired, caller: Reader, run: Name, id: Name) -> Response:  # noqa: A002
    """Show how a run's planner drove a scenario; it is driven once more for that."""
    folder = _folder(ports)
    kept = await run_in_threadpool(ports.records.runs.get, caller.tenant, run)
    if _replays.locked():
        raise TryLaterError(f"{REPLAYS_AT_ONCE} scenarios are being driven already.", "Ask again in a few seconds.")
    said = {name: getattr(kept, name) for name in ("id", "planner", "planner_hash", "settings")}
    async with _replays:
        return _plain(await replayed(folder, caller.tenant, id, said))


async def _asked(ports: Ports, caller: Caller, look: Callable[[Store], T]) -> T:
    store = Store(_folder(ports), caller.tenant)
    async with _reads:
        return await run_in_threadpool(look, store)


def _folder(ports: Ports) -> Any:
    if ports.lake_folder is None:
        raise MissingError("No scenarios are kept here.", "Ask at the zone's own address.")
    return ports.lake_folder


def _numbers(text: str) -> list[int]:
    try:
        return [int(one) for one in text.split(",") if one]
    except ValueError:
        raise InputError("`tracks` has no whole numbers.", "Write them with commas between: tracks=1,2.") from None


def _plain(body: bytes) -> Response:
    return Response(body, media_type="application/json")
