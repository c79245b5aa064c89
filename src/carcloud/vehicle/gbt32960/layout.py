"""How a table of fields is read from bytes and written to them; `units.py` has the tables.

Rules:
* One table serves both ways, so that what is read and what is written cannot differ.
* All ones means missing (None), all ones less one means abnormal (ABNORMAL); a count like that carries no items.
* Steps are divided, not multiplied, so that 12.3 is 12.3 and goes back to the very same bytes.
* Sizes are compared with what is there before anything is read.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache, cached_property
from operator import getitem
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError


class Abnormal(Enum):
    """The value of a field whose sensor says that it does not work."""

    ABNORMAL = "abnormal"


ABNORMAL: Final = Abnormal.ABNORMAL

Value = int | float | Abnormal | None
"""A field's value: a number, missing, or abnormal."""

_FORMATS = {1: "B", 2: "H", 4: "I"}
_DTYPES = {1: ">u1", 2: ">u2", 4: ">u4"}


class StructureError(Exception):
    """Bytes that do not hold what their table says. It never leaves this package: readers turn it into a fault."""


@dataclass(frozen=True, eq=False)
class Readings:
    """Many values of one kind. `raw`: (n,) unsigned as sent; a value is (raw - less) / per."""

    raw: NDArray[Any]
    per: int = 1
    less: int = 0

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Readings) and np.array_equal(self.raw, other.raw)

    __hash__ = None  # type: ignore[assignment]

    @property
    def values(self) -> NDArray[np.float64]:
        """Return the values, (n,); NaN where one is missing or abnormal."""
        values = self.raw.astype(np.float64)
        gone = values >= 256**self.raw.itemsize - 2
        if self.less:
            values -= self.less
        if self.per != 1:
            values /= self.per
        values[gone] = np.nan
        return values

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Tell which are abnormal, (n,)."""
        return np.asarray(self.raw == np.iinfo(self.raw.dtype).max - 1)


@dataclass(frozen=True)
class Number:
    """A number of `size` bytes in steps of 1/`per` of `unit`, beginning at -`less`.

    A `bare` one uses all its bytes: bits, say, that have no missing and no abnormal.
    """

    name: str
    size: int
    per: int = 1
    less: int = 0
    unit: str = ""
    bare: bool = False

    @property
    def top(self) -> int:
        """Return the largest raw value that is a value."""
        return int(256**self.size) - (1 if self.bare else 3)

    def raw(self, value: object) -> int:
        """Return a value as sent. Raise InputError where the field cannot say it."""
        if value is None and not self.bare:
            return self.top + 2
        if value is ABNORMAL and not self.bare:
            return self.top + 1
        if isinstance(value, int | float) and math.isfinite(value):
            raw = round(value * self.per) + self.less * self.per
            if 0 <= raw <= self.top:
                return raw
        low, high = -self.less, self.top / self.per - self.less
        raise InputError(f"{value!r} is no {self.name}.", f"Say a number from {low} to {high:g} {self.unit}".rstrip())


@dataclass(frozen=True)
class Row:
    """A count of `count` bytes and as many numbers of `size` bytes: `Readings`."""

    name: str
    count: int
    size: int
    per: int = 1
    less: int = 0
    unit: str = ""


@dataclass(frozen=True)
class Codes:
    """A count of one byte and as many fault codes of four bytes: a tuple of int."""

    name: str


@dataclass(frozen=True)
class Many:
    """A count of one byte and as many rows of a table: a tuple of dicts."""

    name: str
    table: Table


Part = Number | Row | Codes | Many


class _Steps:
    """The values of a field of four bytes by what was sent; of smaller ones there is a tuple."""

    def __init__(self, number: Number) -> None:
        self._top, self._less, self._per = number.top, number.less * number.per, number.per

    def __getitem__(self, raw: int) -> Value:
        if raw > self._top:
            return ABNORMAL if raw == self._top + 1 else None
        return raw - self._less if self._per == 1 else (raw - self._less) / self._per


@cache
def _values(size: int, per: int, less: int, bare: bool) -> tuple[Value, ...]:
    """Return the values of all that a field of one or two bytes can send: to look one up is the fastest way."""
    steps = _Steps(Number("", size, per, less, bare=bare))
    return tuple(steps[raw] for raw in range(256**size))


class _Numbers:
    """Numbers that stand side by side, read at once."""

    def __init__(self, *numbers: Number) -> None:
        self.numbers = numbers
        self.packed = struct.Struct(">" + "".join(_FORMATS[number.size] for number in numbers))
        self._names = tuple(number.name for number in numbers)

    @cached_property
    def _told(self) -> tuple[_Steps | tuple[Value, ...], ...]:
        return tuple(
            _Steps(number) if number.size == 4 else _values(number.size, number.per, number.less, number.bare)
            for number in self.numbers
        )

    def read(self, data: bytes, at: int, into: dict[str, Any]) -> int:
        end = at + self.packed.size
        if end > len(data):
            raise StructureError(f"{self.numbers[0].name}: {len(data) - at} bytes are left of {self.packed.size}")
        into.update(zip(self._names, map(getitem, self._told, self.packed.unpack_from(data, at)), strict=True))
        return end

    def write(self, values: Mapping[str, Any]) -> bytes:
        return self.packed.pack(*(number.raw(values[number.name]) for number in self.numbers))


class _Counted:
    """A count and what it counts."""

    def __init__(self, part: Row | Codes | Many) -> None:
        self.part, self.name = part, part.name
        self._wide = isinstance(part, Row) and part.count == 2
        self._top = 0xFFFF if self._wide else 0xFF
        self._table = part.table if isinstance(part, Many) else None
        self._size = part.size if isinstance(part, Row) else 4
        self._dtype = np.dtype(_DTYPES[self._size])

    def read(self, data: bytes, at: int, into: dict[str, Any]) -> int:
        start = at + 2 if self._wide else at + 1
        if start > len(data):
            raise StructureError(f"{self.name}: its count is missing")
        count = data[at] << 8 | data[at + 1] if self._wide else data[at]
        if count >= self._top - 1:
            into[self.name] = None if count == self._top else ABNORMAL
            return start
        if self._table is not None:
            rows = []
            for _ in range(count):
                row, start = self._table.read(data, start)
                rows.append(row)
            into[self.name] = tuple(rows)
            return start
        end = start + count * self._size
        if end > len(data):
            left = len(data) - start
            raise StructureError(f"{self.name}: {count} of {self._size} bytes each, but {left} bytes are left")
        part = self.part
        if isinstance(part, Row):
            into[self.name] = Readings(np.frombuffer(data, self._dtype, count, start), part.per, part.less * part.per)
        else:
            into[self.name] = struct.unpack_from(f">{count}I", data, start) if count else ()
        return end

    def write(self, values: Mapping[str, Any]) -> bytes:
        return _write_counted(self.part, values[self.name])


class Table:
    """Fields in their order."""

    def __init__(self, *parts: Part) -> None:
        self.parts = parts
        self._runs: list[_Numbers | _Counted] = []
        for part in parts:
            last = self._runs[-1] if self._runs else None
            if isinstance(part, Number) and isinstance(last, _Numbers):
                self._runs[-1] = _Numbers(*last.numbers, part)
            else:
                self._runs.append(_Numbers(part) if isinstance(part, Number) else _Counted(part))

    def read(self, data: bytes, at: int) -> tuple[dict[str, Any], int]:
        """Return the fields that begin at `at`, and where they end. Raise StructureError."""
        into: dict[str, Any] = {}
        for run in self._runs:
            at = run.read(data, at, into)
        return into, at

    def write(self, values: Mapping[str, Any]) -> bytes:
        """Return the fields as bytes. Raise InputError where one is absent or cannot be said."""
        try:
            return b"".join(run.write(values) for run in self._runs)
        except KeyError as error:
            raise InputError(f"The field {error} is absent.", "Say None for what is not known.") from None


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
        return Readings(values.raw.astype(_DTYPES[row.size]), row.per, row.less * row.per)
    number = Number(row.name, row.size, row.per, row.less, row.unit)
    raw = np.array([number.raw(value) for value in values], _DTYPES[row.size])
    return Readings(raw, row.per, row.less * row.per)
