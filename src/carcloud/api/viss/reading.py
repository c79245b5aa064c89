"""What a VISS client reads and sets of a car, by whichever transport it asks."""

from typing import Any

from carcloud.api.times import now
from carcloud.api.visit import Visit
from carcloud.api.viss import capabilities, filters, messages, nodes
from carcloud.errors import InputError, MissingError


async def answer(visit: Visit, path: str, filter_: Any, port: int) -> dict[str, Any]:
    """Return what a request to read is answered with: data, or metadata; of the car, or of this server.

    Args:
        port: where the API listens.

    Raises:
        InputError, MissingError, NotAllowedError: it cannot be answered.
    """
    wanted = filters.parse(filter_)
    filters.check_reading(wanted)
    reach = await visit.reach("readTwin")
    of_server = nodes.dotted(path).partition(".")[0] == capabilities.ROOT
    signals = capabilities.SIGNALS if of_server else visit.signals(reach)
    if wanted.variant == "metadata":
        generations, keys = filters.metadata(wanted.parameter)
        return {"metadata": nodes.metadata(signals, path, wanted.paths, generations, keys)}
    paths = nodes.once(nodes.chosen(signals, path, wanted.paths))
    if of_server:
        values = capabilities.values(port, int(now().timestamp() * 1e6))
    else:
        values = await visit.values(reach, paths)
    if not values:
        raise MissingError("Data temporarily unaccessible.", "The car has not told any of it yet.")
    return {"data": messages.data({path: values.get(path) for path in paths})}


async def assignment(visit: Visit, path: str, given: Any) -> tuple[str, object]:
    """Return the path and the value that a request to set names.

    Raises:
        InputError, MissingError, NotAllowedError: it is nothing that can be set.
    """
    reach = await visit.reach("setValue")
    signals = visit.ports.catalogue(reach.tenant)
    path = nodes.leaf(signals, path)
    signal = signals[path]
    if signal.kind != "actuator":
        raise InputError(f"Update of a {signal.kind} is not supported.", "Only an actuator can be set.")
    return path, messages.read_value(signal, given)
