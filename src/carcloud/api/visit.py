"""A visit to one car's twin by a door for others' clients: what the caller may read, follow and set there.

- The acts are the API's own (readTwin, readOrders, setValue), and so are reach, refusals and what is noted of them.
- What is followed ends once the caller reaches something else, or is no longer let in.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn, TypeVar

from fastapi.concurrency import run_in_threadpool

from carcloud.api.auth import admit, reach_of
from carcloud.api.events import changed
from carcloud.api.ports import Last, TwinPorts
from carcloud.api.twin import seen
from carcloud.backends.records.orders import Order
from carcloud.errors import NotAllowedError, TryLaterError
from carcloud.gateway.desired import Desired, desired, sources
from carcloud.gateway.setting import check_value, set_value
from carcloud.safety.grants.reach import Reach
from carcloud.safety.people.accounts import StrangerError
from carcloud.safety.people.caller import Caller
from carcloud.stream import subjects
from carcloud.vehicle.catalogue import Signal

T = TypeVar("T")

LOOK_EVERY_S = 5.0
"""How often it is asked whether a caller who follows something is still let in."""
WATCH_STANDS_S = 1.0

Take = Callable[[Mapping[str, Last]], None]


@dataclass(frozen=True)
class Visit:
    """A caller at a car. `still`: tells whether the caller is still let in, and still the same."""

    ports: TwinPorts
    caller: Caller
    vehicle: str
    still: Callable[[], Awaitable[bool]]

    async def reach(self, action: str) -> Reach:
        """Return what the caller reaches by an act on this car; raise MissingError or NotAllowedError."""
        await admit(self.ports, self.caller, action, self.vehicle)
        return await run_in_threadpool(reach_of, self.ports, self.caller, action)

    def signals(self, reach: Reach) -> Mapping[str, Signal]:
        """Return the car's signals that are in reach, by path."""
        known, open_ = self.ports.catalogue(reach.tenant), reach.signals(self.vehicle)
        return known if open_ is None else {path: signal for path, signal in known.items() if path in open_}

    async def values(self, reach: Reach, paths: Sequence[str]) -> dict[str, Last]:
        """Return the newest values of these signals, as exactly as the caller may see them."""
        return seen(reach, self.vehicle, await self.ports.twin.get(self.vehicle, list(paths)))

    async def follow(self, reach: Reach, paths: Collection[str], take: Take) -> NoReturn:
        """Give `take` the signals' newest values, and each newer one as it comes, until that must end.

        Raises:
            NotAllowedError: what the caller reaches has changed.
            StrangerError: the caller is no longer let in.
            TryLaterError: the twin is away.
        """
        told = _newer(take)
        sides = (
            self._collect(reach, paths, told),
            self._read(reach, paths, told),
            self._end_of_reach(reach),
            self._lapse(),
        )
        tasks = [asyncio.ensure_future(one) for one in sides]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            await next(iter(done))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        raise TryLaterError("The twin ended the stream.", "Open it again.")

    async def _collect(self, reach: Reach, paths: Collection[str], take: Take) -> None:
        changes = self.ports.twin.watch(reach.tenant, frozenset({self.vehicle}), frozenset(paths))
        async with aclosing(changes):
            async for change in changes:
                take(seen(reach, change.vehicle, change.signals))

    async def _read(self, reach: Reach, paths: Collection[str], take: Take) -> None:
        """Read the newest values, and once more when the watch surely stands, so that nothing between is missed."""
        take(await self.values(reach, list(paths)))
        await asyncio.sleep(WATCH_STANDS_S)
        take(await self.values(reach, list(paths)))
        await asyncio.Event().wait()

    async def _end_of_reach(self, reach: Reach) -> None:
        await changed(self.ports, self.caller, "readTwin", reach)
        raise NotAllowedError("What you may see has changed.", "Subscribe again.")

    async def _lapse(self) -> None:
        while await self.still():  # noqa: ASYNC110 (nobody tells when a token ends)
            await asyncio.sleep(LOOK_EVERY_S)
        raise StrangerError("The access token is no longer valid.", "Come in with one that is.")

    async def set(self, path: str, value: object) -> Order:
        """Order what sets an actuator; raise what `set_value` raises, and TryLaterError where nobody signs."""
        queued = await self._asked(set_value, path, value)
        await self.ports.notify(subjects.ORDERED, queued.vehicle.encode())
        return queued

    async def check(self, path: str, value: object) -> None:
        """Raise what `set` would raise now, and order nothing."""
        await self._asked(check_value, path, value)

    async def _asked(self, act: Callable[..., Awaitable[T]], path: str, value: object) -> T:
        reach, desk = await self.reach("setValue"), self.ports.orders
        if desk is None:
            raise TryLaterError("This zone has no order signer.", "Start one: carcloud order-signer.")
        records, doors = self.ports.records, self.ports.doors
        return await act(records, desk.signer, desk.look, doors, reach, self.caller.id, self.vehicle, path, value)

    async def desired(self) -> list[Desired]:
        """Return what the car is wanted to be, as far as the caller may see its orders."""
        orders, twin = await self.reach("readOrders"), await self.reach("readTwin")
        return await wanted_of(self.ports, orders, twin, self.vehicle)


async def wanted_of(ports: TwinPorts, orders: Reach, twin: Reach, vehicle: str) -> list[Desired]:
    """Return what a car is wanted to be.

    Args:
        orders: which orders may be seen. twin: which values may be.
    """
    found = await run_in_threadpool(ports.records.orders.newest, orders.tenant, vehicle)
    mine = [one for one in found if orders.orders(vehicle, one.command, one.queued_at)]
    reported = seen(twin, vehicle, await ports.twin.get(vehicle, sources()))
    return desired(mine, {path: last.value for path, last in reported.items()}, datetime.now(UTC))


def _newer(take: Take) -> Take:
    """Return what passes on values that are newer than those before, if there are any."""
    known: dict[str, int] = {}

    def pass_on(values: Mapping[str, Last]) -> None:
        fresh = {path: last for path, last in values.items() if last.time_us > known.get(path, -1)}
        known.update((path, last.time_us) for path, last in fresh.items())
        if fresh:
            take(fresh)

    return pass_on
