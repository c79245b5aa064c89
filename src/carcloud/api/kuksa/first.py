"""kuksa.val.v1: reading, setting and following, as kuksa-client's `VSSClient` asks for them.

- A path that ends at a branch, or with `*` or `**`, means all below it.
- Values are followed, and nothing else. A target has the time at which it was ordered.
- A client sets an actuator's target only; what a car's value is, the car alone says.
- A set of several is checked whole before any of it is ordered.

Source: kuksa.val.v1, val.proto (github.com/eclipse-kuksa/kuksa-databroker).
"""

from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import grpc
from kuksa.val.v1 import types_pb2 as types
from kuksa.val.v1 import val_pb2 as val
from kuksa.val.v1 import val_pb2_grpc as stubs

from carcloud import __version__
from carcloud.api.kuksa.guests import Guests, answered, bounded, leaf, leaves, once, refuse, set_actuator, status_of
from carcloud.api.kuksa.values import fill, given, metadata_v1, point_v1, stamp
from carcloud.api.ports import Last
from carcloud.api.visit import Visit
from carcloud.errors import CarcloudError, InputError, MissingError, NotAllowedError
from carcloud.gateway.desired import Desired
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.settable import limited

HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: (400, "invalid_argument"),
    grpc.StatusCode.UNAUTHENTICATED: (401, "unauthorized"),
    grpc.StatusCode.PERMISSION_DENIED: (403, "forbidden"),
    grpc.StatusCode.NOT_FOUND: (404, "not_found"),
    grpc.StatusCode.FAILED_PRECONDITION: (409, "conflict"),
    grpc.StatusCode.UNAVAILABLE: (503, "unavailable"),
}
"""Errors stand in the answers of this version with codes like those of HTTP."""


VALUES_ONLY = "Only values are followed; Get reads targets and metadata."


class First(stubs.VALServicer):  # type: ignore[misc]
    """Answers calls of version 1."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    async def GetServerInfo(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Say who answers; who has no good token hears nothing."""
        await answered(context, self._guests.visit(context))
        return val.GetServerInfoResponse(name="carcloud", version=__version__)

    async def Get(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Read values, targets and metadata."""
        return await answered(context, self._get(request, await answered(context, self._guests.visit(context))))

    async def _get(self, request: Any, visit: Visit) -> Any:
        entries, response = bounded(request.entries), val.GetResponse()
        reach = await visit.reach("readTwin")
        signals = visit.signals(reach)
        wanted: dict[str, frozenset[int]] = {}
        for entry in entries:
            try:
                for path in leaves(signals, entry.path):
                    wanted[path] = wanted.get(path, frozenset()) | _fields(entry)
            except MissingError as error:
                response.errors.append(_wrong(entry.path, error))
        if response.errors:
            response.error.CopyFrom(response.errors[0].error)
            return response
        values = await visit.values(reach, bounded(list(wanted)))
        targets: dict[str, Desired] = {}
        if any(types.FIELD_ACTUATOR_TARGET in fields for fields in wanted.values()):
            targets = {one.path: one for one in await visit.desired() if one.state != "refused"}
        for path, fields in wanted.items():
            response.entries.append(_entry(signals[path], fields, values.get(path), targets.get(path)))
        return response

    async def Set(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Set actuators' targets."""
        return await answered(context, self._set(request, await answered(context, self._guests.visit(context))))

    async def _set(self, request: Any, visit: Visit) -> Any:
        response, updates = val.SetResponse(), bounded(request.updates)
        catalogue = visit.ports.catalogue(visit.caller.tenant)
        once([update.entry.path for update in updates])
        ways = partial(_check, catalogue), partial(self._order, visit, only_check=True), partial(self._order, visit)
        for check in ways:
            for update in updates:
                try:
                    if (ordering := check(update)) is not None:
                        await ordering
                except CarcloudError as error:
                    response.errors.append(_wrong(update.entry.path, error))
            if response.errors:
                response.error.CopyFrom(response.errors[0].error)
                break
        return response

    def _order(self, visit: Visit, update: Any, only_check: bool = False) -> Any:
        target = update.entry.actuator_target
        return set_actuator(visit, update.entry.path, lambda signal: given(signal, target), only_check=only_check)

    async def Subscribe(self, request: Any, context: Any) -> AsyncGenerator[Any, None]:  # noqa: N802
        """Follow values."""
        visit = await answered(context, self._guests.visit(context))
        try:
            reach = await visit.reach("readTwin")
            signals, paths = visit.signals(reach), list[str]()
            for entry in bounded(request.entries):
                if (_fields(entry) | _named(entry)) - {types.FIELD_VALUE}:
                    await context.abort(grpc.StatusCode.UNIMPLEMENTED, VALUES_ONLY)
                paths += leaves(signals, entry.path)
            async for values in self._guests.told(visit, reach, bounded(list(dict.fromkeys(paths)))):
                yield val.SubscribeResponse(updates=[_update(signals[path], last) for path, last in values.items()])
        except CarcloudError as error:
            await refuse(context, error)

    async def StreamedUpdate(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Refuse: cars tell their values themselves."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Cars tell their own values; set targets by Set.")


def _fields(entry: Any) -> frozenset[int]:
    """Return which fields an entry asks for, by its view and by name."""
    value, target = {types.FIELD_VALUE}, {types.FIELD_ACTUATOR_TARGET}
    everything = value | target | {types.FIELD_METADATA}
    by_view = {
        types.VIEW_CURRENT_VALUE: value,
        types.VIEW_TARGET_VALUE: target,
        types.VIEW_METADATA: {types.FIELD_METADATA},
        types.VIEW_ALL: everything,
    }
    return frozenset(by_view.get(entry.view, set()) or _named(entry) or value)


def _named(entry: Any) -> set[int]:
    """Return which fields an entry asks for by name."""
    return {min(field, types.FIELD_METADATA) for field in entry.fields if field != types.FIELD_UNSPECIFIED}


def _entry(signal: Signal, fields: frozenset[int], last: Last | None, target: Desired | None) -> Any:
    made = types.DataEntry(path=signal.path)
    if types.FIELD_VALUE in fields and last is not None:
        made.value.CopyFrom(point_v1(signal, last))
    if types.FIELD_ACTUATOR_TARGET in fields and target is not None:
        made.actuator_target.timestamp.CopyFrom(stamp(int(target.at.timestamp() * 1e6)))
        fill(made.actuator_target, signal, target.wanted)
    if types.FIELD_METADATA in fields:
        made.metadata.CopyFrom(metadata_v1(limited(signal)))
    return made


def _update(signal: Signal, last: Last) -> Any:
    entry = types.DataEntry(path=signal.path, value=point_v1(signal, last))
    return val.EntryUpdate(entry=entry, fields=[types.FIELD_VALUE])


def _check(catalogue: Mapping[str, Signal], update: Any) -> None:
    """Raise what is wrong with one update, before any is ordered."""
    signal = leaf(catalogue, update.entry.path)
    if types.FIELD_VALUE in update.fields or update.entry.HasField("value"):
        raise NotAllowedError("Cars tell their own values.", "Set the actuator's target.")
    if not update.entry.HasField("actuator_target"):
        raise InputError("Only an actuator's target can be set.", "Give actuator_target.")
    given(signal, update.entry.actuator_target)


def _wrong(path: str, error: CarcloudError) -> Any:
    code, reason = HTTP.get(status_of(error), (500, "internal"))
    message = f"{error.message} {error.do}".strip()
    return types.DataEntryError(path=path, error=types.Error(code=code, reason=reason, message=message))
