"""Values and metadata as kuksa.val writes them: the same fields in its versions 1 and 2, in other messages.

- Small integers travel in 32 bits; what a signal's type cannot hold is refused, never cut.

Source: kuksa.val.v1 and kuksa.val.v2, types.proto (github.com/eclipse-kuksa/kuksa-databroker).
"""

import math
from collections.abc import Mapping
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from kuksa.val.v1 import types_pb2 as v1
from kuksa.val.v2 import types_pb2 as v2

from carcloud.api.ports import Last
from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Signal

FIELDS: Mapping[str, str] = {
    "boolean": "bool",
    "string": "string",
    "float": "float",
    "double": "double",
    **{f"{sign}{bits}": f"{sign}{max(bits, 32)}" for sign in ("int", "uint") for bits in (8, 16, 32, 64)},
}
KINDS = ("attribute", "sensor", "actuator")


def fill(message: Any, signal: Signal, value: Any) -> None:
    """Write a value of a signal into a message that holds one."""
    base = signal.type.removesuffix("[]")
    if signal.type.endswith("[]"):
        array = getattr(message, f"{FIELDS[base]}_array")
        array.SetInParent()
        array.values.extend(value)
    else:
        setattr(message, FIELDS[base], value)


def stamp(time_us: int) -> Timestamp:
    """Return a time as protobuf writes it."""
    return Timestamp(seconds=time_us // 1_000_000, nanos=time_us % 1_000_000 * 1000)


def point_v1(signal: Signal, last: Last) -> Any:
    """Return a value with its time, of version 1."""
    made = v1.Datapoint(timestamp=stamp(last.time_us))
    fill(made, signal, last.value)
    return made


def point_v2(signal: Signal, last: Last | None) -> Any:
    """Return a value with its time, of version 2; an empty one where none is known."""
    made = v2.Datapoint()
    if last is not None:
        made.timestamp.CopyFrom(stamp(last.time_us))
        fill(made.value, signal, last.value)
    return made


def given(signal: Signal, message: Any) -> float | int | bool | str:
    """Return the value that a message gives for a signal; raise InputError where it is none of the signal's."""
    field = message.WhichOneof(message.DESCRIPTOR.oneofs[0].name)
    value: Any = getattr(message, field) if field else None
    wants = {"boolean": bool, "string": str}.get(signal.type, int if "int" in signal.type else float)
    if wants is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if signal.type not in FIELDS or type(value) is not wants or (isinstance(value, float) and not math.isfinite(value)):
        raise InputError(f"{signal.path}: the value is of another type.", f"Send one of type {signal.type}.")
    sent: Any = value
    number = not isinstance(sent, str)
    if (signal.allowed and sent not in signal.allowed) or (number and not signal.low <= sent <= signal.high):
        raise InputError(f"{signal.path}: the value is out of range.", "See its metadata for what it may be.")
    found: float | int | bool | str = sent
    return found


def _type(signal: Signal, of: Any) -> int:
    name = signal.type.upper().replace("[]", "_ARRAY")
    found: int = of.DataType.Value(f"DATA_TYPE_{name}")
    return found


def _kind(signal: Signal, of: Any) -> int:
    found: int = of.EntryType.Value(f"ENTRY_TYPE_{signal.kind.upper()}")
    return found


def metadata_v1(signal: Signal) -> Any:
    """Return what is known of a signal, of version 1."""
    made = v1.Metadata(data_type=_type(signal, v1), entry_type=_kind(signal, v1), description=signal.description)
    if signal.unit:
        made.unit = signal.unit
    getattr(made, signal.kind).SetInParent()
    limits = {name: value for name, value in (("min", signal.min), ("max", signal.max)) if value is not None}
    field = FIELDS[signal.type.removesuffix("[]")]
    if field == "string":
        if signal.allowed:
            made.value_restriction.string.allowed_values.extend(map(str, signal.allowed))
    elif field != "bool" and (limits or signal.allowed):
        name = "floating_point" if field in ("float", "double") else "unsigned" if field[0] == "u" else "signed"
        number = float if name == "floating_point" else int
        restriction = getattr(made.value_restriction, name)
        for bound, value in limits.items():
            setattr(restriction, bound, number(value))
        restriction.allowed_values.extend(map(number, signal.allowed))
    return made


def metadata_v2(signal: Signal, number: int) -> Any:
    """Return what is known of a signal, of version 2. `number`: by which it may be asked for."""
    made = v2.Metadata(
        path=signal.path,
        id=number,
        data_type=_type(signal, v2),
        entry_type=_kind(signal, v2),
        description=signal.description,
        unit=signal.unit or "",
    )
    base = signal.type.removesuffix("[]")
    number_of = float if FIELDS[base] in ("float", "double") else int
    for name, bound in (("min", signal.min), ("max", signal.max)):
        if bound is not None and base not in ("boolean", "string"):
            setattr(getattr(made, name), FIELDS[base], number_of(bound))
    if signal.allowed:
        values = [str(one) if base == "string" else number_of(one) for one in signal.allowed]
        getattr(made.allowed_values, f"{FIELDS[base]}_array").values.extend(values)
    return made
