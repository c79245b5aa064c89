"""Conditions as SQL and as Arrow expressions say what their definition says, of whatever samples in whatever order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from carcloud.vehicle.conditions.columnar import sql
from carcloud.vehicle.conditions.condition import Change, Condition
from tests.conditions import Sample, changes, conditions, samples

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
