"""Children that die are started again, and all of them end in good time."""

import asyncio
import logging
import os
import signal
import sys
import time

from carcloud.backends.processes import Child, Supervisor

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


async def until(done, patience_s: float = 20.0) -> None:
    deadline = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def test_killed_child_is_started_again_and_told_of(tmp_path, caplog):
    told: list[tuple[str, str]] = []

    async def changed(child: Child) -> None:
        told.append((child.name, child.state))

    async def live() -> None:
        supervisor = Supervisor(changed)
        supervisor.add("sleeper", SLEEPER, tmp_path / "out")
        await until(lambda: told)
        (child,) = supervisor.children
        first = child.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.restarts == 1 and child.state == "up")
        assert child.pid != first
        assert supervisor.states()["sleeper"]["restarts"] == 1
        await supervisor.stop(5.0)
        assert child.process.returncode == -signal.SIGTERM

    with caplog.at_level(logging.WARNING):
        asyncio.run(live())
    assert told == [("sleeper", "up"), ("sleeper", "restarting"), ("sleeper", "up")]
    assert [record.child for record in caplog.records if record.message == "a process ended"] == ["sleeper"]


def test_child_that_does_not_heed_is_killed_after_the_grace(tmp_path):
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(60)"
    )

    async def changed(_: Child) -> None:
        pass

    async def live() -> None:
        supervisor = Supervisor(changed)
        supervisor.add("stubborn", [sys.executable, "-c", stubborn], tmp_path / "out")
        await until(lambda: (tmp_path / "out").exists() and (tmp_path / "out").read_text())
        await supervisor.stop(0.3)
        assert supervisor.children[0].process.returncode == -signal.SIGKILL

    asyncio.run(live())
