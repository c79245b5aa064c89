"""kuksa.val.v2: reading, setting and following, by path or by number.

- A call names leaves; a root for metadata may be a branch, or end with `*`.
- Several are set together only where each of them can be.
- What feeds a databroker with values of a car is not offered: cars do that here, by their own way in.

Source: kuksa.val.v2, val.proto (github.com/eclipse-kuksa/kuksa-databroker).
"""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import grpc
from kuksa.val.v2 import val_pb2 as val
from kuksa.val.v2 import val_pb2_grpc as stubs

from carcloud import __version__
from carcloud.api.kuksa.guests import (
    LIMIT_BUFFER,
    PAUSE_S,
    Guests,
    answered,
    bounded,
    leaf,
    leaves,
    numbers,
    once,
    refuse,
    set_actuator,
)
from carcloud.api.kuksa.values import given, metadata_v2, point_v2
from carcloud.api.ports import Last
from carcloud.api.visit import Visit
from carcloud.errors import CarcloudError, InputError, MissingError, NotAllowedError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.settable import limited

FEEDS = "Cars tell their own values, and carry out themselves what is set."


class Second(stubs.VALServicer):  # type: ignore[misc]
    """Answers calls of version 2."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    async def GetServerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say who answers; who has no good token hears nothing."""
        await answered(context, self._guests.visit(context))
        return val.GetServerInfoResponse(name="carcloud", version=__version__)

    async def GetValue(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Read one value."""
        (point,) = await answered(context, self._points([request.signal_id], context))
        return val.GetValueResponse(data_point=point)

    async def GetValues(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Read values, in the order of the request."""
        return val.GetValuesResponse(data_points=await answered(context, self._points(request.signal_ids, context)))

    async def _points(self, ids: Any, context: Any) -> list[Any]:
        visit = await self._guests.visit(context)
        reach = await visit.reach("readTwin")
        signals = visit.signals(reach)
        paths = [_path(visit, signals, one) for one in bounded(ids)]
        values = await visit.values(reach, list(dict.fromkeys(paths)))
        return [point_v2(signals[path], values.get(path)) for path in paths]

    async def ListMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        """List what is known of a signal, or of all below a branch."""
        return await answered(context, self._metadata(request, context))

    async def _metadata(self, request: Any, context: Any) -> Any:
        visit = await self._guests.visit(context)
        signals, every = visit.signals(await visit.reach("readTwin")), numbers(_every(visit))
        found = leaves(signals, request.root)
        return val.ListMetadataResponse(metadata=[metadata_v2(limited(signals[path]), every[path]) for path in found])

    async def Subscribe(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:  # noqa: N802
        """Follow values by path."""
        async for _, signals, values in self._follow(request, request.signal_paths, context):
            yield val.SubscribeResponse(entries={path: point_v2(signals[path], values[path]) for path in values})

    async def SubscribeById(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:  # noqa: N802
        """Follow values by number."""
        async for visit, signals, values in self._follow(request, request.signal_ids, context):
            every = numbers(_every(visit))
            entries = {every[path]: point_v2(signals[path], values[path]) for path in values}
            yield val.SubscribeByIdResponse(entries=entries)

    async def _follow(
        self, request: Any, asked: Any, context: Any
    ) -> AsyncGenerator[tuple[Visit, Mapping[str, Signal], Mapping[str, Last | None]], None]:
        visit = await answered(context, self._guests.visit(context))
        try:
            if request.buffer_size > LIMIT_BUFFER:
                raise InputError(f"A buffer of {request.buffer_size} is too large.", f"Ask for {LIMIT_BUFFER} at most.")
            reach = await visit.reach("readTwin")
            signals = visit.signals(reach)
            paths = [_named(visit, signals, one) for one in bounded(asked)]
            pause_s = max(request.filter.min_sample_interval.interval_ms / 1000, PAUSE_S)
            until_s = request.filter.duration_ms / 1000 or None
            first = True
            async for values in self._guests.told(visit, reach, list(dict.fromkeys(paths)), pause_s, until_s):
                yield visit, signals, ({path: values.get(path) for path in paths} if first else values)
                first = False
        except CarcloudError as error:
            await refuse(context, error)

    async def Actuate(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Set an actuator's target."""
        await answered(context, self._actuate([request], context))
        return val.ActuateResponse()

    async def BatchActuate(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Set several actuators' targets, where each can be."""
        await answered(context, self._actuate(request.actuate_requests, context))
        return val.BatchActuateResponse()

    async def _actuate(self, asked: Any, context: Any) -> None:
        visit = await self._guests.visit(context)
        every = _every(visit)
        wanted = [(_path(visit, every, one.signal_id), one.value) for one in bounded(asked)]
        once([path for path, _ in wanted])
        for path, value in wanted:
            given(leaf(every, path), value)
        for only_check in (True, False):
            for path, value in wanted:
                await set_actuator(visit, path, partial(_given, value), only_check=only_check)

    async def PublishValue(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse: cars tell their values themselves."""
        await answered(context, self._guests.visit(context))
        await refuse(context, NotAllowedError(FEEDS, "Set an actuator's target by Actuate."))

    async def ActuateStream(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse: each setting is an order of its own."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Each setting is an order; use Actuate or BatchActuate.")

    async def OpenProviderStream(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse: cars provide their values themselves."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, FEEDS)


def _given(value: Any, signal: Signal) -> object:
    return given(signal, value)


def _every(visit: Visit) -> Mapping[str, Signal]:
    found: Mapping[str, Signal] = visit.ports.catalogue(visit.caller.tenant)
    return found


def _path(visit: Visit, signals: Mapping[str, Signal], asked: Any) -> str:
    return _named(visit, signals, asked.path if asked.HasField("path") else asked.id)


def _named(visit: Visit, signals: Mapping[str, Signal], asked: str | int) -> str:
    if isinstance(asked, int):
        named = sorted(_every(visit))
        if not 0 < asked <= len(named):
            raise MissingError(f"Signal {asked} not found.", "List what is there: ListMetadata.")
        asked = named[asked - 1]
    return leaf(signals, asked).path
