"""The supervisor with real children."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from carcloud.backends import processes
from carcloud.backends.processes import Child, Supervisor

SLEEPER = [sys.executable, "-Sc", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-Sc",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('on', flush=True); time.sleep(60)",
]


async def nobody(_: Child) -> None:
    """Hear nothing."""


async def until(question) -> None:
    async with asyncio.timeout(10):
        while not question():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_child_that_dies_is_started_again_and_its_state_is_told(tmp_path):
    heard: list[tuple[str, int | None]] = []

    async def changed(child: Child) -> None:
        heard.append((child.state, child.pid))

    async def run() -> None:
        supervisor = Supervisor(changed)
        supervisor.add("one", SLEEPER, tmp_path / "one.out")
        assert supervisor.states()["one"]["state"] == "down"
        await until(lambda: heard)
        first = heard[0][1]
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(heard) == 3)
        second = heard[2][1]
        assert heard == [("up", first), ("restarting", None), ("up", second)]
        assert first != second
        state = supervisor.states()["one"]
        assert (state["state"], state["pid"], state["restarts"]) == ("up", second, 1)
        assert state["since"].endswith("Z")
        await supervisor.stop(5)
        assert not alive(second)

    asyncio.run(run())


def test_one_that_keeps_dying_waits_longer_each_time_up_to_a_limit(tmp_path, monkeypatch):
    pauses: list[float] = []
    real = asyncio.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await real(0)

    monkeypatch.setattr(processes.asyncio, "sleep", noted)

    async def run() -> None:
        supervisor = Supervisor(nobody)
        supervisor.add("dying", ["/bin/false"], tmp_path / "dying.out")
        while len(pauses) < 9:
            await real(0.01)
        await supervisor.stop(1)

    asyncio.run(run())
    assert pauses[:9] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


def test_one_that_lived_long_is_started_again_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "LONG_LIFE_S", 0.0)
    states: list[str] = []

    async def changed(child: Child) -> None:
        states.append(child.state)

    async def run() -> None:
        supervisor = Supervisor(changed)
        supervisor.add("dying", ["/bin/false"], tmp_path / "dying.out")
        began = time.monotonic()
        await until(lambda: states.count("restarting") >= 4)
        assert time.monotonic() - began < 15
        await supervisor.stop(1)

    asyncio.run(run())


def test_a_program_that_cannot_be_started_is_tried_again(tmp_path, caplog):
    program = tmp_path / "program"

    async def run() -> None:
        supervisor = Supervisor(nobody)
        supervisor.add("missing", [str(program)], tmp_path / "out")
        await until(lambda: supervisor.children[0].restarts)
        program.write_text("#!/bin/sh\nsleep 60\n")
        program.chmod(0o700)
        await until(lambda: supervisor.children[0].state == "up")
        await supervisor.stop(5)

    asyncio.run(run())
    assert "cannot be started" in caplog.text


def test_stopping_kills_a_stubborn_child_within_the_grace_and_the_first_child_ends_last(tmp_path):
    ended: list[str] = []

    async def run() -> None:
        supervisor = Supervisor(nobody)
        for name, command in (("broker", SLEEPER), ("stubborn", STUBBORN), ("polite", SLEEPER)):
            supervisor.add(name, command, tmp_path / name)
        await until(lambda: all(child.state == "up" for child in supervisor.children))
        await until(lambda: (tmp_path / "stubborn").read_text())
        watching = [asyncio.create_task(watched(child)) for child in supervisor.children]
        began = time.monotonic()
        await supervisor.stop(0.5)
        assert 0.4 < time.monotonic() - began < 15
        await asyncio.gather(*watching)
        assert not any(alive(child.process.pid) for child in supervisor.children)
        codes = {child.name: child.process.returncode for child in supervisor.children}
        assert codes == {"broker": -signal.SIGTERM, "stubborn": -signal.SIGKILL, "polite": -signal.SIGTERM}

    async def watched(child: Child) -> None:
        await child.process.wait()
        ended.append(child.name)

    asyncio.run(run())
    assert ended == ["polite", "stubborn", "broker"]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children with their parent on Linux only")
def test_children_die_with_a_parent_that_was_killed(tmp_path):
    program = f"""
import asyncio
from pathlib import Path
from carcloud.backends.processes import Supervisor

async def told(child):
    if child.pid:
        print(child.pid, flush=True)

async def run():
    Supervisor(told).add("child", {STUBBORN!r}, Path({str(tmp_path / "out")!r}))
    await asyncio.sleep(60)

asyncio.run(run())
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        child = int(parent.stdout.readline())
        deadline = time.monotonic() + 10
        while not (tmp_path / "out").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert alive(child)
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    with contextlib.suppress(ProcessLookupError):
        assert not alive(child)


def test_what_a_child_prints_goes_to_its_file_and_ctrl_c_is_the_parents(tmp_path):
    lines = "import os, sys", "print(os.getpgid(0) == os.getpid())", "print('err', file=sys.stderr)"
    program = "; ".join((*lines, "print(sys.stdin.read() == '')"))

    async def run() -> None:
        supervisor = Supervisor(nobody)
        supervisor.add("talker", [sys.executable, "-Sc", program], tmp_path / "out")
        await until(lambda: supervisor.children[0].restarts)
        await supervisor.stop(1)

    asyncio.run(run())
    assert sorted(set((tmp_path / "out").read_text().split())) == ["True", "err"]


class Reaped:
    """A process of which somebody else took note, so that the loop never hears that it is gone."""

    def __init__(self) -> None:
        self._program = subprocess.Popen(SLEEPER)
        self.pid, self.returncode = self._program.pid, None

    async def wait(self) -> int:
        return await asyncio.get_running_loop().create_future()

    def terminate(self) -> None:
        self._program.terminate()
        self._program.wait()

    def kill(self) -> None:
        raise ProcessLookupError


def test_stopping_does_not_wait_for_one_that_is_gone_and_nobody_tells_of(tmp_path):
    async def run() -> None:
        supervisor, gone = Supervisor(nobody), Reaped()
        supervisor.children.append(Child("reaped", SLEEPER, tmp_path / "out", process=gone))
        async with asyncio.timeout(30):
            await supervisor.stop(60)
        assert not alive(gone.pid)

    asyncio.run(run())


def test_stopping_gives_up_on_one_that_cannot_be_killed(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(processes, "KILLED_S", 0.2)
    stuck = Reaped()

    async def run() -> None:
        stuck.terminate = lambda: None
        supervisor = Supervisor(nobody)
        supervisor.children.append(Child("stuck", SLEEPER, tmp_path / "out", process=stuck))
        async with asyncio.timeout(30):
            await supervisor.stop(0.2)

    asyncio.run(run())
    assert "does not end" in caplog.text
    Reaped.terminate(stuck)


def test_a_second_signal_ends_at_once():
    program = """
import asyncio
from carcloud.backends.processes import heed_signals

async def run():
    stopping = asyncio.Event()
    heed_signals(stopping, lambda: print("killed", flush=True))
    print("on", flush=True)
    await stopping.wait()
    print("stopping", flush=True)
    await asyncio.sleep(600)

asyncio.run(run())
"""
    running = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout.readline() == "on\n"
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "stopping\n"
        running.send_signal(signal.SIGTERM)
        assert running.stdout.readline() == "killed\n"
        assert running.wait(60) == 1
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
