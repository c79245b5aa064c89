"""Who calls by gRPC, at which car; and what they follow there.

- The token comes as `authorization: Bearer VEHICLE:TOKEN`; without the car's id where the token reaches one car only.
- A stream takes one of the door's places. A slow reader gets the newest values only; nothing piles up for it.

Source: grpc.io, status codes.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

import grpc
from fastapi.concurrency import run_in_threadpool

from carcloud.api.auth import reach_of
from carcloud.api.bearers import Bearers
from carcloud.api.events import LIMIT_STREAMS, WORDS, place_of
from carcloud.api.ports import Access, Last, TwinPorts
from carcloud.api.visit import Visit
from carcloud.errors import CarcloudError, ConflictError, InputError, MissingError, NotAllowedError, TryLaterError
from carcloud.lake.places import Places
from carcloud.safety.grants.reach import Reach
from carcloud.safety.people.accounts import StrangerError
from carcloud.safety.people.caller import Caller
from carcloud.vehicle.catalogue import Signal

LIMIT_PATHS = 2000
LIMIT_BUFFER = 1000
PAUSE_S = 0.05
STATUS: tuple[tuple[type[CarcloudError], Any], ...] = (
    (StrangerError, grpc.StatusCode.UNAUTHENTICATED),
    (InputError, grpc.StatusCode.INVALID_ARGUMENT),
    (MissingError, grpc.StatusCode.NOT_FOUND),
    (ConflictError, grpc.StatusCode.FAILED_PRECONDITION),
    (NotAllowedError, grpc.StatusCode.PERMISSION_DENIED),
    (TryLaterError, grpc.StatusCode.UNAVAILABLE),
)
T = TypeVar("T")


def status_of(error: CarcloudError) -> Any:
    """Return which status of gRPC an error is."""
    return next((code for family, code in STATUS if isinstance(error, family)), grpc.StatusCode.INTERNAL)


async def refuse(context: Any, error: CarcloudError) -> NoReturn:
    """End a call with an error."""
    await context.abort(status_of(error), f"{error.message} {error.do}".strip())
    raise AssertionError("abort does not return")


async def answered(context: Any, work: Awaitable[T]) -> T:
    """Return what a call is answered with, or end it with an error."""
    try:
        return await work
    except CarcloudError as error:
        await refuse(context, error)


class Guests:
    """Lets callers in."""

    def __init__(self, ports: TwinPorts, access: Access) -> None:
        self.ports, self._bearers = ports, Bearers(access, ports.reception.accounts)
        self._places = Places(LIMIT_STREAMS, WORDS)

    async def visit(self, context: Any) -> Visit:
        """Return the caller at their car. Raise StrangerError, InputError or MissingError."""
        said = dict(context.invocation_metadata()).get("authorization", "")
        scheme, _, secret = str(said).partition(" ")
        vehicle, _, token = secret.strip().rpartition(":")
        caller = await self._bearers.caller(token) if scheme.lower() == "bearer" else None
        if caller is None:
            raise StrangerError("The token is missing or wrong.", "Send `authorization: Bearer VEHICLE:TOKEN`.")

        async def still() -> bool:
            return await self._bearers.caller(token) == caller

        return Visit(self.ports, caller, vehicle or await run_in_threadpool(self._only_car, caller), still)

    def _only_car(self, caller: Caller) -> str:
        cars = reach_of(self.ports, caller, "readTwin").cars
        if cars is None:
            cars = frozenset(car.id for car in self.ports.records.vehicles(2, tenant=caller.tenant))
        if len(cars) != 1:
            raise InputError("The token does not say which car.", "Send it as VEHICLE:TOKEN.")
        (car,) = cars
        return car

    async def told(
        self, visit: Visit, reach: Reach, paths: Sequence[str], pause_s: float = PAUSE_S, until_s: float | None = None
    ) -> AsyncGenerator[Mapping[str, Last], None]:
        """Yield the newest values, once also where there are none, then those that change, put together.

        Args:
            pause_s: the least time between two answers. until_s: after how long it ends; None: never.
        """
        give_back = place_of(self._places, self.ports, visit.caller)
        following: asyncio.Future[NoReturn] | None = None
        try:
            first = await visit.values(reach, paths)
            yield first
            waiting: dict[str, Last] = {}
            woken = asyncio.Event()

            def take(fresh: Mapping[str, Last]) -> None:
                new = {path: last for path, last in fresh.items() if first.get(path) != last}
                waiting.update(new)
                if new:
                    woken.set()

            following = asyncio.ensure_future(visit.follow(reach, paths, take))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(until_s):
                    while True:
                        await _either(following, woken)
                        told = dict(waiting)
                        waiting.clear()
                        woken.clear()
                        yield told
                        await asyncio.sleep(pause_s)
        finally:
            if following is not None:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
            give_back()


async def _either(following: "asyncio.Future[NoReturn]", woken: asyncio.Event) -> None:
    """Return once something came; raise what following ended with."""
    waking = asyncio.ensure_future(woken.wait())
    try:
        await asyncio.wait((waking, following), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waking.cancel()
    if following.done():
        following.result()


def leaves(signals: Mapping[str, Signal], path: str) -> list[str]:
    """Return the leaves that a path means: itself, or all below a branch. Raise MissingError where there are none."""
    branch = path.removesuffix("*").removesuffix("*").removesuffix(".")
    found = [path] if path in signals else [one for one in signals if one.startswith(f"{branch}.") or not branch]
    if not found:
        raise MissingError(f"Path {path[:256]} not found.", "List what is there: ListMetadata.")
    return found


def leaf(signals: Mapping[str, Signal], path: str) -> Signal:
    """Return a signal; raise MissingError where there is none."""
    if path not in signals:
        raise MissingError(f"Path {path[:256]} not found.", "List what is there: ListMetadata.")
    return signals[path]


def bounded(paths: Sequence[T]) -> Sequence[T]:
    """Return what a request lists; raise InputError where it lists nothing, or too much."""
    if not 0 < len(paths) <= LIMIT_PATHS:
        raise InputError(f"{len(paths)} signals are asked for.", f"Ask for 1 to {LIMIT_PATHS}.")
    return paths


def once(paths: Sequence[str]) -> None:
    """Raise InputError where a path that is to be set is there twice."""
    for path, times in Counter(paths).items():
        if times > 1:
            raise InputError(f"{path} is to be set {times} times at once.", "Set it once.")


def numbers(signals: Mapping[str, Signal]) -> dict[str, int]:
    """Return the number of each signal, the same for all while the catalogue is."""
    return {path: number for number, path in enumerate(sorted(signals), 1)}


async def set_actuator(visit: Visit, path: str, read: Callable[[Signal], object], *, only_check: bool = False) -> None:
    """Order what sets an actuator to what `read` makes of its signal. Raise what `Visit.set` raises.

    only_check: raise the same, and order nothing.
    """
    signal = leaf(visit.ports.catalogue(visit.caller.tenant), path)
    if signal.kind != "actuator":
        raise InputError(f"{path} is no actuator.", "Only actuators can be set.")
    await (visit.check if only_check else visit.set)(path, read(signal))
