"""Any scenario written as MCAP of OSI ground truth and read again is the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.research.adapters.mcap import reader
from carcloud.research.exports import osi_mcap
from carcloud.research.motion import KINDS, Motion, RoadUser
from carcloud.research.roads import LANE_KINDS, Lane, RoadMap
from carcloud.research.scenario import Scenario, Series
from tests.recorded import read

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=1, max_size=8)
FLOATS = st.floats(-1e6, 1e6, allow_nan=False)


@st.composite
def motions(draw: st.DrawFn) -> Motion:
    """Road users that come and go; each is there once at least."""
    count, steps = draw(st.integers(1, 4)), draw(st.integers(2, 12))
    step_us = draw(st.sampled_from([1_000, 33_333, 40_000, 100_000]))
    names = draw(st.lists(NAMES, min_size=count, max_size=count, unique=True))
    users = tuple(
        RoadUser(track, name, draw(st.sampled_from(KINDS)), *(draw(st.floats(0.1, 30)) for _ in range(3)))
        for track, name in enumerate(names)
    )
    shown = np.array(draw(st.lists(st.booleans(), min_size=count * steps, max_size=count * steps))).reshape(
        count, steps
    )
    shown[np.arange(count), draw(st.lists(st.integers(0, steps - 1), min_size=count, max_size=count))] = True
    speeds = np.array([draw(st.floats(-0.9, 0.9)) for _ in range(count)])[:, None]
    start = np.array([[draw(FLOATS), draw(FLOATS)] for _ in range(count)])
    at = np.arange(steps) * step_us / 1e6
    yaw = np.tile(np.array([[draw(st.floats(-3.14159, 3.14159))] for _ in range(count)]), (1, steps))
    vx, vy = speeds + 0 * at, 0 * speeds + 0 * at
    columns = {
        "x": start[:, :1] + vx * at,
        "y": start[:, 1:] + vy * at,
        "z": vx * 0 + 0.5,
        "yaw": yaw,
        "vx": vx,
        "vy": vy,
        "ax": vx * 0.1,
        "ay": vx * 0.2,
    }
    hidden = {name: np.where(shown, numbers, np.nan) for name, numbers in columns.items()}
    return Motion(users=users, time_us=np.arange(steps, dtype=np.int64) * step_us, present=shown, **hidden)


@st.composite
def maps(draw: st.DrawFn) -> RoadMap | None:
    """A few lanes of any shape, linked at random."""
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    one = st.sampled_from(["", *names])
    lanes = []
    for name in names:
        count = draw(st.integers(2, 5))
        left, right = (
            np.array(draw(st.lists(FLOATS, min_size=2 * count, max_size=2 * count))).reshape(-1, 2) for _ in range(2)
        )
        links = [tuple(draw(st.lists(st.sampled_from(names), unique=True, max_size=2))) for _ in range(2)]
        beside = draw(one), draw(one), draw(one)
        limit, junction = draw(st.one_of(st.none(), st.floats(1, 60))), draw(st.booleans())
        lanes.append(Lane(name, draw(st.sampled_from(LANE_KINDS)), left, right, *links, *beside, limit, junction))
    return RoadMap(tuple(lanes), "osi") if lanes else None


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    """A scenario with all that one may have."""
    motion = draw(motions())
    times = np.sort(np.array(draw(st.lists(st.integers(0, 10**7), max_size=5)), np.int64))
    series = tuple(
        Series(name, "km/h", times, np.array([draw(FLOATS) for _ in times]))
        for name in draw(st.sets(NAMES, max_size=2))
    )
    return Scenario(
        name=draw(NAMES),
        motion=motion,
        ego=draw(st.one_of(st.none(), st.sampled_from([user.track for user in motion.users]))),
        map=draw(maps()),
        begin=draw(st.one_of(st.none(), st.just(datetime(2026, 3, 1, 12, 0, 0, 123456, UTC)))),
        origin=draw(st.one_of(st.none(), st.tuples(st.floats(-80, 80), st.floats(-170, 170)))),
        series=series,
        tags=tuple(draw(st.lists(NAMES, max_size=2))),
        parameters=draw(st.dictionaries(NAMES, FLOATS, max_size=2)),
        goal=draw(st.one_of(st.none(), st.just(np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.5]])))),
        simulated=draw(st.booleans()),
    )


@settings(max_examples=60)
@given(scenarios())
def test_scenario_written_and_read_again_is_the_same(one: Scenario) -> None:
    with TemporaryDirectory() as folder:
        (file,) = osi_mcap.write([one], Path(folder), {})
        (again,), refused = read(reader, file)
    assert not refused
    assert again.id == one.id
    assert (again.name, again.ego, again.begin, again.origin) == (one.name, one.ego, one.begin, one.origin)
    assert (again.tags, dict(again.parameters), again.simulated) == (one.tags, dict(one.parameters), one.simulated)
    assert again.motion.users == one.motion.users
    for name in ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay"):
        assert np.array_equal(getattr(again.motion, name), getattr(one.motion, name), equal_nan=True)
    if one.map is not None:
        assert again.map is not None
        for lane, same in zip(one.map.lanes, again.map.lanes, strict=True):
            assert np.array_equal(lane.left_edge, same.left_edge)
            assert np.array_equal(lane.right_edge, same.right_edge)
            told = (lane.name, lane.kind, lane.before, lane.after, lane.left, lane.right, lane.opposite)
            assert told == (same.name, same.kind, same.before, same.after, same.left, same.right, same.opposite)
            assert (lane.limit_mps, lane.junction) == (same.limit_mps, same.junction)
