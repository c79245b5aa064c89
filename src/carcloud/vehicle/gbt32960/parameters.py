"""Parameters of a terminal, as a platform asks for them and sets them.

Rules:
* Each parameter has a fixed size, but for names of servers: those are as long as the parameter before them says.
* A parameter without a known size ends the reading: nothing behind it can be found.

Source: GB/T 32960.3-2016 and -2025, annex B (parameters), as public implementations cite them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.frames import Edition
from carcloud.vehicle.gbt32960.layout import ABNORMAL, Abnormal, Number, StructureError, read_count, write_count

ParameterValue = int | str | Abnormal | None


@dataclass(frozen=True)
class Parameter:
    """One parameter. `size` is its bytes; a text of size 0 is as long as parameter `length` says."""

    name: str
    size: int
    text: bool = False
    length: int = 0


_SHARED = {
    0x01: Parameter("storage_period_ms", 2),
    0x04: Parameter("platform_length", 1),
    0x05: Parameter("platform", 0, True, 0x04),
    0x06: Parameter("platform_port", 2),
    0x07: Parameter("hardware", 5, True),
    0x08: Parameter("software", 5, True),
    0x09: Parameter("heartbeat_s", 1),
    0x0A: Parameter("terminal_timeout_s", 2),
    0x0B: Parameter("platform_timeout_s", 2),
    0x0C: Parameter("login_interval_min", 1),
    0x0D: Parameter("public_platform_length", 1),
    0x0E: Parameter("public_platform", 0, True, 0x0D),
    0x0F: Parameter("public_platform_port", 2),
    0x10: Parameter("sampling", 1),
}
PARAMETERS: dict[Edition, dict[int, Parameter]] = {
    Edition.E2016: _SHARED | {0x02: Parameter("report_period_s", 2), 0x03: Parameter("alarm_report_period_ms", 2)},
    Edition.E2025: _SHARED | {0x02: Parameter("report_period_s", 1), 0x03: Parameter("alarm_report_period_s", 1)},
}
"""The parameters of each edition by number."""


def read_ids(data: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """Return a list of parameters that begins at `at`, and where it ends. Raise StructureError."""
    count, at = read_count(data, at, 1, "parameters")
    total = count if isinstance(count, int) else 0
    if at + total > len(data):
        raise StructureError(f"{total} parameters, but {len(data) - at} bytes are left")
    return tuple(data[at : at + total]), at + total


def write_ids(ids: tuple[int, ...]) -> bytes:
    """Return a list of parameters as bytes."""
    return write_count(len(ids), 1, "parameters") + bytes(ids)


def read_values(edition: Edition, data: bytes, at: int) -> tuple[dict[int, ParameterValue], int]:
    """Return parameters and their values, and where they end. Raise StructureError."""
    count, at = read_count(data, at, 1, "parameters")
    values: dict[int, ParameterValue] = {}
    for _ in range(count if isinstance(count, int) else 0):
        number = data[at] if at < len(data) else -1
        known = PARAMETERS[edition].get(number)
        if known is None:
            raise StructureError(f"parameter {number:#04x} is unknown" if number >= 0 else "a parameter is missing")
        length = values.get(known.length) if known.length else known.size
        size = length if isinstance(length, int) else 0
        raw = data[at + 1 : at + 1 + size]
        if len(raw) < size:
            raise StructureError(f"{known.name}: {len(raw)} bytes are left of {size}")
        values[number] = _text(known, raw) if known.text else _number(known, raw)
        at += 1 + size
    return values, at


def _text(known: Parameter, raw: bytes) -> str:
    text = raw.rstrip(b"\0").decode("latin-1")
    if text and not (text.isascii() and text.isprintable()):
        raise StructureError(f"{known.name}: no printable ASCII")
    return text


def _number(known: Parameter, raw: bytes) -> ParameterValue:
    value, top = int.from_bytes(raw, "big"), 256**known.size - 1
    return None if value == top else ABNORMAL if value == top - 1 else value


def write_values(edition: Edition, values: Mapping[int, ParameterValue]) -> bytes:
    """Return parameters and their values as bytes. Raise InputError where one cannot be said."""
    parts = [write_count(len(values), 1, "parameters")]
    for number, value in values.items():
        known = PARAMETERS[edition].get(number)
        if known is None:
            raise InputError(f"There is no parameter {number:#04x}.", "Leave it out.")
        parts.append(bytes([number]))
        if not known.text:
            parts.append(Number(known.name, known.size).raw(value).to_bytes(known.size, "big"))
            continue
        length = values.get(known.length) if known.length else known.size
        text = value.encode("ascii", "replace") if isinstance(value, str) else b""
        size = length if isinstance(length, int) else 0
        if len(text) > size:
            raise InputError(f"{known.name} has {len(text)} bytes, but {size} are said.", "Say its length before it.")
        parts.append(text.ljust(size, b"\0"))
    return b"".join(parts)
