"""Conditions as SQL and as Arrow expressions say what their definition says, of whatever samples in whatever order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import acero

from carcloud.errors import InputError
from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.arrow import expression
from carcloud.vehicle.conditions.columnar import sql
from carcloud.vehicle.conditions.condition import Change, Condition, ConditionError
from carcloud.vehicle.conditions.initial import initial
from tests.conditions import BRAKE, CATALOGUE, GEAR, PEDAL, SPEED, Sample, changes, conditions, levels, samples

SCHEMA = pa.schema(
    [
        ("vehicle", pa.string()),
        ("signal", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("value", pa.float64()),
        ("text", pa.string()),
        ("chunk", pa.int64()),
    ]
)
_numbers: st.SearchStrategy[tree.Node] = st.recursive(
    st.one_of(st.sampled_from([SPEED, PEDAL]).map(tree.Held), levels.map(tree.Number)),
    lambda below: st.one_of(
        st.builds(tree.Arithmetic, st.sampled_from(["+", "-", "*", "/"]), below, below),
        st.builds(tree.Absolute, below),
        st.builds(tree.Scaled, below, st.sampled_from([3.6, -2.0]), st.sampled_from([0.0, 273.15])),
    ),
    max_leaves=4,
)
_plain: st.SearchStrategy[tree.Node] = st.one_of(
    st.builds(tree.Compare, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), _numbers, _numbers),
    st.builds(tree.Compare, st.just("="), st.just(tree.Held(BRAKE)), st.just(tree.Number(1.0))),
    st.builds(tree.Compare, st.just("!="), st.just(tree.Held(GEAR, text=True)), st.sampled_from("PR").map(tree.Text)),
    st.builds(tree.Known, st.one_of(_numbers, st.just(tree.Held(GEAR, text=True)))),
)
plain_conditions: st.SearchStrategy[Condition] = st.builds(
    lambda node, stale_us: Condition("", node, stale_us, initial(node)),
    st.recursive(
        _plain,
        lambda below: st.one_of(
            below.map(tree.Not),
            below.map(tree.Known),
            st.builds(tree.And, below, below),
            st.builds(tree.Or, below, below),
        ),
        max_leaves=4,
    ),
    st.sampled_from([1_500_000, 60_000_000]),
)
"""Conditions without time in them."""


@pytest.fixture(scope="module")
def session() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": "1"}) as made:
        yield made


def table(cars: Sequence[Sequence[Sample]]) -> pa.Table:
    """Return samples as the lake has them, each in the chunk it was accepted with; their rows in another order."""
    rows = [
        {
            "vehicle": f"car{number}",
            "signal": sample.path,
            "time": sample.time_us,
            "value": None if isinstance(sample.value, str) else sample.value,
            "text": sample.value if isinstance(sample.value, str) else None,
            "chunk": chunk,
        }
        for number, drive in enumerate(cars)
        for chunk, sample in enumerate(drive)
    ]
    rows.sort(key=lambda row: (row["chunk"] * 7 % 5, row["vehicle"]))  # type: ignore[operator]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def told(session: duckdb.DuckDBPyConnection, condition: Condition, rows: pa.Table) -> dict[str, list[Change]]:
    session.register("samples", rows)
    found: dict[str, list[Change]] = {}
    for car, *change in session.execute(sql(condition)).fetchall():
        found.setdefault(car, []).append(Change(*change))
    return found


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(conditions, st.lists(samples, min_size=1, max_size=2))
def test_sql_tells_the_changes_of_the_definition(
    session: duckdb.DuckDBPyConnection, condition: Condition, cars: list[list[Sample]]
) -> None:
    defined = {f"car{number}": changes(condition, drive) for number, drive in enumerate(cars)}
    assert told(session, condition, table(cars)) == {car: found for car, found in defined.items() if found}


def truth(expression: pc.Expression, rows: pa.Table) -> list[bool | None]:
    source = acero.Declaration("table_source", acero.TableSourceNodeOptions(rows))
    project = acero.Declaration("project", acero.ProjectNodeOptions([expression], ["truth"]))
    found: list[bool | None] = (
        acero.Declaration.from_sequence([source, project]).to_table(use_threads=False)["truth"].to_pylist()
    )
    return found


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(plain_conditions, samples)
def test_arrow_tells_at_each_sample_what_sql_tells(
    session: duckdb.DuckDBPyConnection, condition: Condition, drive: list[Sample]
) -> None:
    assert condition.is_timeless
    found = told(session, condition, table([drive])).get("car0", [])
    rows, expected = [], []
    for now in sorted({sample.time_us for sample in drive}):
        row: dict[str, float | str | None] = dict.fromkeys(CATALOGUE)
        for sample in sorted(drive, key=lambda one: one.time_us):
            if sample.time_us <= now:
                row[sample.path] = sample.value if now < sample.time_us + condition.stale_us else None
        rows.append(row)
        state = condition.initial
        for change in found:
            if change.time_us <= now:
                state = change.now if change.time_us == now else change.after
        expected.append(state)
    schema = pa.schema([(path, pa.string() if signal.is_text else pa.float64()) for path, signal in CATALOGUE.items()])
    assert truth(expression(condition), pa.Table.from_pylist(rows, schema=schema)) == expected


def test_what_has_time_in_it_is_no_expression() -> None:
    high = tree.Compare(">", tree.Held(SPEED), tree.Number(1.0))
    for timed in (tree.Rising(high), tree.Always(high, 1), tree.Not(tree.Changed(SPEED, 1.0))):
        with pytest.raises(ConditionError, match="time") as error:
            expression(Condition("text", timed, 1, None))
        assert "lake" in error.value.do


def test_divisions_in_divisors_are_bounded() -> None:
    divided: tree.Node = tree.Held(SPEED)
    for _ in range(60):
        divided = tree.Arithmetic("/", tree.Number(1.0), divided)
    with pytest.raises(InputError, match="divisors"):
        expression(Condition("", tree.Compare(">", divided, tree.Number(1.0)), 1, None))
