"""What fields of a unit are made of, and what their values are.

Rules:
* All ones means missing (None), all ones less one means abnormal (ABNORMAL); a count like that carries no items.
* Steps are divided, not multiplied, so that 12.3 is 12.3 and goes back to the very same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from carcloud.errors import InputError

if TYPE_CHECKING:
    from carcloud.vehicle.gbt32960.layout import Table


class Abnormal(Enum):
    """The value of a field whose sensor says that it does not work."""

    ABNORMAL = "abnormal"


ABNORMAL: Final = Abnormal.ABNORMAL

Value = int | float | Abnormal | None
"""A field's value: a number, missing, or abnormal."""


class StructureError(Exception):
    """Bytes that do not hold what their table says. It never leaves this package: readers turn it into a fault."""


@dataclass(slots=True, eq=False)
class Readings:
    """Many values of one kind. `raw`: (n,) unsigned as sent, of one or two bytes; a value is (raw - less) / per.

    Not frozen, for that would make it three times as slow to make; it is not changed all the same.
    """

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
        return values_of(self.raw.itemsize, self.per, self.less).take(self.raw)

    @property
    def abnormal(self) -> NDArray[np.bool_]:
        """Tell which are abnormal, (n,)."""
        return np.asarray(self.raw == np.iinfo(self.raw.dtype).max - 1)


@cache
def values_of(size: int, per: int, less: int) -> NDArray[np.float64]:
    """Return the values of all that `size` bytes can send, by what is sent: to look one up is the fastest way."""
    values = (np.arange(256**size, dtype=np.float64) - less) / per
    values[-2:] = np.nan
    values.flags.writeable = False
    return values


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
