"""The twin and the catalogue as doors to the twin show them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import pyarrow as pa

from carcloud.safety.tenants import seen_by
from carcloud.twin.reader import TwinReader
from carcloud.twin.values import Change, Last, Presence
from carcloud.vehicle.catalogue import Catalogue


class TypedTwin:
    """The twin's values as the catalogue types them: booleans, integers, lists."""

    def __init__(self, twin: TwinReader, catalogue: Catalogue) -> None:
        self._twin, self._catalogue = twin, catalogue

    async def get(self, vehicle: str, paths: Sequence[str] | None) -> Mapping[str, Last]:
        """Return a car's values for these exact paths (None: all)."""
        found = await self._twin.get(vehicle, paths)
        return {path: self._typed(path, last) for path, last in found.items()}

    async def fleet(self, tenant: str, paths: Sequence[str], limit: int) -> Mapping[str, Sequence[Last | None]]:
        """Return values of a tenant's cars, in the order of the paths."""
        found = await self._twin.fleet(tenant, paths, limit)
        return {
            vehicle: [last and self._typed(path, last) for path, last in zip(paths, values, strict=True)]
            for vehicle, values in found.items()
        }

    def columns(self, tenant: str, paths: Sequence[str]) -> AsyncGenerator[pa.Table, None]:
        """Return values of all a tenant's cars, a table at a time, untyped."""
        return self._twin.columns(tenant, paths)

    async def presence(self, vehicles: Sequence[str]) -> Mapping[str, Presence]:
        """Return what is known of these cars."""
        return await self._twin.presence(vehicles)

    async def watch(
        self, tenant: str, vehicles: Collection[str] | None, paths: Collection[str] | None
    ) -> AsyncGenerator[Change, None]:
        """Yield changes as they happen."""
        async with contextlib.aclosing(self._twin.watch(tenant, vehicles, paths)) as changes:
            async for change in changes:
                yield Change(change.vehicle, {path: self._typed(path, last) for path, last in change.signals.items()})

    def _typed(self, path: str, last: Last) -> Last:
        signal = self._catalogue.get(path)
        if signal is None:
            return last
        if isinstance(last.value, str):
            return replace(last, value=json.loads(last.value)) if signal.type.endswith("[]") else last
        if signal.type == "boolean":
            return replace(last, value=bool(last.value))
        return replace(last, value=int(last.value)) if "int" in signal.type and isinstance(last.value, float) else last


def catalogues_of(zone: Catalogue, whose: Mapping[str, frozenset[str]]) -> Callable[..., Catalogue]:
    """Return what gives the zone's catalogue, or a tenant's."""
    return lru_cache(1024)(lambda tenant=None: zone if tenant is None else seen_by(zone, whose, tenant))
