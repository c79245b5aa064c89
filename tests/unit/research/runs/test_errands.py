"""Errands carried out by processes that die, are stopped, or come too early."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from carcloud.backends.records import Records
from carcloud.backends.records.errands import OPEN, Errand
from carcloud.research import errands

AT = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
PATIENCE_S = 60.0


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_EVERY_S", "WATCH_EVERY_S", "AGAIN_AFTER_S"):
        monkeypatch.setattr(errands, name, 0.02)


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    with contextlib.closing(Records.open(f"sqlite:///{tmp_path}/records.db")) as opened:
        yield opened


def carried_out(records: Records, folder: Path, program: str, stop: bool = False) -> tuple[Errand, int]:
    """Carry an errand out by a Python program, which may count its beginnings in the file `begun`."""
    asked = records.errands.ask(Errand("e1", "default", "run", {"planner": "idm"}, "person:p", AT))
    part = errands.Errands(records, lambda _: [sys.executable, "-c", program], folder / "out")
    begun = folder / "begun"

    async def see() -> None:
        task = asyncio.create_task(part.run())
        async with asyncio.timeout(PATIENCE_S):
            while not begun.exists():
                await asyncio.sleep(0.02)
            if stop:
                records.errands.stop("default", "e1", "person:p", AT)
            while records.errands.get("default", "e1").state in OPEN:
                await asyncio.sleep(0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(see())
    return records.errands.get("default", asked.id), begun.stat().st_size


def beginning(folder: Path) -> str:
    return f"open({str(folder / 'begun')!r}, 'a').write('x'); "


def test_errand_whose_process_dies_is_begun_again_and_then_failed(records: Records, tmp_path: Path):
    found, begun = carried_out(records, tmp_path, beginning(tmp_path) + "import os; os.kill(os.getpid(), 9)")
    assert (found.state, begun) == ("failed", errands.LIMIT_TRIES)
    assert "ended 3 times without a word" in found.error


def test_stopped_errand_is_ended_and_stays_stopped(records: Records, tmp_path: Path):
    found, begun = carried_out(records, tmp_path, beginning(tmp_path) + "import time; time.sleep(600)", stop=True)
    assert (found.state, found.error, begun) == ("stopped", "", 1)


def test_errand_that_takes_too_long_is_ended(records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(errands, "LIMIT_S", 1.0)
    found, _ = carried_out(records, tmp_path, beginning(tmp_path) + "import time; time.sleep(600)")
    assert (found.state, found.error) == ("failed", "It took longer than 0.000277778 hours.")


def test_what_is_not_possible_now_is_tried_again(records: Records, tmp_path: Path):
    begun = tmp_path / "begun"
    program = beginning(tmp_path) + (
        f"import os, sys; again = os.path.getsize({str(begun)!r}) < 5; "
        f"again or __import__('sqlite3').connect({str(tmp_path / 'records.db')!r}, isolation_level=None)"
        f".execute(\"UPDATE errands SET state = 'done'\"); sys.exit({errands.TRY_LATER} if again else 0)"
    )
    found, count = carried_out(records, tmp_path, program)
    assert (found.state, count) == ("done", 5), "it is no try that failed"
