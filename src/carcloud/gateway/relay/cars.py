"""Which cars a relay tells of, and what the platform knows them by.

Rules:
* A car is told of while the relay names it, it is the tenant's own, its person agrees where only consent makes the
  purpose lawful, and it has a VIN. What was looked up is believed for some seconds, or until a notice says otherwise.
* VINs are opened in this process only, and never logged or stored.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime

from carcloud.backends.records import Records
from carcloud.errors import CarcloudError
from carcloud.safety.flows.flow import Flow
from carcloud.safety.flows.plan import Plan
from carcloud.safety.grants.grant import ZONE, Ground, consents
from carcloud.vehicle.vin import parse_vin

BELIEVE_S = 15.0


class Cars:
    """The cars of one relay. `left_out`: how many of those it names are not told of, by the reason."""

    def __init__(
        self, flow: Flow, plan: Plan, ground: Ground, records: Records, tenant: str, clock: Callable[[], datetime]
    ) -> None:
        self._flow, self._plan, self._ground = flow, plan, ground
        self._records, self._tenant, self._clock = records, tenant, clock
        self._vins: dict[str, str] = {}
        self._met: set[str] = set()
        self.stopped: set[str] = set()
        self.left_out: Counter[str] = Counter()
        self._stale = asyncio.Event()
        self._stale.set()

    @property
    def allowed(self) -> frozenset[str]:
        """Return the ids of the cars that are told of, as last looked up; those that the meter stops left out."""
        return frozenset(self._vins.keys() - self.stopped)

    @property
    def known(self) -> frozenset[str]:
        """Return the ids of the cars of which what waits may be told."""
        return frozenset(self._vins)

    def vin(self, vehicle: str) -> str | None:
        """Return a car's VIN, None where it is not told of."""
        return self._vins.get(vehicle)

    def changed(self) -> None:
        """Take in that something about some car changed."""
        self._stale.set()

    async def watch(self, looked: Callable[[], Awaitable[None]]) -> None:
        """Look again and again who is told of; `looked` is called after each time."""
        while True:
            try:
                async with asyncio.timeout(BELIEVE_S):
                    await self._stale.wait()
            except TimeoutError:
                pass
            self._stale.clear()
            await asyncio.to_thread(self.look)
            await looked()

    def meet(self, names: Iterable[str]) -> None:
        """Look again where a chunk names cars that were not there before. Waits for disk."""
        if new := set(names) - self._met:
            self.look()
            self._met |= new

    def look(self) -> None:
        """Look up who is told of. Waits for disk."""
        own, left_out = self._records.exports.cars(self._tenant), Counter[str]()
        self._met |= own
        named = self._flow.platform.vehicles if self._flow.platform else None
        wanted = own if named is None else own & named
        left_out["unknown"] = 0 if named is None else len(named - own)
        agreed = self._agreed(wanted)
        left_out["without_consent"] = len(wanted - agreed)
        vins = {car: vin for car in agreed if (vin := self._look_up(car))}
        left_out["without_vin"] = len(agreed - vins.keys())
        self._vins, self.left_out = vins, +left_out

    def _agreed(self, wanted: set[str]) -> set[str]:
        if not self._plan.needs_consent:
            return wanted
        now = self._clock()
        held = consents(self._records.grants.held(now, [ZONE], tenant=self._tenant), self._ground, now)
        return {car for car in wanted if self._flow.purpose in held.get(car, ())}

    def _look_up(self, vehicle: str) -> str | None:
        known = self._vins.get(vehicle)
        if known is not None:
            return known
        try:
            return parse_vin(self._records.vehicle(vehicle).vin)
        except CarcloudError:
            return None
