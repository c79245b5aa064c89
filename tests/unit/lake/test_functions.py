"""Which functions a statement may call: those on the list, and no other that the engine has."""

from __future__ import annotations

import duckdb
import pytest

from carcloud.errors import NotAllowedError
from carcloud.lake.functions import FUNCTIONS, IN_A_TABLES_PLACE
from carcloud.lake.statement import read_only

CLOSED_PARTS = (
    "sql",
    "plan",
    "read_",
    "scan",
    "setting",
    "duckdb",
    "pragma",
    "query",
    "sniff",
    "glob",
    "log_",
    "sleep",
)
CLOSED = {"stats", "vector_type", "current_transaction_id", "current_connection_id", "txid_current", "getvariable"}


@pytest.fixture(scope="module")
def engines() -> set[str]:
    """All that the engine has."""
    with duckdb.connect() as session:
        return {name.lower() for (name,) in session.execute("SELECT function_name FROM duckdb_functions()").fetchall()}


def test_the_list_names_what_the_engine_has(engines: set[str]) -> None:
    assert engines >= FUNCTIONS


def test_nothing_on_the_list_reads_parses_or_tells() -> None:
    assert [name for name in FUNCTIONS if any(part in name for part in CLOSED_PARTS)] == []
    assert not FUNCTIONS & CLOSED


def test_what_is_not_on_the_list_is_refused_by_name(engines: set[str]) -> None:
    with duckdb.connect() as session:
        for name in sorted(engines - FUNCTIONS):
            if not name.isidentifier():
                continue
            for sql in (f'SELECT "{name}"(1)', f'SELECT system.main."{name}"(1)', f'SELECT (1)."{name}"()'):
                with pytest.raises(NotAllowedError) as refused:
                    read_only(session, sql)
                assert name in refused.value.message
        for name in sorted(engines - IN_A_TABLES_PLACE):
            if name.isidentifier():
                with pytest.raises(NotAllowedError):
                    read_only(session, f'SELECT * FROM "{name}"(1)')


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT a IS DISTINCT FROM 1, [x + 1 FOR x IN [a] IF x > 1], {'a': a}, MAP {'a': 1}, a BETWEEN 1 AND 2 FROM t",
        "SELECT 'a' LIKE 'a' ESCAPE 'b', 'a' SIMILAR TO 'a', 'a' GLOB 'a', 'a' ILIKE 'b', NOT 'a' ILIKE 'b', 'a' ~ 'b'",
        "SELECT EXTRACT(year FROM now()), now() AT TIME ZONE 'UTC', INTERVAL 1 DAY, current_date, DATE '2026-01-01'",
        "SELECT [1, 2][1:2], [1][1], 1 IN (1, 2), -a, +a, ~1, @a, a ** 2, a // 2, a % 2, 'a' || 'b', 'a' ^@ 'b' FROM t",
        "SELECT '{}'::JSON -> 'a', '{}'::JSON ->> 'a', position('a' IN 'b'), substring('a' FROM 1 FOR 2), trim(' a')",
        "SELECT sum(a) OVER (), count(*) FILTER (WHERE a > 1) OVER (), list_transform([1], lambda x: x) FROM t",
        "SELECT ifnull(a, 1), coalesce(a, 1), nullif(a, 1), CASE WHEN a = 1 THEN 2 END, TRY_CAST('1' AS INT) FROM t",
        "FROM t PIVOT (sum(a) FOR a IN (1, 2))",
        "UNPIVOT t ON a INTO NAME n VALUE v",
        "SELECT a, quantile_cont(a, 0.5), histogram(a), max_by(a, a) FROM t GROUP BY CUBE (a) HAVING grouping(a) = 0",
        "SELECT 'a,b'.string_split(',').list_aggregate('count')",
        "SELECT a COLLATE nocase FROM (VALUES ('a')) t(a)",
        "SELECT * FROM generate_series(1, 3) JOIN range(3) ON true, unnest([1]), json_each('{}')",
    ],
)
def test_plain_analytics_is_open(sql: str) -> None:
    with duckdb.connect() as session:
        session.execute("CREATE TABLE t AS SELECT 1 AS a")
        session.execute(read_only(session, sql).sql).fetchall()
