"""A process that is watched while it works, and ended where somebody says why."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from carcloud.backends.processes import die_with_parent

Why = Callable[[int, float], Awaitable[str]]
"""Given a process's id and for how many seconds it is there: why it has to end, or nothing."""


async def watched(command: Sequence[str], output: Path, why: Why, every_s: float) -> tuple[int, str]:
    """Run a process; return its exit code, and why it was ended, or nothing.

    Args:
        output: takes what it prints. every_s: seconds between two looks.
    """
    with output.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.DEVNULL, stdout=file, stderr=file, preexec_fn=die_with_parent
        )
    began, found = time.monotonic(), ""
    waiting = asyncio.ensure_future(process.wait())
    try:
        while not (await asyncio.wait({waiting}, timeout=every_s))[0]:
            found = found or await why(process.pid, time.monotonic() - began)
            if found:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return waiting.result(), found
