"""A scenario goes into the tables and comes back the same, whatever is in it."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carcloud.research.store import Store
from tests.research import same, scenarios

NUMBERS = count()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("lake"))


@settings(max_examples=10, deadline=None)
@given(st.lists(scenarios(), min_size=1, max_size=4, unique_by=lambda one: one.id))
def test_any_scenarios_come_back_from_the_store_as_they_were(store, drawn):
    recording = f"r{next(NUMBERS)}"
    fresh = [one for one in drawn if one.id not in {row.id for row in store.scenarios()}]
    added = store.add(recording, drawn)
    assert added.ids == tuple(one.id for one in fresh)
    assert added.duplicates == len(drawn) - len(fresh)
    for one, found in zip(fresh, store.loaded(added.ids), strict=True):
        assert same(one, found)
        assert found.id == one.id
