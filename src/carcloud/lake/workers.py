"""The lake's SQL in processes of its own, which can be killed: no query outlives its time or grows in the asker.

- Two processes, started before they are needed, answer one query each; more wait (`turns`), and too many are sent
  away (`places`).
- What the asker reaches is looked at when their turn comes, and again before the answer goes out.
- A question is a tenant's. It goes to a process that answered that tenant before, where one is free.
- The engine stops a query at its limits. What it cannot stop, one endless step, ends with its process: killed a grace
  after the time is over, or when nobody waits for it any more. Another starts at once.
- When the asker is gone, however it went, the processes end too.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from carcloud.backends.processes import die_with_parent
from carcloud.errors import FAMILIES, CarcloudError, NotAllowedError
from carcloud.lake.asker import Asker, still_open
from carcloud.lake.errors import failed, too_slow
from carcloud.lake.frames import SIZES, frame
from carcloud.lake.places import Places, Words
from carcloud.lake.recorded import packed
from carcloud.lake.settings import LIMIT_ANSWER_BYTES, QueryLimits
from carcloud.lake.tables import SCOPES, TIMES, TenantRows, table
from carcloud.lake.turns import Turns
from carcloud.safety.grants.reach import Reach

WORKERS = 2
LIMIT_WAITING = 16
GRACE_S = 1.0
START_S = 30.0
LIMIT_HEAD_BYTES = 1 << 20
READ_BYTES = 1 << 20
WORDS = Words(
    full=("Too many queries are waiting.", "Ask again in a few seconds."),
    quota=(
        "Your tenant asks the {} queries at once that its quota allows.",
        "Ask again when one is answered, or ask who runs the zone for a larger quota.",
    ),
    own=("You ask {} queries at once, half of what your tenant may.", "Ask again when one is answered."),
)


@dataclass(frozen=True)
class Reply:
    """An answer in its form; `truncated` when there were more rows than asked for; `elapsed_s` in seconds."""

    body: bytes
    truncated: bool
    elapsed_s: float


class LakeWorkers:
    """The lake's SQL for one event loop.

    Args:
        path: folder of the Delta table.
        signals: returns a tenant's catalogue as rows of the table `signals`; called in a thread.
        vehicles: returns a tenant's vehicles as rows of the table `vehicles`; called in a thread.
        tenant: who most likely asks first.
        shares: how much of it a tenant may have at once; None: all.
        recorded: the tables that recordings brought in, which lie beside the table; none where it is left out.
    """

    def __init__(
        self,
        path: Path,
        signals: TenantRows,
        vehicles: TenantRows,
        limits: QueryLimits | None = None,
        tenant: str = "default",
        shares: Shares | None = None,
        recorded: Mapping[str, pa.Schema] | None = None,
    ) -> None:
        self._shares = shares
        self._limits = limits or QueryLimits()
        self._rows: Mapping[str, TenantRows] = {"signals": signals, "vehicles": vehicles}
        told = str(path), json.dumps(asdict(self._limits)), tenant, packed(recorded or {})
        command = [sys.executable, "-m", "carcloud.lake.worker", *told]
        self._workers = [_Worker(command, tenant) for _ in range(WORKERS)]
        self._free = list(self._workers)
        self._places = Places(WORKERS + LIMIT_WAITING, WORDS)
        self._turns = Turns(WORKERS, self._several)

    async def start(self) -> None:
        """Start the processes, so that the first question need not wait for it; what fails, a question is told."""
        await asyncio.gather(*(worker.process() for worker in self._workers), return_exceptions=True)

    async def ask(self, asker: Asker, sql: str, parameters: Mapping[str, Any], limit: int, form: str) -> Reply:
        """Return at most `limit` rows of one read-only statement over what is in reach; `$name` stands for parameters.

        Args:
            form: "arrow" or "json".

        Raises:
            InputError: the statement is wrong, or met a limit.
            NotAllowedError: the statement does more than read the lake, or the asker reaches less than when it began.
            TryLaterError: too many ask, or the engine failed.
        """
        question = {"sql": sql, "parameters": parameters, "limit": limit, "form": form}
        async with self._turn(asker) as worker:
            reach = await asker.reach()
            question |= {"tenant": reach.tenant, "shared": reach.parts is not None}
            try:
                side = partial(self._stream, reach)
                head, body = await worker.ask(question, side, self._limits.time_s + GRACE_S)
            except TimeoutError:
                raise too_slow(self._limits) from None
            except (EOFError, OSError) as error:
                raise failed() from error
        if not still_open(reach, await asker.reach()):
            raise NotAllowedError("What you may see has changed.", "Ask again.")
        if "code" in head:
            raise FAMILIES.get(head["code"], CarcloudError)(head["message"], head["do"])
        return Reply(body, head["truncated"], head["elapsed_s"])

    async def close(self) -> None:
        """End the processes."""
        await asyncio.gather(*(worker.end() for worker in self._workers))

    @asynccontextmanager
    async def _turn(self, asker: Asker) -> AsyncIterator[_Worker]:
        quota = self._shares.queries(asker.tenant) if self._shares else None
        self._places.take(asker.tenant, asker.name, quota, self._several())
        try:
            async with self._turns.turn(asker.tenant):
                worker = next((free for free in self._free if free.tenant == asker.tenant), self._free[0])
                self._free.remove(worker)
                worker.tenant = asker.tenant
                try:
                    yield worker
                finally:
                    self._free.append(worker)
        finally:
            self._places.give_back(asker.tenant, asker.name)

    def _several(self) -> bool:
        return self._shares is not None and self._shares.several()

    def _stream(self, reach: Reach, name: str) -> memoryview:
        sink, rows = pa.BufferOutputStream(), self._table(reach, name)
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        return memoryview(sink.getvalue())

    def _table(self, reach: Reach, name: str) -> pa.Table:
        """Return a table that a query needs, of it what is in reach."""
        if name == "times":
            return times_of(reach)
        if name == "scopes":
            return scopes_of(reach)
        key, only = {"vehicles": ("vehicle", reach.cars), "signals": ("path", reach.paths)}[name]
        return table(name, [row for row in self._rows[name](reach.tenant) if only is None or row[key] in only])


def times_of(reach: Reach) -> pa.Table:
    """Return when which car is in reach, in which scope."""
    kinds = (pa.string(), pa.int32(), pa.int64(), pa.int64())
    found = list(zip(*reach.times, strict=True)) or [()] * len(kinds)
    columns = [pa.array(column, kind) for column, kind in zip(found, kinds, strict=True)]
    return pa.table(columns, names=TIMES.names).cast(TIMES)


def scopes_of(reach: Reach) -> pa.Table:
    """Return the signals of each scope, and how exactly they are shown."""
    rows = [
        (number, path, grain.step, grain.step % 2 == 1, grain.low, grain.high)
        for number, signals in enumerate(reach.scopes)
        for path, grain in signals.items()
    ]
    columns = zip(*rows, strict=True) if rows else [()] * len(SCOPES)
    return pa.table([pa.array(column, each.type) for column, each in zip(columns, SCOPES, strict=True)], schema=SCOPES)


class Shares(Protocol):
    """How many queries a tenant may ask at once, and whether there are several tenants."""

    def queries(self, tenant: str) -> int | None:
        """Return a tenant's quota; None: it has none."""

    def several(self) -> bool:
        """Tell whether there is more than one tenant."""


