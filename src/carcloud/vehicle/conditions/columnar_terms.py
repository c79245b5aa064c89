"""What of a condition is worked out at each instant by itself, as SQL expressions; and what it is before any sample.

Rules:
- An unknown truth or text is NULL; an unknown number is NULL or not finite, and is made NULL where it is compared.
- Every expression mentions what it is made of about once, so that it does not outgrow its condition.

Source: https://duckdb.org/docs/2.0/sql/expressions/overview
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from carcloud.errors import InputError
from carcloud.vehicle.conditions import initial
from carcloud.vehicle.conditions.tree import (
    Absolute,
    Aggregate,
    Always,
    And,
    Arithmetic,
    Changed,
    Compare,
    Falling,
    Held,
    Known,
    Node,
    Not,
    Number,
    Once,
    Or,
    Rate,
    Rising,
    Scaled,
    Text,
)

Value = float | str | bool | None
LIMIT_SQL = 100_000
"""Characters of a statement at most: what `POST /v1/lake/sql` takes."""
TRUTHS = (Compare, Known, Not, And, Or, Rising, Falling, Changed, Always, Once)
SOURCES = (Held, Rate, Aggregate, Rising, Falling, Changed, Always, Once)
"""What changes by itself; everything else is worked out from these at each instant."""


class Term(NamedTuple):
    """An expression; `finite`: whether a number of it is finite or NULL."""

    sql: str
    finite: bool = False


def is_text(node: Node) -> bool:
    """Tell whether a node has a text."""
    return isinstance(node, Text) or (isinstance(node, Held) and node.text)


def sources(node: Node) -> Iterator[Node]:
    """Yield what a node is worked out from at each instant."""
    if isinstance(node, SOURCES):
        yield node
    else:
        for part in node.parts():
            yield from sources(part)


def term(node: Node, bound: Mapping[Node, Term]) -> Term:
    """Return the expression of a node, given those of its sources or of whole parts of it."""
    if node in bound:
        return bound[node]
    match node:
        case Number(value):
            return Term(real(value), True)
        case Text(value):
            return Term(quoted(value))
        case Scaled(x, factor, offset):
            sql = term(x, bound).sql
            sql = sql if factor == 1 else f"({sql} * {real(factor)})"
            return Term(sql if offset == 0 else f"({sql} + {real(offset)})")
        case Arithmetic("/", left, right):
            return Term(bounded(f"({term(left, bound).sql} / {_divisor(term(right, bound))})"))
        case Arithmetic(operation, left, right):
            return Term(f"({term(left, bound).sql} {operation} {term(right, bound).sql})")
        case Absolute(x):
            return Term(f"abs({term(x, bound).sql})", term(x, bound).finite)
        case Compare():
            return Term(_compared(node, bound))
        case Known(x):
            sql, finite = term(x, bound)
            known = finite or isinstance(x, TRUTHS) or is_text(x)
            return Term(f"({sql} IS NOT NULL)" if known else f"coalesce(isfinite({sql}), false)")
        case Not(x):
            return Term(f"(NOT {term(x, bound).sql})")
        case And(left, right):
            return Term(f"({term(left, bound).sql} AND {term(right, bound).sql})")
        case Or(left, right):
            return Term(f"({term(left, bound).sql} OR {term(right, bound).sql})")
    raise AssertionError(f"{type(node).__name__} is worked out from nothing")


def before(node: Node) -> Value:
    """Return what a node is before any sample; of one signal that is what it is again once the value is stale."""
    if isinstance(node, TRUTHS):
        return initial.initial(node)
    return None if is_text(node) else initial.number(node)


def real(value: float) -> str:
    """Return a number as a literal of type DOUBLE."""
    text = repr(float(value))
    text = text if "e" in text else f"{text}e0"
    return f"({text})" if text.startswith("-") else text


def quoted(text: str) -> str:
    """Return a text as a literal."""
    parts = ("'" + part.replace("'", "''") + "'" for part in text.split("\0"))
    return f"({' || chr(0) || '.join(parts)})" if "\0" in text else next(parts)


def literal(value: Value) -> str:
    """Return a value as a literal."""
    if value is None or isinstance(value, bool):
        return f"CAST({'NULL' if value is None else str(value).lower()} AS BOOLEAN)"
    return quoted(value) if isinstance(value, str) else real(value)


def _divisor(right: Term) -> str:
    sql = right.sql
    return f"nullif({sql}, 0)" if right.finite else f"CASE WHEN isfinite({sql}) THEN nullif({sql}, 0) END"


def _compared(node: Compare, bound: Mapping[Node, Term]) -> str:
    sides = term(node.left, bound), term(node.right, bound)
    sql = f"({sides[0].sql} {node.operation} {sides[1].sql})"
    if is_text(node.left):
        return sql
    checked = " AND ".join(f"isfinite({side.sql})" for side in sides if not side.finite)
    return bounded(f"CASE WHEN {checked} THEN {sql} END" if checked else sql)


def bounded(sql: str) -> str:
    """Return SQL as it is; raise InputError where it is longer than the lake takes."""
    if len(sql) > LIMIT_SQL:
        raise InputError(
            f"As SQL the condition is longer than {LIMIT_SQL} characters.",
            "Make it shorter, above all divisions in what something is divided by.",
        )
    return sql
