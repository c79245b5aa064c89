"""Durations, sizes and steps as people write them in a plan: `5 s`, `5 MB`, `0.5 degrees`; and back, in one form."""

from __future__ import annotations

import re
from decimal import Decimal

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.units import conversion

_TIMES = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000}
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_MEASURE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,30})?)\s*(\S.{0,31})?\s*")


def duration_us(value: object) -> int:
    """Read a duration; raise InputError."""
    return _whole(value, _TIMES, "duration", "Write a number and a unit, such as 5 s; the units are us, ms, s, min, h.")


def size_bytes(value: object) -> int:
    """Read a number of bytes; raise InputError."""
    return _whole(value, _SIZES, "size", f"Write a number and a unit, such as 5 MB; the units are {', '.join(_SIZES)}.")


def step(value: object, signal: Signal) -> float:
    """Read a difference of a signal's values; return it in the signal's unit. Raise InputError."""
    found = _split(value)
    in_unit = f"{signal.path} is in {signal.unit}" if signal.unit else f"{signal.path} has no unit"
    if found is None or not found[0]:
        raise InputError(f"{str(value)[:40]!r} is no step.", f"Write a number above 0 with its unit; {in_unit}.")
    number, unit = found
    if unit is None and signal.unit is not None:
        raise InputError(f"{str(value)[:40]!r} lacks its unit.", f"Write it behind the number; {in_unit}.")
    if unit is None:
        return float(number)
    if signal.unit is None:
        raise InputError(f"{signal.path} has no unit, but {str(value)[:40]!r} has one.", "Write the number alone.")
    factor, _ = conversion(unit, signal.unit)
    return float(number) * abs(factor)


def duration_text(us: int) -> str:
    """Return a duration as it stands in the one form of a plan."""
    return _text(us, _TIMES)


def size_text(size: int) -> str:
    """Return a size as it stands in the one form of a plan."""
    return _text(size, {unit: factor for unit, factor in _SIZES.items() if "i" not in unit})


def step_text(by: float, unit: str | None) -> str:
    """Return a step as it stands in the one form of a plan."""
    number = f"{Decimal(repr(by)):f}"
    return f"{number} {unit}" if unit else number


def _text(value: int, units: dict[str, int]) -> str:
    best = max((unit for unit, factor in units.items() if value % factor == 0), key=lambda unit: units[unit])
    return f"{value // units[best]} {best}" if value else f"0 {next(u for u in ('s', 'B') if u in units)}"


def _split(value: object) -> tuple[Decimal, str | None] | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = f"{Decimal(repr(value)):f}" if value == value and abs(value) < 1e15 else ""
    found = _MEASURE.fullmatch(value) if isinstance(value, str) else None
    return None if found is None else (Decimal(found[1]), found[2].strip() if found[2] else None)


def _whole(value: object, units: dict[str, int], what: str, do: str) -> int:
    found = _split(value)
    if found is None or found[1] not in units:
        raise InputError(f"{str(value)[:40]!r} is no {what}.", do)
    whole = found[0] * units[found[1]]
    if whole != int(whole):
        raise InputError(f"{str(value)[:40]!r} is no whole number of {next(iter(units))}.", do)
    return int(whole)
