"""SQL for who reaches a share of the lake only: nothing of the rest shows, whatever is asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from carcloud.errors import CarcloudError, InputError, NotAllowedError
from carcloud.lake.query import LakeQuery, folder_of
from carcloud.lake.tables import Share
from carcloud.lake.workers import scopes_of, times_of
from carcloud.safety.grants.grant import Grain
from carcloud.safety.grants.reach import Part, Reach
from tests.unit.lake.test_query import DAY_US, START_US, Lake, samples

CAR = "car0000000000001"
SECRET = "Vehicle.Cabin.Secret"


def share(*parts: Part) -> Share:
    reach = Reach("default", parts)
    return Share(times_of(reach), scopes_of(reach))


MINE = share(Part(CAR, {"Vehicle.Speed": Grain()}))


def secrets(table: pa.Table) -> pa.Table:
    """Return the rows as texts of another signal, which nobody is to see."""
    texts = pa.array([f"secret {number}" for number in range(table.num_rows)])
    table = table.set_column(1, table.schema.field("signal"), pa.array([SECRET] * table.num_rows))
    table = table.set_column(3, table.schema.field("value"), pa.nulls(table.num_rows, pa.float64()))
    return table.set_column(4, table.schema.field("text"), texts)


@pytest.fixture(scope="module")
def query(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeQuery]:
    lake = Lake(tmp_path_factory.mktemp("share") / "samples")
    for day in range(2):
        lake.write(samples(day=day, cars=3, each=100))
    lake.write(secrets(samples(cars=3, each=5)))
    lake.write(samples(cars=3, each=7, tenant="other"))

    def files() -> tuple[int, list[str]]:
        version, every = lake.files()
        return version, [file for file in every if "tenant=default" in file]

    made = LakeQuery(folder_of(lake.path, "default"), files, lake.signals, lambda: [])
    yield made
    made.close()


def values(query: LakeQuery, sql: str, shared: Share | None) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for row in query.run(sql, share=shared).table.to_pylist()]


def test_only_what_is_granted_shows_in_its_time(query: LakeQuery) -> None:
    count = "SELECT vehicle, signal, count(*) FROM samples GROUP BY ALL ORDER BY ALL"
    assert values(query, count, MINE) == [(CAR, "Vehicle.Speed", 200)]
    later = share(
        Part(CAR, {"Vehicle.Speed": Grain()}, from_us=START_US + DAY_US, until_us=START_US + DAY_US + 500_000)
    )
    assert values(query, count, later) == [(CAR, "Vehicle.Speed", 5)]
    assert values(query, count, share()) == []
    assert len(values(query, count, None)) == 6
    day = values(query, "SELECT DISTINCT day FROM samples", later)
    assert len(day) == 1


def test_numbers_are_as_exact_as_the_most_exact_grant_and_rows_come_once(query: LakeQuery) -> None:
    coarse = Part(CAR, {"Vehicle.Speed": Grain(10, 0, 94)})
    exact = Part(CAR, {"Vehicle.Speed": Grain()}, from_us=START_US + 300_000, until_us=START_US + 500_000)
    sql = "SELECT value FROM samples WHERE day = (SELECT min(day) FROM samples) ORDER BY time"
    found = [row[0] for row in values(query, sql, share(coarse, exact))]
    assert len(found) == 100
    assert found[:6] == [5.0, 5.0, 5.0, 3.0, 4.0, 5.0]
    assert found[-1] == 94.0
    whole = share(Part(CAR, {"Vehicle.Speed": Grain(5)}))
    assert {row[0] for row in values(query, sql, whole)} == {5.0 * number + 2 for number in range(20)}


@pytest.mark.parametrize(
    "sql",
    [
        "EXPLAIN SELECT * FROM samples",
        "EXPLAIN ANALYZE SELECT count(*) FROM samples",
        "SELECT * FROM reach_times",
        "SELECT * FROM temp.main.reach_scopes",
        "SELECT * FROM read_parquet('**/*.parquet')",
        "SELECT * FROM 'samples/tenant=default/*/*.parquet'",
        "SELECT * FROM parquet_scan('/etc/passwd')",
        "SELECT * FROM glob('*')",
        "SELECT * FROM duckdb_views()",
        "SELECT sql FROM duckdb_views",
        "SELECT view_definition FROM information_schema.views",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM query_table('reach_times')",
        "SELECT * FROM sqlite_master",
        "SELECT json_serialize_plan('SELECT max(text) FROM read_parquet(''**/*.parquet'')', optimize := true)",
        "SELECT 'SELECT 1'.json_serialize_plan(optimize := true)",
        "SELECT system.main.json_serialize_plan(text) FROM samples",
        "SELECT json_deserialize_sql(json_serialize_sql('SELECT 1'))",
        "SELECT list_transform(['SELECT 1'], lambda x: json_serialize_plan(x))",
        "FROM samples PIVOT (stats(value) FOR signal IN ('a'))",
        "SELECT stats(text), stats(vehicle) FROM (SELECT * FROM samples) LIMIT 1",
        "SELECT vector_type(vehicle) FROM samples",
        "SELECT current_query_id(), current_transaction_id(), current_connection_id()",
        "CREATE OR REPLACE TEMP VIEW samples AS SELECT 1",
        "DROP VIEW samples",
    ],
)
def test_ways_around_the_share_are_closed(query: LakeQuery, sql: str) -> None:
    with pytest.raises((NotAllowedError, InputError)) as refused:
        query.run(sql, share=MINE)
    assert "secret" not in f"{refused.value.message}{refused.value.do}".replace(sql, "")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT CAST(text AS INTEGER) FROM samples",
        "SELECT * FROM samples WHERE CAST(text AS INTEGER) > 0",
        "SELECT * FROM samples WHERE CASE WHEN text IS NOT NULL THEN error(text) END",
        "SELECT * FROM samples WHERE signal = 'Vehicle.Cabin.Secret' AND error(text) IS NULL",
        "SELECT error(text) FROM samples",
        "SELECT count(*) FROM samples s JOIN samples o ON CAST(o.text AS INTEGER) = 1",
        "WITH s AS MATERIALIZED (SELECT * FROM samples) SELECT * FROM s WHERE CAST(text AS DATE) = DATE '2026-01-01'",
        "SELECT * FROM samples TABLESAMPLE 100% WHERE CAST(text AS INTEGER) > 0",
        "SELECT * FROM (SELECT text FROM samples GROUP BY text HAVING CAST(text AS INTEGER) > 0)",
        "SELECT * FROM samples QUALIFY CAST(text AS INTEGER) > row_number() OVER ()",
        "SELECT * FROM samples WHERE vehicle = (SELECT error(text) FROM samples WHERE text IS NOT NULL)",
        "SELECT * FROM samples ORDER BY CAST(text AS INTEGER) LIMIT 1",
        "WITH reach_times AS (SELECT 'car0000000000000' AS vehicle, 0 AS scope) SELECT * FROM samples",
        "WITH samples AS (SELECT * FROM samples) SELECT * FROM samples",
        "SUMMARIZE samples",
        "SELECT max(text), min(signal), count(DISTINCT vehicle) FROM samples",
        "SELECT table_name, column_name FROM information_schema.columns",
        "SELECT text FROM samples UNION ALL SELECT vehicle FROM samples",
    ],
)
def test_no_statement_tells_of_rows_out_of_reach(query: LakeQuery, sql: str) -> None:
    try:
        said = str(query.run(sql, share=MINE).table.to_pylist())
    except CarcloudError as error:
        said = f"{error.message} {error.do}"
    for word in ("secret ", "car0000000000000", "car0000000000002"):
        assert word not in said.replace(sql, "")


def test_the_same_errors_do_tell_where_all_is_in_reach(query: LakeQuery) -> None:
    """Else the attacks above would prove nothing."""
    with pytest.raises(InputError, match="secret"):
        query.run("SELECT * FROM samples WHERE CASE WHEN text IS NOT NULL THEN error(text) END")


def test_a_share_of_one_car_reads_that_cars_rows_only(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "samples")
    lake.write(samples(cars=10, each=2_000))
    made = LakeQuery(folder_of(lake.path, "default"), lake.files, lake.signals, lambda: [])
    assert values(made, "SELECT count(*) FROM samples", MINE) == [(2_000,)]
    made.close()
