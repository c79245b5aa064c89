"""Query processes: what they answer, and that they can be killed and never outlive who asks."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import psutil
import pyarrow as pa
import pytest

from carcloud.errors import InputError, NotAllowedError, TryLaterError
from carcloud.lake.asker import Asker
from carcloud.lake.settings import QueryLimits
from carcloud.lake.workers import GRACE_S, WORKERS, LakeWorkers
from carcloud.safety.grants.grant import Grain
from carcloud.safety.grants.reach import Part, Reach
from tests.unit.lake.test_query import Lake, samples


def asker(tenant: str = "default", name: str = "person:a", *, reach: Reach | None = None) -> Asker:
    async def found() -> Reach:
        return reach or Reach(tenant)

    return Asker(tenant, name, found)


HOME = asker()
COUNT, CARS = "SELECT count(*) FROM samples", "SELECT vehicle FROM vehicles"
ENDLESS_STEP = "SELECT lpad('x', 2000000000, 'y')"
OWNED = [{"vehicle": "car0000000000000", "state": "active", "enrolled_at": datetime(2026, 1, 1, tzinfo=UTC)}]


@asynccontextmanager
async def workers(folder: Path, **limits: float) -> AsyncIterator[LakeWorkers]:
    made = LakeWorkers(folder / "samples", lambda _: [], lambda _: OWNED, QueryLimits(**limits))  # type: ignore[arg-type]
    try:
        await made.start()
        yield made
    finally:
        await made.close()


async def rows(asked: LakeWorkers, sql: str, **parameters: Any) -> Any:
    return orjson.loads((await asked.ask(HOME, sql, parameters, 100, "json")).body)["rows"]


def processes() -> list[psutil.Process]:
    found = []
    for child in psutil.Process().children():
        with suppress(psutil.Error):  # it has just ended
            found += [child] if "carcloud.lake.worker" in child.cmdline() else []
    return found


def with_workers(folder: Path, test: Callable[[LakeWorkers], Awaitable[None]], **limits: float) -> None:
    async def run() -> None:
        async with workers(folder, **limits) as asked:
            await test(asked)

    asyncio.run(run())
    assert processes() == []


def test_answers_come_in_both_forms_and_side_tables_are_fetched(tmp_path: Path) -> None:
    async def test(asked: LakeWorkers) -> None:
        assert await rows(asked, "SELECT vehicle, $n AS n FROM vehicles", n=2**70) == [["car0000000000000", 2**70]]
        reply = await asked.ask(HOME, "FROM range(20)", {}, 5, "arrow")
        assert pa.ipc.open_stream(reply.body).read_all().column(0).to_pylist() == [0, 1, 2, 3, 4]
        assert reply.truncated
        with pytest.raises(NotAllowedError):
            await rows(asked, "DROP VIEW samples")

    with_workers(tmp_path, test)


def test_endless_step_is_killed_at_the_time_limit_and_the_next_query_is_answered(tmp_path: Path) -> None:
    async def test(asked: LakeWorkers) -> None:
        before, began = {process.pid for process in processes()}, time.monotonic()
        with pytest.raises(InputError, match=r"0\.5 s and was stopped"):
            await rows(asked, ENDLESS_STEP)
        assert time.monotonic() - began < 0.5 + GRACE_S + 15
        assert await rows(asked, "SELECT 1 AS one") == [[1]]
        assert len(before - {process.pid for process in processes()}) == 1

    with_workers(tmp_path, test, time_s=0.5)


@pytest.mark.parametrize("sql", ["SELECT length(repeat('x', 4000000000))", "SELECT range(2000000000)"])
def test_value_beyond_the_memory_is_refused_by_the_limit(tmp_path: Path, sql: str) -> None:
    async def test(asked: LakeWorkers) -> None:
        with pytest.raises(InputError, match="64 MiB of memory"):
            await rows(asked, sql)
        assert await rows(asked, "SELECT 1 AS one") == [[1]]

    with_workers(tmp_path, test, memory_bytes=64 << 20)


def test_answer_larger_than_an_answer_may_be_is_refused(tmp_path: Path) -> None:
    async def test(asked: LakeWorkers) -> None:
        with pytest.raises(InputError, match="larger than 256 MiB"):
            await asked.ask(HOME, "SELECT repeat('x', 1000000) FROM range(270)", {}, 1000, "arrow")

    with_workers(tmp_path, test)


def test_process_killed_in_mid_query_is_replaced(tmp_path: Path) -> None:
    async def test(asked: LakeWorkers) -> None:
        question = asyncio.create_task(rows(asked, ENDLESS_STEP))
        await asyncio.sleep(0.5)
        killed = processes()
        for process in killed:
            process.kill()
        with pytest.raises(TryLaterError, match="starts anew"):
            await question
        assert (await asyncio.to_thread(psutil.wait_procs, killed, 20))[1] == []
        assert [await rows(asked, "SELECT 1 AS one") for _ in range(WORKERS)] == [[[1]]] * WORKERS

    with_workers(tmp_path, test)


def test_query_that_nobody_waits_for_is_killed(tmp_path: Path) -> None:
    async def test(asked: LakeWorkers) -> None:
        question = asyncio.create_task(rows(asked, ENDLESS_STEP))
        await asyncio.sleep(0.5)
        before = {process.pid for process in processes()}
        question.cancel()
        with pytest.raises(asyncio.CancelledError):
            await question
        assert await rows(asked, "SELECT 1 AS one") == [[1]]
        assert before - {process.pid for process in processes()}

    with_workers(tmp_path, test)


def test_a_process_answers_each_tenant_from_their_own_files_and_tables(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "samples")
    for tenant, each in (("a", 1), ("a-b", 2), ("b", 3)):
        lake.write(samples(each=each, tenant=tenant))

    async def run() -> None:
        asked = LakeWorkers(tmp_path / "samples", lambda _: [], lambda tenant: [{"vehicle": f"of {tenant}"}])
        try:
            for tenant, each in [("a", 1), ("b", 3), ("a-b", 2), ("b", 3), ("nobody", 0)] * 2:
                ((found,),) = orjson.loads((await asked.ask(asker(tenant), COUNT, {}, 9, "json")).body)["rows"]
                assert found == 10 * each
                ((car,),) = orjson.loads((await asked.ask(asker(tenant), CARS, {}, 9, "json")).body)["rows"]
                assert car == f"of {tenant}"
        finally:
            await asked.close()

    asyncio.run(run())


def test_process_that_has_grown_gives_way_to_a_fresh_one(tmp_path: Path) -> None:
    async def test(asked: LakeWorkers) -> None:
        before = {process.pid for process in processes()}
        grouped = "SELECT count(*) FROM (SELECT a FROM range(10000000) t(a) GROUP BY a ORDER BY hash(a))"
        assert await rows(asked, grouped) == [[10_000_000]]
        assert [await rows(asked, "SELECT 1 AS one") for _ in range(WORKERS)] == [[[1]]] * WORKERS
        assert before - {process.pid for process in processes()}

    with_workers(tmp_path, test)


ASKER = f"""
import asyncio, sys
from pathlib import Path
from carcloud.lake.workers import LakeWorkers
from carcloud.lake.asker import Asker
from carcloud.safety.grants.reach import Reach

