"""Units: from one a source speaks to the one the catalogue wants, as a factor and an offset.

Rules:
* VSS spells units its own way (`degrees`, `Celsius`, `l/100km`); so do people (`deg`, `°C`). Both are understood.
* An angle is a dimension of its own: 5 degrees are not 8.7 percent.
* Only linear conversions exist. km/l to l/100km is refused, since it would need a division.

Source: VSS 6.0, `units.yaml`, for the names; pint's default registry for the sizes.
"""

from __future__ import annotations

import tokenize
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any

import pint

from carcloud.errors import InputError

# Names that pint does not know or reads differently, as pint spells them.
SPELLINGS = {
    "celsius": "degree_Celsius",
    "Celsius": "degree_Celsius",
    "°C": "degree_Celsius",
    "C": "degree_Celsius",
    "°F": "degree_Fahrenheit",
    "fahrenheit": "degree_Fahrenheit",
    "degrees": "degree",
    "deg": "degree",
    "°": "degree",
    "degrees/s": "degree / second",
    "deg/s": "degree / second",
    "°/s": "degree / second",
    "%": "percent",
    "ratio": "dimensionless",
    "l/100km": "liter / kilometer",
    "kWh/100km": "kilowatt_hour / kilometer",
    "Ah": "ampere * hour",
    "Nm": "newton * meter",
    "cpm": "1 / minute",
    "bpm": "1 / minute",
    "rpm": "revolution / minute",
    "1/min": "1 / minute",
    "kph": "kilometer / hour",
    "mph": "mile / hour",
    "kmh": "kilometer / hour",
    "m/s²": "meter / second ** 2",
    "m/s2": "meter / second ** 2",
    "g": "gram",
}


LIMIT_NAME = 64
PER_HUNDRED = Decimal("0.01")


@cache
def _registry() -> Any:
    return pint.UnitRegistry(non_int_type=Decimal)


@cache
def conversion(source: str, target: str) -> tuple[float, float]:
    """Return (factor, offset) so that `value * factor + offset` is in `target`. Raise InputError for the impossible."""
    if source == target:
        return 1.0, 0.0
    start, end = _unit(source), _unit(target)
    quantity = _registry().Quantity
    try:
        if _is_angle(start) != _is_angle(end):
            raise pint.DimensionalityError(start, end)
        zero, one = (quantity(Decimal(n), start).to(end).magnitude for n in (0, 1))
    except (pint.PintError, ArithmeticError, TypeError):
        do = "State the unit the source really has, or another signal."
        raise InputError(f"{source!r} cannot be turned into {target!r}.", do) from None
    return float((one - zero) * _hundreds(source) / _hundreds(target)), float(zero)


@lru_cache(maxsize=1024)
def root(name: str) -> tuple[Decimal, Decimal, tuple[tuple[str, int], ...]]:
    """Return how a unit lies to the base units: value * scale + zero is in them; and which they are, with powers.

    An angle's base is the radian. Raise InputError for what is no unit, or none of a linear scale (dBm).
    """
    unit = _unit(name)
    try:
        scale, base = _registry().get_root_units(unit)
        zero = _registry().Quantity(Decimal(0), unit).to(base).magnitude
    except (pint.PintError, ArithmeticError, TypeError, ValueError):
        do = "Use one of a linear scale, such as km/h, degrees, Celsius or percent."
        raise InputError(f"{name!r} cannot be worked with.", do) from None
    dimension = sorted((str(part), int(power)) for part, power in dict(base._units).items())
    return Decimal(scale) * _hundreds(name), Decimal(zero), tuple(dimension)


def _hundreds(name: str) -> Decimal:
    return PER_HUNDRED if name.endswith("/100km") else Decimal(1)


def _is_angle(unit: Any) -> bool:
    return "radian" in str(_registry().get_root_units(unit)[1])


def _unit(name: str) -> Any:
    try:
        if not name.strip() or len(name) > LIMIT_NAME:
            raise ValueError
        return _registry().Unit(SPELLINGS.get(name, name))
    except (
        pint.PintError,
        tokenize.TokenError,
        ArithmeticError,
        AttributeError,
        ValueError,
        TypeError,
        AssertionError,
    ):
        do = "Use a name of VSS, such as km/h, m/s, degrees, Celsius, percent, kWh or Nm."
        raise InputError(f"{name!r} is no unit.", do) from None
