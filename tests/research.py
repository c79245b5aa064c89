"""Scenarios for tests, made by hand and by Hypothesis."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from carcloud.research.motion import KINDS, Motion, RoadUser
from carcloud.research.roads import LANE_KINDS, Lane, RoadMap
from carcloud.research.scenario import Scenario, Series

NUMBER = st.floats(-1e6, 1e6)
NAME = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


def platoon(name: str = "platoon", cars: int = 3, steps: int = 20, speed: float = 20.0) -> Scenario:
    """Return cars that drive one behind the other along x, on a straight road with two lanes."""
    time_us = np.arange(steps, dtype=np.int64) * 100_000
    x = -30.0 * np.arange(cars)[:, None] + speed * time_us / 1e6
    still, ones = np.zeros((cars, steps)), np.ones((cars, steps))
    users = tuple(RoadUser(track, f"car {track}", "car", 4.6, 1.85, 1.5) for track in range(1, cars + 1))
    present = np.ones((cars, steps), np.bool_)
    motion = Motion(users, time_us, x, 1.75 * ones, 0.75 * ones, still, speed * ones, still, still, still, present)
    return Scenario(name, motion, ego=1, map=_road(), begin=datetime(2026, 2, 2, 8, tzinfo=UTC), tags=("highway",))


def _road() -> RoadMap:
    x = np.linspace(-500.0, 500.0, 11)
    edge = [np.column_stack((x, np.full_like(x, y))) for y in (0.0, 3.5, 7.0)]
    right = Lane("1", "driving", edge[1], edge[0], left="2", limit_mps=33.0)
    return RoadMap((right, Lane("2", "driving", edge[2], edge[1], right="1")), "opendrive", b"<OpenDRIVE/>")


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """Draw any scenario."""
    return Scenario(
        name=draw(NAME),
        motion=draw(motions()),
        ego=draw(st.none() | st.integers(0, 9)),
        map=draw(st.none() | maps()),
        begin=draw(st.none() | st.datetimes(timezones=st.just(UTC))),
        origin=draw(st.none() | st.tuples(st.floats(-90, 90), st.floats(-180, 180))),
        series=tuple(draw(st.lists(series(), max_size=4))),
        tags=tuple(draw(st.lists(NAME, max_size=3))),
        parameters=draw(st.dictionaries(NAME, NUMBER, max_size=3)),
        goal=draw(st.none() | points(3)),
        simulated=draw(st.booleans()),
    )


@st.composite
def motions(draw: st.DrawFn) -> Motion:
    """Draw any motion; sometimes with uneven steps, with users who are never there, and with gaps in what is known."""
    tracks = sorted(draw(st.sets(st.integers(0, 2**31 - 1), max_size=3)))
    steps = draw(st.integers(1, 4))
    even = np.arange(steps, dtype=np.int64) * draw(st.sampled_from([33_333, 100_000]))
    time_us = even + draw(arrays(np.int64, steps, elements=st.integers(0, 9), fill=st.just(0)))
    size = st.floats(0.1, 30)
    users = [RoadUser(t, draw(NAME), draw(st.sampled_from(KINDS)), draw(size), draw(size), draw(size)) for t in tracks]
    shape = len(users), steps
    present = draw(arrays(np.bool_, shape))
    there = np.where(present, 1.0, np.nan)
    columns = [draw(arrays(np.float64, shape, elements=NUMBER | st.just(float("nan")))) * there for _ in range(8)]
    return Motion(tuple(users), time_us, *columns, present)


@st.composite
def maps(draw: st.DrawFn) -> RoadMap:
    """Draw any map; sometimes without lanes."""
    names = draw(st.lists(NAME, max_size=3, unique=True))
    lanes = [draw(lanes_named(name)) for name in names]
    return RoadMap(tuple(lanes), draw(st.sampled_from(["", "osi"])), draw(st.none() | st.binary(max_size=8)))


@st.composite
def lanes_named(draw: st.DrawFn, name: str) -> Lane:
    """Draw any lane of this name."""
    count, others = draw(st.integers(2, 4)), st.lists(NAME, max_size=2).map(tuple)
    beside = [draw(NAME) for _ in range(3)]
    edges, limit = [draw(points(count)) for _ in range(2)], draw(st.none() | NUMBER)
    kind = draw(st.sampled_from(LANE_KINDS))
    return Lane(name, kind, *edges, draw(others), draw(others), *beside, limit, draw(st.booleans()))


@st.composite
def series(draw: st.DrawFn) -> Series:
    """Draw any signal; names repeat, and some have no values."""
    count = draw(st.integers(0, 3))
    time_us = np.sort(draw(arrays(np.int64, count, elements=st.integers(-(10**9), 10**9))))
    values = draw(arrays(np.float64, count, elements=NUMBER | st.just(float("nan"))))
    return Series(draw(st.sampled_from(["Vehicle.Speed", "b"])), draw(st.sampled_from(["", "km/h"])), time_us, values)


def points(count: int) -> st.SearchStrategy[np.ndarray]:
    """Draw that many points."""
    return arrays(np.float64, (count, 2), elements=NUMBER)


def same(one: object, other: object) -> bool:
    """Tell whether two things of research are equal to the last bit, NaN being equal to NaN."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    if isinstance(one, tuple | list):
        return isinstance(other, tuple | list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Scenario | Motion | RoadUser | RoadMap | Lane | Series):
        names = one.__dataclass_fields__
        return type(one) is type(other) and all(same(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other)
