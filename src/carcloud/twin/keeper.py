"""The twin's process: folds the stream into the state, answers questions, and tells watchers what changed.

Rules:
* State and position are saved together every few seconds; after a crash the chunks since then are folded again.
* Values older than the governance keeps them are dropped, once an hour and at the start, and the state is saved anew.
* A watch is a lease: whoever renews it every few seconds hears of changes, at most four times a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from carcloud.backends.files import write_flushed
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.errors import CarcloudError, ConflictError, TryLaterError
from carcloud.safety.governance.days import day_of, days_by
from carcloud.safety.governance.policy import Policy
from carcloud.stream import subjects
from carcloud.stream.delays import Delays
from carcloud.stream.follower import Follower
from carcloud.stream.genuine import FORGED, ForgedError, Verify
from carcloud.stream.receipts import DAY_US
from carcloud.twin.state import Cells, TwinState

log = logging.getLogger(__name__)

SAVE_EVERY_S = 5.0
ERASE_EVERY_S = 2.0
EXPIRE_EVERY_S = 3600.0
EXPIRE_AGAIN_S = 5.0
RETENTION = "twin_retention_waits"
TELL_EVERY_S = 0.25
LEASE_S = 15.0
LIMIT_WATCHES = 500
LIMIT_FLEET = 100_000
CELLS_AN_ANSWER = 100_000
"""Values of an answer in columns, at most; a few MiB."""


@dataclass
class _Watch:
    tenant: str
    vehicles: frozenset[str] | None
    paths: frozenset[str] | None
    until: float
    cells: list[Cells] = field(default_factory=list)


class TwinKeeper:
    """Keeps one partition's twin. `folder` holds the saved state.

    `signed(statement, signature)` tells whether the governor's key made the signature; `governance` returns the one in
    force.
    """

    def __init__(
        self,
        cloud: Bus,
        records: Records,
        folder: Path,
        signed: Verify,
        governance: Callable[[], Policy],
        partition: int = 0,
    ) -> None:
        self._cloud, self._records, self._signed, self._partition = cloud, records, signed, partition
        self._governance = governance
        self._file = folder / f"state-{partition}.arrow"
        self._state = TwinState.load(self._file)
        self._watches: dict[str, _Watch] = {}
        self._delays, self._saving = Delays(), asyncio.Lock()
        self._alarms: dict[str, dict[str, str]] = {}
        self._erased = frozenset[str]()

    async def run(self) -> None:
        """Follow the stream and answer until cancelled."""
        await self._cloud.listen(subjects.ERASE, self._on_erase)
        await self._cloud.answer(subjects.TWIN_GET, self._get)
        await self._cloud.answer(subjects.TWIN_FLEET, self._fleet)
        await self._cloud.answer(subjects.TWIN_PRESENCE, self._presence)
        await self._cloud.answer(subjects.TWIN_COLUMNS, self._columns)
        await self._cloud.answer(subjects.TWIN_WATCH, self._watch)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._save_forever())
            tasks.create_task(self._tell_forever())
            tasks.create_task(self._follow())
            tasks.create_task(self._erase_forever())
            tasks.create_task(self._expire_forever())

    def metrics(self) -> dict[str, Any]:
        """Return how many cars report and how far behind the twin is, for the bus."""
        minute_ago = time.time_ns() // 1000 - 60_000_000
        reporting = self._state.reporting(minute_ago)
        twin = {"reporting": sum(reporting.values()), "seen": len(self._state.vehicles)}
        alarms = list(self._alarms.values())
        return {
            "twin": twin,
            "reporting_of": list(reporting.items()),
            "delay": self._delays.spread(),
            "chunk": self._state.chunk,
            "alarms": alarms,
        }

    async def _follow(self) -> None:
        """Fold chunks in; where some are gone, say so and go on with the oldest there is: the twin is about now.

        Where one is not the governor's, say so and wait until the governor has removed it.
        """
        position = self._state.chunk
        follower = Follower(self._cloud, self._signed, self._partition)
        while True:
            try:
                async for chunk in follower.chunks(position):
                    changed = self._state.apply(chunk)
                    if not self._forget():
                        self._note(changed)
                    self._alarms.pop(FORGED, None)
                    self._delays.note([chunk.record.received_us])
            except ForgedError as error:
                self._raise_alarm(FORGED, error)
                position = self._state.chunk
            except ConflictError as error:
                self._raise_alarm("twin_gap", error)
                position = max(follower.oldest - 1, self._state.chunk)
            await asyncio.sleep(1.0)

    def _raise_alarm(self, code: str, error: CarcloudError) -> None:
        log.error("the twin cannot go on as it should", extra={"reason": str(error)})
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._alarms.setdefault(code, {"code": code, "message": error.message, "do": error.do, "since": since})

    def _note(self, changed: Cells) -> None:
        for watch in self._watches.values():
            vehicles = self._state.of(watch.tenant) if watch.vehicles is None else watch.vehicles
            chosen = self._state.chosen(changed, vehicles, watch.paths)
            if len(chosen[0]):
                watch.cells.append(chosen)

    async def _tell_forever(self) -> None:
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            now = time.monotonic()
            self._watches = {name: watch for name, watch in self._watches.items() if watch.until > now}
            for name, watch in self._watches.items():
                if watch.cells:
                    cells, watch.cells = watch.cells, []
                    await self._tell(name, cells)

    async def _tell(self, name: str, cells: list[Cells]) -> None:
        both = np.unique(np.column_stack([np.concatenate([part[at] for part in cells]) for at in (0, 1)]), axis=0)
        changes = self._state.changes((both[:, 0], both[:, 1]))
        for group in _groups(list(changes.items()), 500):
            try:
                await self._cloud.publish(f"{subjects.TWIN_CHANGED}.{name}", orjson.dumps(dict(group)))
            except TryLaterError:
                return

    async def _save_forever(self) -> None:
        pause_s = SAVE_EVERY_S
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            try:
                await self._save()
            except TryLaterError as error:  # the stream keeps what is not saved
                log.warning("the twin is not saved", extra={"reason": str(error)})
            pause_s = max(SAVE_EVERY_S, 20 * (time.monotonic() - began))

    async def _save(self) -> None:
        async with self._saving:
            position, data = self._state.chunk, self._state.dump()
            await asyncio.to_thread(write_flushed, self._file, data)
            await asyncio.to_thread(self._records.set_position, "twin", self._partition, position)

    # erasing

    def _forget(self) -> bool:
        """Drop what is held of erased cars; tell whether there was anything, and then drop what was to be told too."""
        found = [self._state.forget(vehicle) for vehicle in self._erased]
        if any(found):
            self._tell_nothing()
        return any(found)

    def _tell_nothing(self) -> None:
        for watch in self._watches.values():
            watch.cells = []

    async def _on_erase(self, _: str, vehicle: bytes) -> None:
        self._erased |= {vehicle.decode()}
        self._forget()

    async def _erase_forever(self) -> None:
        """Erase what the ledger says, and say so once a saved state stands beyond the last chunk that may hold it."""
        while True:
            try:
                self._erased |= await asyncio.to_thread(self._records.erasures.vehicles)
                self._forget()
                for erasure in await asyncio.to_thread(self._records.erasures.open, "twin"):
                    if self._state.chunk >= (erasure.fence or 0):
                        await self._save()
                        await asyncio.to_thread(self._records.erasures.finish, erasure.id, "twin", {})
            except TryLaterError as error:
                log.warning("erasing waits", extra={"reason": str(error)})
            await asyncio.sleep(ERASE_EVERY_S)

    # retention

    async def _expire_forever(self) -> None:
        while True:
            pause_s = EXPIRE_EVERY_S
            try:
                await self.expire(datetime.now(UTC))
                self._alarms.pop(RETENTION, None)
            except CarcloudError as error:
                pause_s = EXPIRE_AGAIN_S
                self._raise_alarm(RETENTION, error)
            await asyncio.sleep(pause_s)

    async def expire(self, now: datetime) -> None:
        """Drop the values that the governance in force keeps no longer, and save what is left."""
        days_of = days_by(await asyncio.to_thread(self._governance))
        today = day_of(now)

        def earliest_us(path: str) -> int | None:
            days = days_of(path)
            return None if days is None else (today - days) * DAY_US

        if self._state.expire(earliest_us):
            self._tell_nothing()
            await self._save()

    # answers

    async def _get(self, request: bytes) -> bytes:
        asked = orjson.loads(request)
        return orjson.dumps(self._state.values(asked["vehicle"], asked["paths"]))

    async def _fleet(self, request: bytes) -> bytes:
        asked = orjson.loads(request)
        paths, found = asked["paths"], dict[str, list[Any]]()
        for vehicle in self._state.of(asked["tenant"]):
            values = self._state.values(vehicle, paths)
            if values:
                found[vehicle] = [values.get(path) for path in paths]
            if len(found) >= min(asked["limit"], LIMIT_FLEET):
                break
        return orjson.dumps(found)

    async def _presence(self, request: bytes) -> bytes:
        known = {vehicle: self._state.presence(vehicle) for vehicle in orjson.loads(request)}
        return orjson.dumps({vehicle: asdict(presence) for vehicle, presence in known.items() if presence})

    async def _columns(self, request: bytes) -> bytes:
        """Answer with so many cars as fit, the last first: one that takes an erased one's row is not missed."""
        asked = orjson.loads(request)
        paths, below = asked["paths"], asked["below"]
        known = self._state.of(asked["tenant"])[:below]
        first = max(0, len(known) - max(1, CELLS_AN_ANSWER // max(len(paths), 1)))
        rows = self._state.columns(known[first:], paths)
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema.with_metadata({b"below": str(first).encode()})) as writer:
            writer.write_table(rows)
        return bytes(sink.getvalue())

    async def _watch(self, request: bytes) -> bytes:
        asked = orjson.loads(request)
        name, until = asked["name"], time.monotonic() + LEASE_S
        if name in self._watches:
            self._watches[name].until = until
        elif len(self._watches) >= LIMIT_WATCHES:
            return orjson.dumps({"error": f"More than {LIMIT_WATCHES} watches."})
        else:
            vehicles, paths = (None if asked[key] is None else frozenset(asked[key]) for key in ("vehicles", "paths"))
            self._watches[name] = _Watch(asked["tenant"], vehicles, paths, until)
        return orjson.dumps({})


def _groups(items: list[Any], size: int) -> list[list[Any]]:
    return [items[at : at + size] for at in range(0, len(items), size)]
