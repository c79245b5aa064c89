"""What a number of a condition measures: its unit, as a size in base units, so that units can be worked with.

Rules:
* An angle is a dimension of its own, as in units.py.
* A temperature on a scale with a zero of its own (Celsius) is a point: points can be compared and subtracted, not
  added or multiplied. Their differences are in K.
* A signal without a unit counts something of its own: it goes with numbers that have no unit either.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from carcloud.errors import InputError
from carcloud.vehicle import units
from carcloud.vehicle.catalogue import Signal

ONE = Decimal(1)
LIMIT_POWER = 9
SYMBOLS = {"meter": "m", "second": "s", "gram": "g", "kelvin": "K", "ampere": "A", "radian": "rad", "candela": "cd"}


@dataclass(frozen=True)
class Measure:
    """A unit. value * scale + zero is in the base units, which `dimension` names with their powers.

    name: as it is written; None where nothing is counted in units. derived: whether arithmetic made it.
    """

    name: str | None = None
    scale: Decimal = ONE
    zero: Decimal = Decimal(0)
    dimension: tuple[tuple[str, int], ...] = ()
    derived: bool = False

    @property
    def is_point(self) -> bool:
        """Tell whether values are points of a scale with a zero of its own."""
        return self.zero != 0

    @property
    def takes_bare(self) -> bool:
        """Tell whether a number without a unit says all: nothing counted in units, or a ratio."""
        return self.name is None or (not self.dimension and (self.derived or self.name == "ratio"))

    @property
    def unit(self) -> str:
        """Return the unit as somebody may write it beside a number."""
        if self.name is not None and not self.derived:
            return self.name
        above = [_power(name, power) for name, power in self.dimension if power > 0]
        below = [_power(name, -power) for name, power in self.dimension if power < 0]
        return "*".join(above or ["1"]) + "".join(f"/{part}" for part in below)

    def like(self, other: Measure) -> bool:
        """Tell whether values can be converted into the other's unit."""
        if self.dimension != other.dimension:
            return False
        return None not in (self.name, other.name) or (self.takes_bare and other.takes_bare)

    def into(self, other: Measure) -> tuple[float, float]:
        """Return (factor, offset) so that value * factor + offset is in the other's unit."""
        if (self.scale, self.zero) == (other.scale, other.zero):
            return 1.0, 0.0
        return float(_ratio(self, other)), float((self.zero - other.zero) / other.scale)

    def convert(self, value: Decimal, other: Measure) -> float:
        """Return a value in the other's unit."""
        if (self.scale, self.zero) == (other.scale, other.zero):
            return float(value)
        return float(Fraction(value) * _ratio(self, other) + Fraction(self.zero - other.zero) / Fraction(other.scale))

    def difference(self) -> Measure:
        """Return the unit of a difference between two values."""
        return replace(self, name="K", zero=Decimal(0), derived=True) if self.is_point else self

    def times(self, other: Measure, power: int = 1) -> Measure | None:
        """Return the unit of a product, or of a quotient where power is -1; None where its powers grow too high."""
        if other.name is None and not other.derived:
            return self
        if self.name is None and not self.derived and power > 0:
            return other
        powers = dict(self.dimension)
        for name, by in other.dimension:
            powers[name] = powers.get(name, 0) + power * by
        if any(abs(by) > LIMIT_POWER for by in powers.values()):
            return None
        scale = self.scale * other.scale if power > 0 else self.scale / other.scale
        dimension = tuple(sorted((name, by) for name, by in powers.items() if by))
        return Measure("", scale, Decimal(0), dimension, derived=True)


COUNT = Measure()
"""What a number without a unit is in."""


def measure(unit: str | None) -> Measure:
    """Return what a unit of the catalogue, or of a literal, measures. Raise InputError for what is no unit."""
    if unit is None:
        return COUNT
    scale, zero, dimension = units.root(unit)
    if any(abs(power) > LIMIT_POWER for _, power in dimension):
        raise InputError(f"{unit!r} is no unit.", f"Powers go up to {LIMIT_POWER}.")
    return Measure(unit, scale, zero, dimension)


def measure_of(signal: Signal) -> Measure:
    """Return what a signal is in. A unit that nobody can work with goes with itself only, like a unit of its own."""
    try:
        return measure(signal.unit)
    except InputError:
        return opaque(str(signal.unit))


def opaque(name: str) -> Measure:
    """Return a unit that converts into no other."""
    return Measure(name, dimension=((name, 1),))


def _ratio(one: Measure, other: Measure) -> Fraction:
    return Fraction(one.scale) / Fraction(other.scale)


def _power(name: str, power: int) -> str:
    symbol = SYMBOLS.get(name, name)
    return symbol if power == 1 else f"{symbol}^{power}"
