"""A condition without time in it as an expression of Arrow, over a table of what cars say now.

Rules:
- The table has a column for each path, of numbers or of texts; null where it is unknown.
- An unknown number inside is null or not finite, and is made null where it is compared.

Source: tree.py, which says what each node means.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from carcloud.errors import InputError
from carcloud.vehicle.conditions.columnar_terms import TRUTHS, is_text
from carcloud.vehicle.conditions.condition import Condition, ConditionError
from carcloud.vehicle.conditions.tree import (
    Absolute,
    And,
    Arithmetic,
    Compare,
    Held,
    Known,
    Node,
    Not,
    Number,
    Or,
    Scaled,
    Text,
)

LIMIT_DIVISIONS = 4
"""Divisions in each other's divisors at most: each is worked out thrice."""
OPERATIONS = {"+": pc.add, "-": pc.subtract, "*": pc.multiply}
COMPARISONS = {
    "=": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}


def expression(condition: Condition) -> pc.Expression:
    """Return the expression; it is true, false or null for each row.

    Raises:
        ConditionError: the condition has time in it.
        InputError: too many divisions stand in divisors.
    """
    if not condition.is_timeless:
        message = "This condition has time in it, and what cars say now has none."
        do = "Leave out what looks back or at changes; or ask the lake, or make a plan of it."
        raise ConditionError(message, do, 0, len(condition.text))
    return _of(condition.tree, LIMIT_DIVISIONS)


def _of(node: Node, divisions: int) -> Any:
    match node:
        case Number(value) | Text(value):
            return pc.scalar(value)
        case Held(path):
            return pc.field(path)
        case Scaled(x, factor, offset):
            value = _of(x, divisions) if factor == 1 else pc.multiply(_of(x, divisions), pc.scalar(factor))
            return value if offset == 0 else pc.add(value, pc.scalar(offset))
        case Arithmetic("/", left, right):
            if divisions == 0:
                raise InputError(
                    f"More than {LIMIT_DIVISIONS} divisions stand in each other's divisors.", "Write them as products."
                )
            return _divided(_of(left, divisions), _of(right, divisions - 1))
        case Arithmetic(operation, left, right):
            return OPERATIONS[operation](_of(left, divisions), _of(right, divisions))
        case Absolute(x):
            return pc.abs(_of(x, divisions))
        case Compare(operation, left, right):
            sides = _of(left, divisions), _of(right, divisions)
            compared = COMPARISONS[operation](*sides)
            return compared if is_text(left) else pc.if_else(_finite(*sides), compared, pa.scalar(None, pa.bool_()))
        case Known(x):
            return pc.is_valid(_of(x, divisions)) if is_text(x) or isinstance(x, TRUTHS) else _finite(_of(x, divisions))
        case Not(x):
            return pc.invert(_of(x, divisions))
        case And(left, right):
            return pc.and_kleene(_of(left, divisions), _of(right, divisions))
        case Or(left, right):
            return pc.or_kleene(_of(left, divisions), _of(right, divisions))
    raise AssertionError(f"{type(node).__name__} has time in it")


def _divided(left: Any, right: Any) -> Any:
    divides = pc.and_kleene(_finite(right), pc.not_equal(right, pc.scalar(0.0)))
    nothing = pa.scalar(None, pa.float64())
    return pc.if_else(divides, pc.divide(left, pc.if_else(divides, right, pc.scalar(1.0))), nothing)


def _finite(*values: Any) -> Any:
    """Return whether all are known numbers, never null."""
    found = [pc.coalesce(pc.is_finite(value), pc.scalar(False)) for value in values]
    return found[0] if len(found) == 1 else pc.and_kleene(found[0], found[1])
