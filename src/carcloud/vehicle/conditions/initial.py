"""What a condition is before any sample: the tree's meaning where no signal was ever heard."""

from __future__ import annotations

import math

from carcloud.vehicle.conditions.condition import Truth
from carcloud.vehicle.conditions.tree import (
    Absolute,
    Aggregate,
    Always,
    And,
    Arithmetic,
    Compare,
    Falling,
    Known,
    Node,
    Not,
    Number,
    Once,
    Or,
    Rising,
    Scaled,
)


def initial(node: Node) -> Truth:
    """Return whether a condition holds before any sample."""
    match node:
        case Compare(operation, left, right):
            one, other = number(left), number(right)
            return None if one is None or other is None else compared(operation, one, other)
        case Known(x):
            return (number(x) if is_number(x) else initial(x)) is not None
        case Not(x):
            return negated(initial(x))
        case And(left, right):
            return both(initial(left), initial(right))
        case Or(left, right):
            return negated(both(negated(initial(left)), negated(initial(right))))
        case Rising(x) | Falling(x):
            return None if initial(x) is None else False
        case Always(x) | Once(x):
            return initial(x)
    return None


def number(node: Node) -> float | None:
    """Return a number's value before any sample."""
    match node:
        case Number(value):
            return value
        case Aggregate("count"):
            return 0.0
        case Absolute(x):
            whole = number(x)
            return None if whole is None else abs(whole)
        case Scaled(x, factor, offset):
            plain = number(x)
            return None if plain is None else finite(plain * factor + offset)
        case Arithmetic(operation, left, right):
            one, other = number(left), number(right)
            return None if one is None or other is None else calculated(operation, one, other)
    return None


def is_number(node: Node) -> bool:
    """Tell whether a node has a number or a text, and no truth."""
    return not isinstance(node, Compare | Known | Not | And | Or | Rising | Falling | Always | Once)


def negated(x: Truth) -> Truth:
    """Return Kleene's not."""
    return None if x is None else not x


def both(left: Truth, right: Truth) -> Truth:
    """Return Kleene's and."""
    if left is False or right is False:
        return False
    return True if left and right else None


def compared(operation: str, left: float, right: float) -> bool:
    """Compare two numbers."""
    match operation:
        case "=":
            return left == right
        case "!=":
            return left != right
        case "<":
            return left < right
        case "<=":
            return left <= right
        case ">":
            return left > right
    return left >= right


def calculated(operation: str, left: float, right: float) -> float | None:
    """Work out one operation; None where the result is no finite number."""
    match operation:
        case "+":
            return finite(left + right)
        case "-":
            return finite(left - right)
        case "*":
            return finite(left * right)
    return finite(left / right) if right else None


def finite(value: float) -> float | None:
    """Return a number, or None for what is none."""
    return value if math.isfinite(value) else None


def far(one: float, other: float, by: float) -> Truth:
    """Return whether two numbers lie so far apart; None where their difference is no finite number."""
    apart = finite(abs(one - other))
    return None if apart is None else apart >= by