async def reach():
    return Reach("default")

async def main():
    asked = LakeWorkers(Path(sys.argv[1]), lambda _: [], lambda _: [])
    await asked.start()
    print("ready", flush=True)
    await asked.ask(Asker("default", "person:a", reach), "{ENDLESS_STEP}", {{}}, 1, "json")

asyncio.run(main())
"""


def test_asker_killed_in_mid_query_leaves_no_process(tmp_path: Path) -> None:
    asker = subprocess.Popen([sys.executable, "-c", ASKER, str(tmp_path / "samples")], stdout=subprocess.PIPE)
    assert asker.stdout is not None
    assert asker.stdout.readline() == b"ready\n"
    children = psutil.Process(asker.pid).children()
    assert len(children) == WORKERS
    time.sleep(0.3)
    os.kill(asker.pid, signal.SIGKILL)
    asker.wait()
    asker.stdout.close()
    assert psutil.wait_procs(children, 5)[1] == []


def test_what_was_revoked_while_a_question_waited_or_ran_is_not_answered(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "samples")
    lake.write(samples(cars=2, each=3))
    part = Part("car0000000000001", {"Vehicle.Speed": Grain()})
    now = [Reach("default", (part,))]

    async def reach() -> Reach:
        return now.pop(0) if len(now) > 1 else now[0]

    async def test(asked: LakeWorkers) -> None:
        partner = Asker("default", "token:b", reach)
        busy = [asyncio.create_task(rows(asked, ENDLESS_STEP)) for _ in range(WORKERS)]
        await asyncio.sleep(0)
        waits = asyncio.create_task(asked.ask(partner, COUNT, {}, 9, "json"))
        await asyncio.sleep(0)
        now[:] = [Reach("default", ())]
        for one in busy:
            one.cancel()
        assert orjson.loads((await waits).body)["rows"] == [[0]]
        now[:] = [Reach("default", (part,)), Reach("default", ())]
        with pytest.raises(NotAllowedError, match="has changed"):
            await asked.ask(partner, COUNT, {}, 9, "json")
        now[:] = [Reach("default", (part,)), Reach("default", ())]
        with pytest.raises(NotAllowedError, match="has changed"):
            await asked.ask(partner, "SELECT error(vehicle) FROM samples", {}, 9, "json")
        now[:] = [Reach("default", (part,)), Reach("default", (Part("other", {}), part))]
        assert orjson.loads((await asked.ask(partner, COUNT, {}, 9, "json")).body)["rows"] == [[3]]

    with_workers(tmp_path, test)


class Several:
    """A zone with several tenants and no quotas."""

    def queries(self, tenant: str) -> int | None:
        return None

    def several(self) -> bool:
        return True


def test_two_greedy_tenants_do_not_keep_a_third_one_from_its_turn(tmp_path: Path) -> None:
    async def run() -> None:
        asked = LakeWorkers(tmp_path / "samples", lambda _: [], lambda _: [], shares=Several())
        answered: list[str] = []

        async def ask(tenant: str, caller: str) -> None:
            await asked.ask(asker(tenant, caller), "SELECT 1", {}, 1, "json")
            answered.append(tenant)

        try:
            await asked.start()
            greedy = [
                asyncio.create_task(ask(tenant, f"person:{number % 3}")) for number in range(9) for tenant in "ab"
            ]
            await asyncio.sleep(0)
            for tenant in "ab":
                with pytest.raises(TryLaterError, match="Too many"):
                    await ask(tenant, "person:4")
            await ask("c", "person:1")
            assert len(answered) < 9
            await asyncio.gather(*greedy)
        finally:
            await asked.close()

    asyncio.run(run())
