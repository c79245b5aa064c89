"""Asking the twin from another process."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from typing import Any

import orjson
import pyarrow as pa

from carcloud.backends.nats import Bus
from carcloud.errors import TryLaterError
from carcloud.stream import subjects
from carcloud.twin.values import Change, Last, Presence

RENEW_EVERY_S = 5.0


class TwinReader:
    """Asks the twin's process over the bus. Every call raises TryLaterError while the twin is away."""

    def __init__(self, cloud: Bus) -> None:
        self._cloud = cloud

    async def get(self, vehicle: str, paths: Sequence[str] | None) -> Mapping[str, Last]:
        """Return a car's values for these exact paths (None: all); {} for a car that never reported."""
        found = await self._ask(subjects.TWIN_GET, {"vehicle": vehicle, "paths": paths})
        return {path: Last(**value) for path, value in found.items()}

    async def fleet(self, tenant: str, paths: Sequence[str], limit: int) -> Mapping[str, Sequence[Last | None]]:
        """Return, for at most `limit` cars of a tenant with one of the paths, the values in the order of the paths."""
        found = await self._ask(subjects.TWIN_FLEET, {"tenant": tenant, "paths": paths, "limit": limit})
        return {car: [None if value is None else Last(**value) for value in values] for car, values in found.items()}

    async def columns(self, tenant: str, paths: Sequence[str]) -> AsyncGenerator[pa.Table, None]:
        """Yield what a tenant's cars that ever reported say of these paths, some cars at once; see `TwinState.columns`.

        A car may come twice, when another is erased meanwhile; the later row counts.
        """
        below: int | None = None
        while below != 0:
            question = {"tenant": tenant, "paths": paths, "below": below}
            answer = await self._cloud.request(subjects.TWIN_COLUMNS, orjson.dumps(question))
            with pa.ipc.open_stream(answer) as reader:
                rows = reader.read_all()
            yield rows.replace_schema_metadata()
            below = int(reader.schema.metadata[b"below"])

    async def presence(self, vehicles: Sequence[str]) -> Mapping[str, Presence]:
        """Return what is known of these cars; cars that never reported are left out."""
        found = await self._ask(subjects.TWIN_PRESENCE, list(vehicles))
        return {vehicle: Presence(**presence) for vehicle, presence in found.items()}

    async def watch(
        self, tenant: str, vehicles: Collection[str] | None, paths: Collection[str] | None
    ) -> AsyncGenerator[Change, None]:
        """Yield changes as they happen, of these cars (None: all of the tenant) and paths (None: all), until closed."""
        name = secrets.token_hex(8)
        changes: asyncio.Queue[Change] = asyncio.Queue(10_000)
        wanted: dict[str, Any] = {"name": name, "tenant": tenant}
        for key, chosen in (("vehicles", vehicles), ("paths", paths)):
            wanted[key] = None if chosen is None else list(chosen)

        async def heard(_: str, data: bytes) -> None:
            for vehicle, signals in orjson.loads(data).items():
                change = Change(vehicle, {path: Last(**value) for path, value in signals.items()})
                if changes.full():
                    changes.get_nowait()
                changes.put_nowait(change)

        stop = await self._cloud.listen(f"{subjects.TWIN_CHANGED}.{name}", heard)
        renewing = asyncio.create_task(self._renew(wanted))
        try:
            while True:
                yield await changes.get()
        finally:
            renewing.cancel()
            await stop()

    async def _renew(self, wanted: dict[str, Any]) -> None:
        while True:
            try:
                await self._ask(subjects.TWIN_WATCH, wanted)
                await asyncio.sleep(RENEW_EVERY_S)
            except TryLaterError:
                await asyncio.sleep(1.0)

    async def _ask(self, subject: str, question: object) -> Any:
        answer = orjson.loads(await self._cloud.request(subject, orjson.dumps(question)))
        if isinstance(answer, dict) and isinstance(answer.get("error"), str):
            raise TryLaterError(answer["error"], "Close a live page and try again.")
        return answer
