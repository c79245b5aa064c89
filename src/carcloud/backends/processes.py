"""Local processes: started together, watched, restarted when they die, stopped in good time.

Rules:
* A child that dies is started again at once; one that keeps dying waits longer each time, up to a few seconds.
* When the parent is gone, however it went, its children end too (Linux: the kernel sees to it).
* Stopping asks politely, then kills after a grace, and waits for nobody for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

if sys.platform == "linux":
    import resource

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
LONG_LIFE_S = 10.0
LONGEST_PAUSE_S = 5.0
KILLED_S = 5.0
LOOK_EVERY_S = 0.05
TOLD_S = 0.5
"""How long the loop has to tell how a process ended that is gone."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass
class Child:
    """One supervised process. `since` is when its state began, RFC 3339."""

    name: str
    command: Sequence[str]
    output: Path
    state: str = "down"
    pid: int | None = None
    since: str = ""
    restarts: int = 0
    once: bool = False
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)

    def become(self, state: str, pid: int | None) -> None:
        """Note a new state."""
        self.state, self.pid = state, pid
        self.since = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


class Supervisor:
    """Keeps children running until stopped. `changed` is awaited after every change of a child's state."""

    def __init__(self, changed: Callable[[Child], Awaitable[None]]) -> None:
        self.children: list[Child] = []
        self._changed = changed
        self._tasks: list[asyncio.Task[None]] = []

    def add(self, name: str, command: Sequence[str], output: Path, *, once: bool = False) -> None:
        """Start a child and keep it running; what it prints goes to the file `output`.

        `once`: a child that ends well has done its work and is not started again.
        """
        child = Child(name, command, output, once=once)
        self.children.append(child)
        self._tasks.append(asyncio.create_task(self._keep(child)))

    def states(self) -> dict[str, dict[str, object]]:
        """Return each child's state, as the API shows it."""
        return {
            child.name: {"state": child.state, "pid": child.pid, "since": child.since, "restarts": child.restarts}
            for child in self.children
        }

    def renew(self, name: str) -> None:
        """End a child at once, so that it is started again."""
        for child in self.children:
            if child.name == name and child.process and child.process.returncode is None:
                child.process.kill()

    async def stop(self, grace_s: float) -> None:
        """End the children, the last started first, killing those that outlive the grace."""
        deadline = time.monotonic() + grace_s
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for group in (self.children[1:][::-1], self.children[:1]):
            running = [child.process for child in group if child.process and child.process.returncode is None]
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
            await asyncio.gather(*(_ended(process, deadline) for process in running))

    def kill(self) -> None:
        """Kill all children at once."""
        for child in self.children:
            if child.process and child.process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.process.pid, signal.SIGKILL)

    async def _keep(self, child: Child) -> None:
        pause_s = 0.0
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            try:
                ended_well = await self._run(child) == 0
            except OSError as error:
                ended_well = False
                log.error("a process cannot be started", extra={"child": child.name, "reason": str(error)})
            if child.once and ended_well:
                self.children.remove(child)
                return
            lived = time.monotonic() - began
            pause_s = 0.05 if lived > LONG_LIFE_S else min(LONGEST_PAUSE_S, max(0.1, pause_s * 2))
            child.restarts += 1
            child.become("restarting", None)
            await self._changed(child)

    async def _run(self, child: Child) -> int:
        with child.output.open("ab") as output:
            child.process = await asyncio.create_subprocess_exec(
                *child.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent,
            )
        child.become("up", child.process.pid)
        await self._changed(child)
        code = await child.process.wait()
        log.warning("a process ended", extra={"child": child.name, "code": code})
        return code


def die_with_parent() -> None:
    """Run in the child before its program: the kernel ends it with its parent; a terminal's Ctrl-C is the parent's."""
    os.setpgid(0, 0)
    end_with_parent()


def end_with_parent() -> None:
    """Have the kernel end this process when the one that started it is gone."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def data_bytes() -> int:
    """Return how much writable memory this process has mapped; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    return int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()


def bound_memory(more_bytes: int) -> None:
    """Have the kernel refuse this process more writable memory than it has and this (Linux)."""
    if sys.platform == "linux":
        limit = data_bytes() + more_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def memory_of(pid: int) -> int:
    """Return how much memory another process holds, bytes; 0 where the system does not say, or it is gone."""
    if sys.platform != "linux":
        return 0
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def heed_signals(stopping: asyncio.Event, at_once: Callable[[], None]) -> None:
    """Set the event with the first SIGINT or SIGTERM; call `at_once` and leave with the second."""

    def heard() -> None:
        if stopping.is_set():
            at_once()
            os._exit(1)
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, heard)


async def _ended(process: asyncio.subprocess.Process, deadline: float) -> None:
    """Wait until a process has ended; kill it at the deadline."""
    try:
        async with asyncio.timeout(max(deadline - time.monotonic(), 0.1)):
            await _gone(process)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        try:
            async with asyncio.timeout(KILLED_S):
                await _gone(process)
        except TimeoutError:
            log.error("a killed process does not end", extra={"pid": process.pid})


async def _gone(process: asyncio.subprocess.Process) -> None:
    """Wait until a process is gone, though somebody else may have taken note of it, so that none tells the loop."""
    waiting = asyncio.ensure_future(process.wait())
    try:
        while not waiting.done() and _exists(process.pid):
            await asyncio.wait({waiting}, timeout=LOOK_EVERY_S)
        await asyncio.wait({waiting}, timeout=TOLD_S)
    finally:
        waiting.cancel()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
