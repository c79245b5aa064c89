"""SQL over a real Delta table, and what strangers' statements may not do."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from carcloud.errors import InputError, MissingError, NotAllowedError
from carcloud.lake.query import LakeQuery, folder_of
from carcloud.lake.rows import SCHEMA
from carcloud.lake.settings import QueryLimits
from carcloud.lake.tables import TABLES

START_US = 1_790_000_000_000_000
DAY_US = 86_400_000_000


def samples(day: int = 0, cars: int = 10, each: int = 2_000, tenant: str = "default") -> pa.Table:
    """Speed at 10 Hz of some cars, sorted by (vehicle, time)."""
    rows = cars * each
    time = np.tile(np.arange(each) * 100_000, cars) + START_US + day * DAY_US
    return pa.table(
        {
            "vehicle": np.repeat([f"car{number:013d}" for number in range(cars)], each),
            "signal": ["Vehicle.Speed"] * rows,
            "time": pa.array(time, pa.timestamp("us", "UTC")),
            "value": np.tile(np.arange(each, dtype=float), cars),
            "text": pa.nulls(rows, pa.string()),
            "provenance": ["simulated"] * rows,
            "chunk": pa.array(np.full(rows, day + 1), pa.int64()),
            "tenant": [tenant] * rows,
            "day": [datetime.fromtimestamp(START_US / 1e6 + day * 86400, UTC).strftime("%Y-%m-%d")] * rows,
        },
        schema=SCHEMA,
    )


class Lake:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.vehicles_read = 0

    def write(self, rows: pa.Table) -> None:
        write_deltalake(self.path, rows, partition_by=["tenant", "day"], mode="append")

    def files(self) -> tuple[int, list[str]]:
        if not self.path.exists():
            raise MissingError("The lake has no table yet.")
        table = DeltaTable(self.path)
        return table.version(), [str(self.path / uri) for uri in table.get_add_actions()["path"].to_pylist()]

    def signals(self) -> list[dict[str, object]]:
        return [{"path": "Vehicle.Speed", "type": "float", "unit": "km/h", "kind": "sensor", "description": "Speed."}]

    def vehicles(self) -> list[dict[str, object]]:
        self.vehicles_read += 1
        return [{"vehicle": "car0000000000000", "state": "active", "enrolled_at": datetime(2026, 1, 1, tzinfo=UTC)}]

    def query(self, **limits: float) -> LakeQuery:
        about = self.files, self.signals, self.vehicles, QueryLimits(**limits)  # type: ignore[arg-type]
        return LakeQuery(folder_of(self.path, "default"), *about)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    made = Lake(tmp_path / "lake" / "samples")
    made.write(samples(0))
    made.write(samples(1))
    return made


@pytest.fixture
def query(lake: Lake) -> Iterator[LakeQuery]:
    made = lake.query()
    yield made
    made.close()


def test_rows_come_back_with_their_types(query: LakeQuery) -> None:
    answer = query.run("SELECT * FROM samples ORDER BY time, vehicle LIMIT 3")
    assert answer.table.schema == TABLES["samples"]
    assert answer.table["time"][0].as_py() == datetime.fromtimestamp(START_US / 1e6, UTC)
    assert not answer.truncated
    assert answer.elapsed_s > 0


def test_parameters_stand_for_values(query: LakeQuery) -> None:
    sql = "SELECT count(*) AS n FROM samples WHERE vehicle = $vehicle AND time >= $since::TIMESTAMPTZ"
    since = datetime.fromtimestamp(START_US / 1e6 + 86400, UTC)
    for moment in (since, since.isoformat()):
        answer = query.run(sql, {"vehicle": "car0000000000003", "since": moment})
        assert answer.table["n"].to_pylist() == [2_000]


def test_more_rows_than_the_limit_are_cut_and_said_so(query: LakeQuery) -> None:
    answer = query.run("SELECT value FROM samples", limit=7)
    assert (answer.table.num_rows, answer.truncated) == (7, True)
    exact = query.run("SELECT value FROM samples LIMIT 7", limit=7)
    assert (exact.table.num_rows, exact.truncated) == (7, False)
    assert query.run("SELECT value FROM samples", limit=None).table.num_rows == 40_000


def test_catalogue_and_vehicles_join_the_samples(query: LakeQuery) -> None:
    rows = query.run(
        "SELECT v.state, c.unit, max(s.value) AS top FROM samples s JOIN vehicles v USING (vehicle) "
        "JOIN signals c ON c.path = s.signal GROUP BY ALL"
    ).table.to_pylist()
    assert rows == [{"state": "active", "unit": "km/h", "top": 1999.0}]


def test_vehicles_are_fetched_only_when_named(lake: Lake, query: LakeQuery) -> None:
    query.run("SELECT count(*) FROM samples")
    assert lake.vehicles_read == 0
    query.run("WITH v AS (SELECT * FROM vehicles) SELECT count(*) FROM v")
    assert lake.vehicles_read == 1


def test_new_commits_are_seen(lake: Lake, query: LakeQuery) -> None:
    assert query.run("SELECT count(*) AS n FROM samples").table["n"].to_pylist() == [40_000]
    lake.write(samples(2))
    assert query.run("SELECT count(*) AS n FROM samples").table["n"].to_pylist() == [60_000]


def test_lake_without_a_table_answers_with_no_rows(tmp_path: Path) -> None:
    query = Lake(tmp_path / "nothing").query()
    answer = query.run("SELECT * FROM samples")
    assert answer.table.num_rows == 0
    assert answer.table.schema == TABLES["samples"]
    assert query.run("SELECT count(*) AS n FROM samples WHERE time > now()").table["n"].to_pylist() == [0]


@pytest.mark.parametrize(
    "sql",
    [
        "DESCRIBE samples",
        "SHOW TABLES",
        "SUMMARIZE signals",
        "FROM signals;",
        "VALUES (1)",
        "EXPLAIN SELECT * FROM samples",
        "explain analyze SELECT count(*) FROM samples",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM a -- a comment",
        "SELECT * FROM range(3)",
        "SELECT 1 UNION ALL SELECT 2",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) SELECT * FROM t",
        "SELECT unnest([1, 2])",
        "SELECT * FROM information_schema.columns",
        "SELECT time_bucket(INTERVAL 1 MINUTE, time) AS t, avg(value) FROM samples GROUP BY 1",
    ],
)
def test_statements_that_read_are_answered(query: LakeQuery, sql: str) -> None:
    assert query.run(sql).table.num_rows > 0


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('{outside}/keys/ca.key')",
        "SELECT * FROM read_blob('{outside}/keys/ca.key')",
        "SELECT * FROM read_parquet('{outside}/other.parquet')",
        "SELECT * FROM read_parquet('{file}')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '{outside}/other.parquet'",
        "SELECT * FROM 'http://127.0.0.1/x.parquet'",
        "SELECT * FROM '{file}'",
        "DESCRIBE '{file}'",
        'SUMMARIZE "{file}"',
        "SELECT * FROM '{log}'",
        "PIVOT '{file}' ON signal IN ('a') USING avg(value)",
        "SELECT 1 \0 FROM samples",
        "PIVOT samples ON signal USING avg(value)",
        "SELECT * FROM read_parquet('http://127.0.0.1/x.parquet')",
        "SELECT (SELECT content FROM read_text('/etc/passwd'))",
        "EXPLAIN ANALYZE SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM query('SELECT * FROM read_text(''/etc/passwd'')')",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM parquet_metadata('{file}')",
        "SELECT getenv('HOME')",
        "SELECT current_setting('allowed_directories')",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_views",
        "SELECT * FROM information_schema.views",
        "SELECT * FROM pg_catalog.pg_views",
        "SELECT sleep_ms(100000)",
        "COPY (SELECT 1) TO '{outside}/out.csv'",
        "COPY samples TO '{file}'",
        "WITH x AS (COPY (SELECT 1) TO '{file}') SELECT * FROM x",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'",
        "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{file}') SELECT * FROM x",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO '{file}'",
        "EXPLAIN/**/ANALYZE COPY (SELECT 1) TO '{file}'",
        "WITH x AS (INSERT INTO signals VALUES ('a') RETURNING *) SELECT * FROM x",
        "ATTACH '{outside}/x.db'",
        "EXPORT DATABASE '{outside}/x'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA version",
        "CALL pragma_version()",
        "SET threads = 1",
        "SET VARIABLE x = 1",
        "RESET lock_configuration",
        "CREATE TABLE x (a INT)",
        "CREATE OR REPLACE TEMP VIEW samples AS SELECT 1",
        "DROP VIEW samples",
        "DELETE FROM samples",
        "BEGIN",
        "CHECKPOINT",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW samples",
        "",
        "-- nothing",
        "SHOW allowed_directories",
    ],
)
def test_statement_that_leaves_the_lake_or_writes_is_refused(lake: Lake, query: LakeQuery, sql: str) -> None:
    outside = lake.path.parent.parent
    (outside / "keys").mkdir()
    (outside / "keys" / "ca.key").write_text("secret")
    pq.write_table(pa.table({"a": [1]}), outside / "other.parquet")
    _, (file, *_) = lake.files()
    before = Path(file).read_bytes(), sorted(outside.rglob("*"))
    with pytest.raises((InputError, NotAllowedError)) as caught:
        query.run(sql.format(outside=outside, file=file, log=lake.path / "_delta_log" / f"{0:020}.json"))
    assert caught.value.do
    assert "secret" not in str(caught.value)
    assert (Path(file).read_bytes(), sorted(outside.rglob("*"))) == before


@pytest.mark.parametrize("of", ["tenant=other", "tenant=default2", "tenant=default/../tenant=other"])
def test_engine_itself_opens_no_other_tenants_files(lake: Lake, query: LakeQuery, of: str) -> None:
    for tenant in ("other", "default2"):
        lake.write(samples(tenant=tenant, cars=1, each=1))
    with query._database.cursor() as session:
        for sql in (f"SELECT * FROM '{lake.path}/{of}/*/*.parquet'", f"SELECT * FROM glob('{lake.path}/*/*/*')"):
            with pytest.raises(Exception, match="disabled by configuration"):
                session.execute(sql)


def test_engine_itself_refuses_files_and_settings_behind_the_statement_check(lake: Lake, query: LakeQuery) -> None:
    with query._database.cursor() as session:
        for sql in ("SELECT * FROM read_text('/etc/passwd')", "COPY (SELECT 1) TO '/x.csv'", "INSTALL httpfs"):
            with pytest.raises(Exception, match="disabled by configuration"):
                session.execute(sql)
        with pytest.raises(Exception, match="locked"):
            session.execute("SET enable_external_access = true")


@pytest.mark.parametrize(
    ("sql", "message", "where"),
    [
        ("SELECT\n  nope FROM samples", '"nope" not found', "line 2, column 3"),
        ("SELEC 1", "syntax error", "line 1, column 1"),
        ("SELECT 'ä', FROM samples WHERE", "syntax error", "line 1"),
        ("SELECT * FROM sample", 'Did you mean "samples"', "line 1, column 15"),
        ("SELECT value, 'x'::INT FROM samples", "Could not convert", "line 1, column 18"),
        ("EXPLAIN SELEC 1", "syntax error", "line 1, column 9"),
    ],
)
def test_mistake_in_sql_is_explained_with_its_place(
    query: LakeQuery, lake: Lake, sql: str, message: str, where: str
) -> None:
    with pytest.raises(InputError) as caught:
        query.run(sql)
    assert message in caught.value.message
    assert where in caught.value.do
    assert str(lake.path) not in str(caught.value)


def test_missing_parameter_is_named(query: LakeQuery) -> None:
    with pytest.raises(InputError, match="parameters: car"):
        query.run("SELECT * FROM samples WHERE vehicle = $car")


def test_endless_query_is_stopped_at_the_time_limit(lake: Lake) -> None:
    query = lake.query(time_s=0.3)
    with pytest.raises(InputError, match=r"0\.3 s"):
        query.run("SELECT count(*) FROM range(1000000000) a, range(1000) b")
    assert query.run("SELECT 1 AS one").table["one"].to_pylist() == [1]


def test_query_that_needs_too_much_memory_is_refused(lake: Lake) -> None:
    query = lake.query(memory_bytes=30 << 20)
    with pytest.raises(InputError, match="30 MiB"):
        query.run("SELECT a, count(*) FROM range(20000000) t(a) GROUP BY a ORDER BY 2")


def test_plan_prunes_by_vehicle_time_and_day_without_showing_paths(query: LakeQuery, lake: Lake) -> None:
    since = datetime.fromtimestamp(START_US / 1e6 + 86400, UTC).isoformat()
    sql = f"EXPLAIN ANALYZE SELECT avg(value) FROM samples WHERE vehicle = 'car0000000000003' AND time >= '{since}'"
    plan = "\n".join(query.run(sql).table["plan"].to_pylist())
    assert "vehicle = 'car0000000000003'" in plan
    assert "Row Groups Scanned: 1 / 2" in plan
    assert str(lake.path) not in plan
    day = samples(1)["day"][0].as_py()
    by_day = query.run("EXPLAIN ANALYZE SELECT sum(value) FROM samples WHERE day = $day", {"day": day})
    assert "Total Files Read: 1" in "\n".join(by_day.table["plan"].to_pylist())


def test_result_larger_than_asked_for_can_be_streamed(query: LakeQuery) -> None:
    with query.stream("SELECT * FROM samples") as reader:
        assert sum(batch.num_rows for batch in reader) == 40_000


def test_folder_with_a_quote_in_its_name_works(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "o'neill" / "samples")
    os.makedirs(lake.path.parent)
    lake.write(samples())
    assert lake.query().run("SELECT count(*) AS n FROM samples").table["n"].to_pylist() == [20_000]