class _Worker:
    """A place for a process: the one that runs, and after its end the next."""

    def __init__(self, command: list[str], tenant: str) -> None:
        self._command, self.tenant = command, tenant
        self._starting: asyncio.Task[Process] | None = None

    async def process(self) -> Process:
        """Return the process, ready to be asked; start one where none lives."""
        if self._starting is None or _ended(self._starting):
            self._starting = asyncio.create_task(self._start())
        return await asyncio.shield(self._starting)

    async def ask(
        self, question: Mapping[str, Any], side_table: Callable[[str], memoryview], patience_s: float
    ) -> tuple[dict[str, Any], bytes]:
        """Return the head and body of the answer; a process that is given up, for any reason, is replaced.

        Raises:
            TimeoutError: there was no answer in time.
            EOFError, OSError: the process ended.
        """
        try:
            process = await self.process()
            async with asyncio.timeout(patience_s):
                head, body = await _exchange(process, question)
                while "wants" in head:
                    head, body = await _exchange(process, {}, await asyncio.to_thread(side_table, head["wants"]))
        except BaseException:
            self._renew()
            raise
        if head["last"]:
            self._renew()
        return head, body

    async def end(self) -> None:
        """Kill the process and start none."""
        if self._starting is not None:
            await asyncio.wait([self._starting])
            if not _ended(self._starting):
                _kill(self._starting)
                await self._starting.result().wait()

    def _renew(self) -> None:
        if self._starting is not None and self._starting.done():
            _kill(self._starting)
            self._starting = asyncio.create_task(self._start())

    async def _start(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=READ_BYTES, preexec_fn=die_with_parent
        )
        try:
            async with asyncio.timeout(START_S):
                await _hear(process)
        except BaseException as error:
            process.kill()
            if isinstance(error, TimeoutError):
                raise EOFError(f"a query process is not ready after {START_S:.0f} s") from None
            raise
        return process


def _ended(starting: asyncio.Task[Process]) -> bool:
    if not starting.done():
        return False
    return starting.cancelled() or starting.exception() is not None or _dead(starting.result())


def _dead(process: Process) -> bool:
    """Tell whether a process is dead, also where the loop has not heard of it yet."""
    if process.returncode is not None:
        return True
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:  # the loop's own watcher is about to tell
        return True


def _kill(started: asyncio.Task[Process]) -> None:
    if not _ended(started):
        with suppress(ProcessLookupError):
            started.result().kill()


async def _exchange(
    process: Process, head: Mapping[str, Any], body: bytes | memoryview = b""
) -> tuple[dict[str, Any], bytes]:
    assert process.stdin
    process.stdin.writelines(frame(head, body))
    await process.stdin.drain()
    return await _hear(process)


async def _hear(process: Process) -> tuple[dict[str, Any], bytes]:
    assert process.stdout
    head_bytes, body_bytes = SIZES.unpack(await process.stdout.readexactly(SIZES.size))
    if head_bytes > LIMIT_HEAD_BYTES or body_bytes > LIMIT_ANSWER_BYTES:
        raise EOFError("the process says more than it may")
    head: dict[str, Any] = json.loads(await process.stdout.readexactly(head_bytes))
    return head, await process.stdout.readexactly(body_bytes)
