"""All relays of a zone, wired: the fold that fills the spool, and one session each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

from carcloud.assembly.context import together
from carcloud.backends.nats import Bus
from carcloud.backends.records import Records
from carcloud.gateway.relay.cars import Cars
from carcloud.gateway.relay.fold import Fold
from carcloud.gateway.relay.relay import Relay
from carcloud.gateway.relay.spool import Spool
from carcloud.gateway.relay.turns import Turns
from carcloud.safety.flows.meter import Meter
from carcloud.safety.flows.names import Names
from carcloud.safety.flows.plan import Plan
from carcloud.safety.governance.policy import Policy
from carcloud.safety.grants.grant import ground_of
from carcloud.safety.signer import Verifier
from carcloud.settings import Folder, Settings, catalogue_in_force, flows_in_force
from carcloud.stream.follower import Follower


class Relays:
    """The relays that the flows in force declare. `clock`: the time by which back-off and seven days are counted."""

    def __init__(
        self,
        settings: Settings,
        folder: Folder,
        records: Records,
        governance: Policy,
        cloud: Bus,
        clock: Callable[[], datetime],
    ) -> None:
        flows, catalogue = flows_in_force(folder), catalogue_in_force(settings, folder)
        ground, tenant = ground_of(settings.zone, governance, catalogue), settings.tenant
        spool = Spool(folder.relay)
        spool.keep_only(flows.relays)
        self._turns = Turns(spool)
        self._relays: list[tuple[Relay, Plan]] = []
        for flow in flows.relays.values():
            plan = Plan(flow, governance, catalogue)
            cars = Cars(flow, plan, ground, records, tenant, clock)
            self._relays.append((Relay(flow, flows, cars, self._turns, records, tenant, clock), plan))
        meter = Meter(records, Names(folder.keys), clock)
        follower = Follower(cloud, Verifier(folder.keys, "receipt"))
        self._fold = Fold(follower, self._relays, self._turns, records, flows, meter, tenant, clock)

    async def run(self) -> None:
        """Look who is told of, then follow the stream and tell, until cancelled."""
        for relay, _ in self._relays:
            await asyncio.to_thread(relay.cars.look)
            await relay.forget_others()
        works = [relay.cars.watch(relay.forget_others) for relay, _ in self._relays]
        await together(self._fold.run(), *works, *(relay.run() for relay, _ in self._relays))

    async def heard(self, _: str, __: bytes) -> None:
        """Take in that a car, or a grant, changed."""
        for relay, _plan in self._relays:
            relay.cars.changed()

    async def shown(self) -> dict[str, Any]:
        """Return all relays as they are shown to people."""
        return {"relays": [await relay.shown() for relay, _ in self._relays]}

    @property
    def alarms(self) -> list[dict[str, str]]:
        """Return the alarms that stand."""
        gap = self._fold.alarm
        return [*([gap] if gap else []), *(alarm for relay, _ in self._relays for alarm in relay.alarms)]

    def close(self) -> None:
        """Close the spool."""
        self._turns.close()
