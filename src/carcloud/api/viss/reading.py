"""What a VISS client reads and sets of a car, by whichever transport it asks."""

from typing import Any

from carcloud.api.visit import Visit
from carcloud.api.viss import filters, messages, nodes
from carcloud.errors import InputError, MissingError


async def answer(visit: Visit, path: str, filter_: Any) -> dict[str, Any]:
    """Return what a request to read is answered with: data, or metadata.

    Raises:
        InputError, MissingError, NotAllowedError: it cannot be answered.
    """
    wanted = filters.parse(filter_)
    filters.check_reading(wanted)
    reach = await visit.reach("readTwin")
    signals = visit.signals(reach)
    if wanted.variant == "metadata":
        keys = filters.keys(wanted.parameter)
        chosen = nodes.chosen(signals, path, wanted.paths or ("*",)) if nodes.dotted(path) not in signals else [[]]
        return {"metadata": nodes.metadata(signals, nodes.once(chosen), path, keys)}
    paths = nodes.once(nodes.chosen(signals, path, wanted.paths))
    values = await visit.values(reach, paths)
    if not values:
        raise MissingError("Data temporarily unaccessible.", "The car has not told any of it yet.")
    return {"data": messages.data({path: values[path] for path in paths if path in values})}


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
