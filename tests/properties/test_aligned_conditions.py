"""Over rows that are whole conditions say what their definition says: their changes, and where they are true."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carcloud.vehicle.conditions import aligned, stretches, tree
from carcloud.vehicle.conditions.aligned import Rows
from carcloud.vehicle.conditions.condition import Change, Condition, firings
from carcloud.vehicle.conditions.initial import initial
from carcloud.vehicle.conditions.text import parse
from tests.conditions import BRAKE, CATALOGUE, GEAR, PEDAL, SPEED, START, Sample, changes, conditions, lengths, levels

COLUMNS = {SPEED: "speed", PEDAL: "pedal", BRAKE: "CAST(brake AS DOUBLE)", GEAR: "CAST(gear AS VARCHAR)"}
SCHEMA = pa.schema(
    [
        ("scenario", pa.string()),
        ("track", pa.int32()),
        ("at_us", pa.int64()),
        ("next_us", pa.int64()),
        ("speed", pa.float64()),
        ("pedal", pa.float64()),
        ("brake", pa.bool_()),
        ("gear", pa.dictionary(pa.int32(), pa.string())),
    ]
)
Row = tuple[int, float | None, float | None, bool | None, str | None]

_times = st.builds(
    lambda half, beside: START + half * 500_000 + beside, st.integers(0, 24), st.sampled_from([0, 0, 0, 1, -1])
)
_number = st.one_of(st.none(), levels)
drives: st.SearchStrategy[list[Row]] = st.lists(
    st.tuples(_times, _number, _number, st.sampled_from([None, False, True]), st.sampled_from([None, "P", "R", "D"])),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[0],
)
"""Rows with gaps in time, and with what is unknown."""

_plain: st.SearchStrategy[tree.Node] = st.one_of(
    st.builds(
        tree.Compare,
        st.sampled_from(["=", "<", "<=", ">", ">="]),
        st.sampled_from([tree.Held(SPEED), tree.Held(PEDAL)]),
        levels.map(tree.Number),
    ),
    st.builds(tree.Compare, st.just("<"), st.just(tree.Held(SPEED)), st.just(tree.Held(PEDAL))),
    st.just(tree.Compare("=", tree.Held(BRAKE), tree.Number(1.0))),
    st.builds(tree.Compare, st.just("!="), st.just(tree.Held(GEAR, text=True)), st.sampled_from("PR").map(tree.Text)),
)
_timed: st.SearchStrategy[tree.Node] = st.recursive(
    _plain,
    lambda below: st.one_of(
        below.map(tree.Not),
        below.map(tree.Rising),
        below.map(tree.Falling),
        st.builds(tree.And, below, below),
        st.builds(tree.Or, below, below),
        st.builds(tree.Always, below, lengths),
        st.builds(tree.Once, below, lengths, st.booleans()),
        st.builds(tree.near, below, below, lengths),
        st.builds(tree.then, below, below, lengths),
    ),
    max_leaves=5,
)
plain_conditions: st.SearchStrategy[Condition] = st.builds(
    lambda node, stale_us: Condition("", node, stale_us, initial(node)),
    _timed,
    st.sampled_from([700_000, 1_500_000, 60_000_000]),
)
"""Conditions whose stretches are worked out from those of their parts."""


@pytest.fixture(scope="module")
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": "1"}) as made:
        yield made


def rows_of(condition: Condition, knows_next: bool = False) -> Rows:
    columns = {path: COLUMNS[path] for path in condition.paths}
    return Rows(
        "wide", "scenario || '/' || track", "at_us", columns, frozenset([GEAR]), "next_us" if knows_next else ""
    )


def register(session: duckdb.DuckDBPyConnection, cars: Sequence[Sequence[Row]]) -> None:
    made = []
    for number, drive in enumerate(cars):
        times = sorted(row[0] for row in drive)
        following = dict(zip(times, [*times[1:], None], strict=False))
        for at, *values in drive:
            made.append({"scenario": "s", "track": number, "at_us": at, "next_us": following[at]})
            made[-1] |= dict(zip(("speed", "pedal", "brake", "gear"), values, strict=True))
    session.register("wide", pa.Table.from_pylist(made, SCHEMA))


def samples_of(drive: Sequence[Row]) -> list[Sample]:
    return [
        Sample(path, row[0], float(value) if isinstance(value, bool) else value)
        for row in drive
        for path, value in zip((SPEED, PEDAL, BRAKE, GEAR), row[1:], strict=True)
    ]


def true_places(condition: Condition, drive: Sequence[Row]) -> list[tuple[int, int]]:
    """Return from the definition in which places a condition is true, between the first row and the last."""
    found: list[tuple[int, int]] = []
    told = changes(condition, samples_of(drive))
    first, last = 2 * min(row[0] for row in drive), 2 * max(row[0] for row in drive) + 1
    spans = [(0, 2 * (told[0].time_us if told else last), condition.initial)]
    for change, following in zip(told, [*told[1:], None], strict=False):
        spans.append((2 * change.time_us, 2 * change.time_us + 1, change.now))
        spans.append((2 * change.time_us + 1, 2 * following.time_us if following else last, change.after))
    for begin, end, value in spans:
        begin, end = max(begin, first), min(end, last)
        if value and begin < end:
            if found and found[-1][1] == begin:
                begin = found.pop()[0]
            found.append((begin, end))
    return found


def told_places(session: duckdb.DuckDBPyConnection, statement: str) -> dict[str, list[tuple[int, int]]]:
    found: dict[str, list[tuple[int, int]]] = {}
    for car, begin, end in session.execute(statement).fetchall():
        found.setdefault(car, []).append((begin, end))
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(conditions, st.lists(drives, min_size=1, max_size=2))
def test_any_condition_changes_and_is_true_as_defined(
    session: duckdb.DuckDBPyConnection, condition: Condition, cars: list[list[Row]]
) -> None:
    register(session, cars)
    defined = {f"s/{number}": changes(condition, samples_of(drive)) for number, drive in enumerate(cars)}
    found: dict[str, list[Change]] = {}
    for car, *change in session.execute(aligned.sql(condition, rows_of(condition))).fetchall():
        found.setdefault(car, []).append(Change(*change))
    assert found == {car: some for car, some in defined.items() if some}
    true = {f"s/{number}": true_places(condition, drive) for number, drive in enumerate(cars)}
    said = told_places(session, stretches.sql(condition, rows_of(condition)))
    assert said == {car: some for car, some in true.items() if some}


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plain_conditions, st.lists(drives, min_size=1, max_size=2), st.booleans())
def test_plain_condition_is_true_in_the_stretches_of_its_parts(
    session: duckdb.DuckDBPyConnection, condition: Condition, cars: list[list[Row]], knows_next: bool
) -> None:
    register(session, cars)
    rows = rows_of(condition, knows_next)
    assert stretches.Stretches(condition, rows).is_plain(condition.tree)
    true = {f"s/{number}": true_places(condition, drive) for number, drive in enumerate(cars)}
    said = told_places(session, stretches.sql(condition, rows))
    assert said == {car: some for car, some in true.items() if some}
    for car, places in said.items():
        drive = cars[int(car.removeprefix("s/"))]
        last = max(row[0] for row in drive)
        fired = firings(changes(condition, samples_of(drive)), condition.initial)
        assert [begin // 2 for begin, _ in places if begin // 2 < last] == [at for at in fired if at < last]


def test_braking_after_a_short_gap_is_found_where_it_is_worked_out_by_hand(session: duckdb.DuckDBPyConnection) -> None:
    condition = parse(f"{SPEED} > 50 km/h for at least 1 s then {BRAKE} within 2 s stale after 700 ms", CATALOGUE)
    drive: list[Row] = [
        (0, 60.0, None, False, None),
        (500_000, 60.0, None, False, None),
        (1_000_000, 60.0, None, False, None),  # has lasted for a second: from here on the first is so
        (1_500_000, 40.0, None, False, None),
        (3_000_000, None, None, True, None),  # 1.5 s after its end
        (3_500_000, None, None, False, None),
        (4_000_000, 40.0, None, True, None),  # too late
    ]
    register(session, [drive])
    said = told_places(session, stretches.sql(condition, rows_of(condition, knows_next=True)))
    assert said == {"s/0": [(6_000_000, 7_000_000)]}
