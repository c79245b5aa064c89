"""What stands in a condition as it is meant: numbers with their units, and durations.

Rules:
* Numbers are read as decimals, so that 0.1 s is 100,000 µs, and a conversion rounds once.
* A unit that has no linear scale is one of its own, where a signal is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import cast

from lark import Token, Tree

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.condition import ConditionError
from carcloud.vehicle.conditions.measure import COUNT, Measure, measure, opaque
from carcloud.vehicle.conditions.part import LIMIT_NUMBER, Kind, Part

LIMIT_UNIT = 32
LIMIT_WINDOW_US = 3600 * tree.MICRO
LIMIT_STALE_US = 30 * 86400 * tree.MICRO
DURATIONS = {
    "us": Decimal(1),
    "µs": Decimal(1),
    "ms": Decimal(1_000),
    "s": Decimal(1_000_000),
    "min": Decimal(60_000_000),
    "h": Decimal(3_600_000_000),
    "d": Decimal(86_400_000_000),
}

Sentence = Tree[Token]


def span(what: Sentence) -> tuple[int, int]:
    """Return where a part of a sentence begins and ends in the text."""
    return what.meta.start_pos, what.meta.end_pos


def duration(text: str, what: Sentence, limit_us: int = LIMIT_WINDOW_US) -> int:
    """Return a duration in microseconds, more than none and at most the limit."""
    number, unit = cast("list[Token]", what.children)
    at, end = span(what)
    wrong = f"{text[at:end]!r} is no duration."
    if unit is None or unit not in DURATIONS:
        raise ConditionError(wrong, "Write a number and ms, s, min or h: 2 s, 100 ms, 5 min.", at, end - at)
    us = _decimal(number) * DURATIONS[unit]
    if us != us.to_integral_value() or us <= 0:
        raise ConditionError(wrong, "The shortest is a microsecond, and it takes whole ones.", at, end - at)
    if us > limit_us:
        most = "1 h" if limit_us == LIMIT_WINDOW_US else f"{limit_us // 86400 // tree.MICRO} d"
        raise ConditionError(f"{text[at:end]!r} is too long.", f"Write at most {most}.", at, end - at)
    return int(us)


def quantity(text: str, what: Sentence, catalogue: Mapping[str, Signal]) -> Part:
    """Return a number with its unit, if it has one."""
    number, unit = cast("list[Token]", what.children)
    at, end = span(what)
    value = _decimal(number)
    of = COUNT if unit is None else _unit(unit, catalogue)
    return Part(text, at, end, Kind.NUMBER, tree.Number(float(value)), 1, of, value)


def _unit(unit: Token, catalogue: Mapping[str, Signal]) -> Measure:
    at, name = cast("int", unit.start_pos), str(unit)
    if len(name) > LIMIT_UNIT:
        do = f"Names of units are up to {LIMIT_UNIT} characters long."
        raise ConditionError(f"{name[:LIMIT_UNIT]}… is no unit.", do, at, len(name))
    try:
        return measure(name)
    except InputError as error:
        if any(signal.unit == name for signal in catalogue.values()):
            return opaque(name)
        raise ConditionError(error.message, error.do, at, len(name)) from None


def _decimal(number: Token) -> Decimal:
    if abs(float(number)) > LIMIT_NUMBER:
        at, length = cast("int", number.start_pos), len(number)
        raise ConditionError(f"{number[:40]} is too large.", "Numbers go up to 1e300.", at, length)
    return Decimal(str(number))
