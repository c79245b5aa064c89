"""Tables of fields, as they lie on the wire; `units.py` has them.

Rules:
* One table serves both ways, so that what is read and what is written cannot differ.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from carcloud.errors import InputError
from carcloud.vehicle.gbt32960.fields import (
    ABNORMAL,
    Abnormal,
    Codes,
    Many,
    Number,
    Part,
    Readings,
    Row,
    StructureError,
    Value,
)
from carcloud.vehicle.gbt32960.readers import FORMATS, Read, reader

__all__ = [
    "ABNORMAL",
    "Abnormal",
    "Codes",
    "Many",
    "Number",
    "Part",
    "Readings",
    "Row",
    "StructureError",
    "Table",
    "Value",
    "read_count",
    "readings",
    "write_count",
]


class Table:
    """Fields in their order.

    `read` takes a payload and where the fields begin; it gives them, and where they end, or raises StructureError.
    """

    def __init__(self, *parts: Part) -> None:
        self.parts = parts
        self.read: Read = reader(parts)
        self._runs: list[tuple[Number, ...] | Row | Codes | Many] = []
        for part in parts:
            last = self._runs[-1] if self._runs else None
            if isinstance(part, Number) and isinstance(last, tuple):
                self._runs[-1] = (*last, part)
            else:
                self._runs.append((part,) if isinstance(part, Number) else part)

    def write(self, values: Mapping[str, Any]) -> bytes:
        """Return the fields as bytes. Raise InputError where one is absent or cannot be said."""
        try:
            return b"".join(_write(run, values) for run in self._runs)
        except KeyError as error:
            raise InputError(f"The field {error} is absent.", "Say None for what is not known.") from None


def _write(run: tuple[Number, ...] | Row | Codes | Many, values: Mapping[str, Any]) -> bytes:
    if not isinstance(run, tuple):
        return _write_counted(run, values[run.name])
    formats = "".join(FORMATS[number.size] for number in run)
    return struct.pack(f">{formats}", *(number.raw(values[number.name]) for number in run))


def read_count(data: bytes, at: int, size: int, name: str) -> tuple[int | Abnormal | None, int]:
    """Return a count and where it ends; None and ABNORMAL where it is none. Raise StructureError."""
    end = at + size
    if end > len(data):
        raise StructureError(f"{name}: its count is missing")
    count = int.from_bytes(data[at:end], "big")
    top = 256**size - 1
    return (None if count == top else ABNORMAL if count == top - 1 else count), end


def write_count(count: int | Abnormal | None, size: int, name: str) -> bytes:
    """Return a count as bytes. Raise InputError where there are too many."""
    top = 256**size - 1
    raw = top if count is None else top - 1 if isinstance(count, Abnormal) else count
    if isinstance(count, int) and count > top - 2:
        raise InputError(f"{count} {name} are too many.", f"Send at most {top - 2}.")
    return raw.to_bytes(size, "big")


def _write_counted(part: Row | Codes | Many, value: Any) -> bytes:
    size = part.count if isinstance(part, Row) else 1
    if value is None or value is ABNORMAL:
        return write_count(value, size, part.name)
    head = write_count(len(value), size, part.name)
    if isinstance(part, Many):
        return head + b"".join(part.table.write(row) for row in value)
    if isinstance(part, Codes):
        return head + b"".join(Number(part.name, 4, bare=True).raw(code).to_bytes(4, "big") for code in value)
    return head + readings(part, value).raw.tobytes()


def readings(row: Row, values: Readings | Sequence[Value]) -> Readings:
    """Return values as the row sends them. Raise InputError where it cannot say one."""
    if isinstance(values, Readings):
        return Readings(values.raw.astype(f">u{row.size}"), row.per, row.less * row.per)
    number = Number(row.name, row.size, row.per, row.less, row.unit)
    raw = np.array([number.raw(value) for value in values], f">u{row.size}")
    return Readings(raw, row.per, row.less * row.per)
