"""Rows leave the lake in any order and way, and whatever is left stays provable."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lake import TODAY, Lake
from tests.stream import CAR, DAY_US, NOW_US, OTHER

CARS, PATHS = (CAR, OTHER, "c"), ("A.b", "A.c", "B.a")
ROWS = st.lists(
    st.tuples(
        st.sampled_from(CARS),
        st.sampled_from(PATHS),
        st.tuples(st.integers(0, 4), st.integers(0, 2)).map(lambda at: NOW_US - at[0] * DAY_US + at[1]),
        st.one_of(st.sampled_from([0.0, -0.0, 1.5]), st.sampled_from(["", "on"])),
        st.integers(0, 2),
    ),
    max_size=12,
)
DAYS = st.dictionaries(st.sampled_from(PATHS), st.integers(1, 5), max_size=3)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fill"), ROWS),
        st.tuples(st.just("expire"), st.tuples(DAYS, st.integers(0, 3))),
        st.tuples(st.just("erase"), st.sampled_from(CARS)),
        st.tuples(st.just("compact"), st.none()),
    ),
    min_size=2,
    max_size=7,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, STEPS)
def test_fills_expiries_erasures_and_compactions_in_any_order_stay_green(first, steps):
    with tempfile.TemporaryDirectory() as folder:
        lake, erased = Lake(Path(folder), window_rows=40), set()
        there, total = [], 0
        for kind, said in [("fill", first), *steps]:
            if kind == "fill":
                new = [row for row in said if row[0] not in erased]
                lake.fill(new)
                total += len(new)
                there += [(car, path, time // DAY_US) for car, path, time, _, _ in new]
            elif kind == "expire":
                days, later = said
                lake.expire(days.get, TODAY + later)
                there = [row for row in there if row[2] + days.get(row[1], 99) >= TODAY + later]
            elif kind == "erase":
                lake.erase(said)
                erased.add(said)
                there = [row for row in there if row[0] != said]
            else:
                lake.writer.compact()
            verdict = lake.verdict()
            assert (verdict.faults, verdict.rows) == ([], len(there))
            assert verdict.rows + verdict.erased + verdict.expired == total
        assert lake.rows() == sorted(there)
        lake.records.close()
