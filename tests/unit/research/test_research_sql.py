"""The tables of recordings in SQL: for who reaches all cars of the tenant, and nobody else."""

import asyncio
from pathlib import Path

import orjson
import pytest

from carcloud.backends.delta import Reader
from carcloud.errors import InputError, NotAllowedError
from carcloud.lake.asker import Asker
from carcloud.lake.query import LakeQuery, folder_of
from carcloud.lake.recorded import Shown
from carcloud.lake.tables import SCOPES, TIMES, Share
from carcloud.lake.workers import LakeWorkers
from carcloud.research.schemas import SCHEMAS
from carcloud.research.store import Store
from carcloud.safety.grants.reach import Reach
from tests.research import platoon

NOTHING = Share(TIMES.empty_table(), SCOPES.empty_table())


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lake")
    Store(folder).add("ours", [platoon("a"), platoon("b", cars=5)])
    Store(folder, "other").add("theirs", [platoon("c", cars=2)])
    return folder


def query(lake: Path, tenant: str = "default") -> LakeQuery:
    samples = lake / "samples"
    files = Reader(samples, ("tenant", tenant)).live
    shown = Shown(lake, tenant, SCHEMAS)
    return LakeQuery(folder_of(samples, tenant), files, lambda: [], lambda: [], recorded=shown)


def test_all_tables_can_be_asked_with_the_columns_that_the_docs_say(lake: Path) -> None:
    asked = query(lake)
    for name, schema in SCHEMAS.items():
        found = asked.run(f"SELECT * FROM {name}").table
        assert found.schema.names == [column for column in schema.names if column != "tenant"]
    rows = asked.run(
        "SELECT s.name, count(*) AS n, max(t.x) AS far "
        "FROM tracks t JOIN scenarios s USING (scenario) GROUP BY 1 ORDER BY 1"
    ).table.to_pylist()
    assert rows == [{"name": "a", "n": 60, "far": 38.0}, {"name": "b", "n": 100, "far": 38.0}]
    lanes = asked.run('SELECT lane, "left", len(left_edge) AS n FROM lanes WHERE limit_mps > 30').table.to_pylist()
    assert lanes == [{"lane": "1", "left": "2", "n": 22}] * 2


def test_tables_are_listed_and_described(lake: Path) -> None:
    asked = query(lake)
    assert set(SCHEMAS) < {row["name"] for row in asked.run("SHOW TABLES").table.to_pylist()}
    listed = asked.run("SELECT table_name FROM information_schema.columns WHERE column_name = 'recording'").table
    assert set(listed.column(0).to_pylist()) == set(SCHEMAS)
    assert asked.run("DESCRIBE events").table.num_rows == len(SCHEMAS["events"]) - 1


def test_who_reaches_a_share_of_the_cars_sees_none_of_the_tables(lake: Path) -> None:
    asked = query(lake)
    for name in SCHEMAS:
        with pytest.raises(NotAllowedError, match="all cars"):
            asked.run(f"SELECT count(*) FROM {name}", share=NOTHING)
        with pytest.raises(NotAllowedError, match="all cars"):
            asked.run(f"DESCRIBE {name}", share=NOTHING)
    assert {row["name"] for row in asked.run("SHOW TABLES", share=NOTHING).table.to_pylist()}.isdisjoint(SCHEMAS)
    own = asked.run("WITH tracks AS (SELECT 1 AS n) SELECT n FROM tracks", share=NOTHING)
    assert own.table["n"].to_pylist() == [1]


def test_a_tenant_reads_no_file_of_another(lake: Path) -> None:
    for tenant, names in {"default": ["a", "b"], "other": ["c"], "nobody": []}.items():
        asked = query(lake, tenant)
        assert asked.run("SELECT name FROM scenarios ORDER BY 1").table["name"].to_pylist() == names
    theirs = next((lake / "research/scenarios/tenant=other").rglob("*.parquet"))
    session = query(lake)._database.cursor()
    with pytest.raises(Exception, match="Permission Error"):
        session.execute(f"SELECT * FROM read_parquet('{theirs}')")


def test_an_error_names_no_place_on_the_disk(lake: Path) -> None:
    asked = query(lake)
    with pytest.raises(InputError) as refused:
        asked.run("SELECT nothing FROM tracks")
    assert str(lake) not in str(refused.value)
    assert str(lake) not in str(asked.run("EXPLAIN SELECT * FROM tracks").table.to_pylist())


def test_a_recording_that_leaves_is_seen_by_no_later_query(tmp_path: Path) -> None:
    store, asked = Store(tmp_path), query(tmp_path)
    assert asked.run("SELECT count(*) AS n FROM tracks").table["n"].to_pylist() == [0]
    store.add("one", [platoon()])
    assert asked.run("SELECT count(*) AS n FROM tracks").table["n"].to_pylist() == [60]
    store.drop(["one"])
    assert asked.run("SELECT count(*) AS n FROM tracks").table["n"].to_pylist() == [0]


def test_query_processes_show_each_tenant_its_own(lake: Path) -> None:
    def asker(tenant: str, parts: tuple[()] | None = None) -> Asker:
        async def reach() -> Reach:
            return Reach(tenant, parts)

        return Asker(tenant, "person:a", reach)

    async def test() -> None:
        workers = LakeWorkers(lake / "samples", lambda _: [], lambda _: [], recorded=SCHEMAS)
        try:
            for tenant, names in {"default": ["a", "b"], "other": ["c"]}.items():
                reply = await workers.ask(asker(tenant), "SELECT name FROM scenarios ORDER BY 1", {}, 9, "json")
                assert [name for (name,) in orjson.loads(reply.body)["rows"]] == names
            with pytest.raises(NotAllowedError):
                await workers.ask(asker("default", ()), "SELECT * FROM tracks", {}, 9, "json")
        finally:
            await workers.close()

    asyncio.run(test())
