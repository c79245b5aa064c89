"""A zone that says for ever that there is more, and gives no row, is asked slowly and then said to talk nonsense."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from carcloud.backends.records import Records
from carcloud.gateway.replicas import replicator as module
from carcloud.gateway.replicas.replicator import LIMIT_EMPTY, Replicator
from carcloud.safety.flows.reader import NonsenseError, Page
from carcloud.safety.flows.replica import Replica
from tests.stream import CATALOGUE

ROWS = pa.table({"vehicle": pa.array([], pa.string())})


def replicator_of(folder: Path, asked: list[Any]) -> Replicator:
    places = map(str, itertools.count())

    def read(question: dict[str, Any]) -> Page:
        asked.append(question["after"])
        return Page(ROWS, next(places), True, {})

    replica = Replica("from-cn", "https://cn.example", "research", str(folder / "token"))
    records = Records.open(f"sqlite:///{folder}/records.db")
    return Replicator(replica, "default", CATALOGUE, records, None, read)  # type: ignore[arg-type]


def test_pages_without_a_row_become_nonsense_and_the_place_moves_on(tmp_path: Path) -> None:
    asked: list[Any] = []
    made = replicator_of(tmp_path, asked)

    async def steps() -> None:
        for _ in range(LIMIT_EMPTY):
            assert await made.step()
        for _ in range(2):
            with pytest.raises(NonsenseError):
                await made.step()

    asyncio.run(steps())
    assert asked == [None, *map(str, range(LIMIT_EMPTY + 1))]


def test_it_pauses_after_each_page_without_a_row_and_raises_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    made, pauses = replicator_of(tmp_path, asked), list[float]()
    real = asyncio.sleep

    async def sleep(pause: float) -> None:
        pauses.append(pause)
        await real(0)
        if len(pauses) > LIMIT_EMPTY + 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(module.asyncio, "sleep", sleep)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(made.run(asyncio.Semaphore(1)))
    assert min(pauses) >= 1
    assert pauses[-1] > 1
    assert [alarm["code"] for alarm in made.alarms] == ["replica_nonsense"]
