"""Mining a store: hits of whom and about whom, what is kept of them, coverage, tags and similar scenes."""

from __future__ import annotations

import numpy as np
import pytest

from carcloud.errors import InputError, MissingError
from carcloud.research.mining import mining, queries
from carcloud.research.mining.coverage import coverage
from carcloud.research.mining.mining import Hit, mine, preview
from carcloud.research.mining.queries import Query, asked, checked, read, shipped
from carcloud.research.mining.similar import similar
from carcloud.research.mining.tags import tags
from carcloud.research.store import Store
from carcloud.vehicle.conditions.condition import ConditionError
from tests.unit.research.mining.scenes import STEP_S, Way, changing, scene, straight

S = 1_000_000
AT = np.arange(60) * STEP_S
CUT_IN = scene([straight(1, 0.0, 15.0, 60), changing(2, 20.0, 15.0, 60, (1, 0), 10, 31)])
BRAKING = scene(
    [Way(5, 20 * AT - 2.0 * np.maximum(AT - 2, 0) ** 2, np.zeros(60), yaw=0.0), straight(9, 70.0, 20.0, 60)]
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("lake") / "lake")
    made.add("first", [CUT_IN])
    made.add("second", [BRAKING])
    return made


def test_hits_say_of_whom_and_about_whom_and_when(store: Store) -> None:
    assert mine(store, "cut-in") == [Hit(CUT_IN.id, "first", 1, 21 * S // 10, 52 * S // 10, 2)]
    (brake,) = mine(store, "Track.Acceleration < -3.5 m/s^2 for at least 1 s")
    assert (brake.scenario, brake.track, brake.other) == (BRAKING.id, 5, None)
    assert 3.0 * S <= brake.begin_us <= 3.4 * S
    assert brake.end_us == 59 * S // 10, "until it was last seen"
    assert mine(store, "cut-in", recordings=["second"]) == mine(store, "cut-in", scenarios=[BRAKING.id]) == []
    assert len(mine(store, "Track.Speed > 1 m/s", limit=3)) == 3


def test_nothing_is_told_of_who_is_gone(store: Store) -> None:
    assert mine(store, "Track.Speed > 1 m/s for at least 5900 ms") != []
    assert mine(store, "Track.Speed > 1 m/s for at least 6 s") == []


def test_hits_are_kept_as_events_in_the_place_of_those_before(store: Store) -> None:
    query = shipped()["cut-in"]
    hits = mine(store, query)
    for _ in range(2):
        mining.keep(store, query, hits)
    mining.keep(store, Query("all", "Track.Speed > 1 m/s"), [Hit(BRAKING.id, "second", 5, 0, S)])
    with store.session() as session:
        told = session.sql("SELECT recording, scenario, track, begin_us, end_us, query, other FROM events").fetchall()
    assert sorted(told) == [
        ("first", CUT_IN.id, 1, 21 * S // 10, 52 * S // 10, "cut-in", 2),
        ("second", BRAKING.id, 5, 0, S, "all", None),
    ]
    mining.keep(store, query, [])
    with store.session() as session:
        assert session.sql("SELECT query FROM events").fetchall() == [("all",)]


def test_preview_is_bounded_and_says_so(store: Store) -> None:
    whole = preview(store, "cut-in")
    assert (whole.scenarios, whole.of_scenarios, len(whole.hits)) == (2, 2, 1)
    assert preview(store, "cut-in", rows=1).scenarios == 1


def test_coverage_names_what_is_there_and_what_is_missing(store: Store) -> None:
    found = coverage(store, "event", "speed")
    assert found.cells["cut-in", "up to 60 km/h"] == 1
    assert ("cut-in", "over 100 km/h") in found.missing
    assert len(found.cells) + len(found.missing) == len(found.values[0]) * len(found.values[1])
    users = coverage(store, "kind", "road", "gap")
    assert users.cells["car", "street", "no lead"] == 4, "each at least once"
    for by in (("event", "event"), ("event", "weather")):
        with pytest.raises(InputError):
            coverage(store, *by)


def test_tags_tell_scenery_and_what_moves_how(store: Store) -> None:
    found = tags(store)
    assert {"scenery.street", "dynamic.car", "dynamic.lead.cut-in"} <= set(found[CUT_IN.id])
    assert "dynamic.lead.cut-in" not in found[BRAKING.id]
    assert "dynamic.subject.decelerating.hard" in found[BRAKING.id]


def test_similar_scenes_are_found_in_the_same_order_every_time(store: Store) -> None:
    found = similar(store, BRAKING.id, 5, 4 * S, 3)
    assert found == similar(store, BRAKING.id, 5, 4 * S, 3)
    assert {(one.scenario, one.track) for one in found} == {(BRAKING.id, 9), (CUT_IN.id, 1), (CUT_IN.id, 2)}
    assert [one.distance for one in found] == sorted(one.distance for one in found)
    with pytest.raises(MissingError):
        similar(store, BRAKING.id, 6, 4 * S)
    with pytest.raises(InputError):
        similar(store, BRAKING.id, 5, 4 * S, 0)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_query_is_a_condition_with_a_line_and_tags(store: Store, name: str) -> None:
    query = shipped()[name]
    assert query.about
    assert query.tags
    assert mine(store, query) is not None


def test_what_is_no_query_is_refused_with_what_to_do() -> None:
    for wrong in (
        Query("No Name", "Track.Speed > 1 m/s"),
        Query("name", "Track.Speed > 1 m/s", "two\nlines"),
        Query("name", "Track.Speed > 1 m/s", tags=("No Tag",)),
        Query("name", "Track.Speed > 1 m/s", other="Track.Speed"),
    ):
        with pytest.raises(InputError):
            checked(wrong)
    with pytest.raises(ConditionError):
        checked(Query("name", "Track.Speed > 1"))
    with pytest.raises(MissingError):
        asked("no-such-query")
    for text in ("about: x", "condition: Track.IsEgo\nmore: x", "condition: Track.IsEgo\ntags: x"):
        with pytest.raises(InputError):
            read("name", text)


def test_features_hold_until_they_are_not_seen() -> None:
    assert asked("Track.IsEgo").condition.stale_us == queries.HOLD_US
    assert asked("Track.IsEgo stale after 4 s").condition.stale_us == 4 * S
    assert asked("Track.IsEgo").digest != asked("Track.IsEgo stale after 4 s").digest
