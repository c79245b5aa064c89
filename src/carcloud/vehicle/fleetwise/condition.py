"""A FleetWise expression written as a condition of ours.

Rules:
* FleetWise compares bare numbers; a condition says units. A number gets the unit that FleetWise gives the signal it is
  compared with, so that it means the same where the zone has another one.
* Signals of different units are not compared or added as bare numbers; such an expression has no equal.
"""

from __future__ import annotations

from collections.abc import Mapping

from carcloud.errors import InputError
from carcloud.vehicle.catalogue import Signal
from carcloud.vehicle.fleetwise.expression import Expression, Part, Value, read_expression, signals

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
LIKE = (*COMPARISONS, "+", "-")
"""Operations whose two sides are in one unit."""
TRUTHS = {"1": "true", "0": "false", "true": "true", "false": "false"}

ANY, DERIVED = "any", "derived"
"""What stands for the unit of a bare number, and for that of a product of signals."""


def condition(expression: str, units: Mapping[str, str | None], catalogue: Mapping[str, Signal]) -> str:
    """Return a condition that says what an expression says.

    Args:
        units: what FleetWise calls the unit of each path. catalogue: the zone's, with the overlay on top.

    Raises:
        InputError: it is no expression, or has no equal.
    """
    tree = read_expression(expression)
    unknown = [path for path in signals(tree) if path not in catalogue]
    if unknown:
        raise _wrong(f"asks about {', '.join(unknown)}, no signal of the catalogue")
    return _Writer(units, catalogue).write(tree, None)


class _Writer:
    def __init__(self, units: Mapping[str, str | None], catalogue: Mapping[str, Signal]) -> None:
        self._units, self._catalogue = units, catalogue

    def write(self, tree: Expression, unit: str | None) -> str:
        """Write a part; `unit` is that of the bare numbers in it."""
        if isinstance(tree, Value):
            return self._leaf(tree, unit)
        if tree.operation == "not":
            return f"not {self._inner(tree.parts[0], None)}"
        if tree.operation == "negative":
            return f"-{self._inner(tree.parts[0], unit)}"
        left, right = tree.parts
        if tree.operation in COMPARISONS and (truth := self._truth(left, right)):
            return f"{truth[0]} {tree.operation} {truth[1]}"
        if tree.operation in LIKE:
            unit = self._common(tree, unit if tree.operation in ("+", "-") else None)
        elif tree.operation in ("*", "/"):
            return self._scaled(tree, unit)
        return f"{self._inner(left, unit)} {tree.operation} {self._inner(right, unit)}"

    def _inner(self, tree: Expression, unit: str | None) -> str:
        text = self.write(tree, unit)
        return text if isinstance(tree, Value) else f"({text})"

    def _leaf(self, leaf: Value, unit: str | None) -> str:
        if leaf.kind == "text":
            if '"' in leaf.text or not leaf.text.isprintable():
                raise _wrong("has a text with quotes or control characters in it")
            return f'"{leaf.text}"'
        if leaf.kind == "number":
            text = f"0{leaf.text}" if leaf.text.startswith(".") else leaf.text.replace(".e", ".0e").replace(".E", ".0E")
            return (f"{text}0" if text.endswith(".") else text) + (f" {unit}" if unit else "")
        return leaf.text

    def _truth(self, left: Expression, right: Expression) -> tuple[str, str] | None:
        """Return the two sides where a boolean signal is compared with 0, 1, true or false."""
        for one, other in ((left, right), (right, left)):
            if not (isinstance(one, Value) and isinstance(other, Value)):
                return None
            if one.kind != "signal" or other.kind == "text":
                continue
            if self._catalogue[one.text].type == "boolean" and other.text in TRUTHS:
                return one.text, TRUTHS[other.text]
        return None

    def _common(self, tree: Part, wanted: str | None) -> str | None:
        """Return the one unit of both sides."""
        units = {unit for unit in map(self._unit, tree.parts) if unit != ANY}
        if DERIVED in units or len(units) > 1:
            named = ", ".join(sorted(str(unit) for unit in units))
            raise _wrong(f"takes numbers of different units ({named}) as bare ones")
        return units.pop() if units else wanted

    def _scaled(self, tree: Part, unit: str | None) -> str:
        """Write a product or quotient: the one side that has the unit gets it, the other is bare."""
        left, right = tree.parts
        whole = self._unit(tree) == ANY  # numbers only: the first carries the unit
        sides = [
            self._inner(part, unit if (whole and part is left) or self._unit(part) not in (ANY, None) else None)
            for part in (left, right)
        ]
        return f"{sides[0]} {tree.operation} {sides[1]}"

    def _unit(self, tree: Expression) -> str | None:
        if isinstance(tree, Value):
            if tree.kind == "signal":
                return self._units.get(tree.text, self._catalogue[tree.text].unit)
            return ANY if tree.kind == "number" else None
        if tree.operation == "negative":
            return self._unit(tree.parts[0])
        if tree.operation in ("+", "-"):
            units = [unit for unit in map(self._unit, tree.parts) if unit != ANY]
            return units[0] if units else ANY
        if tree.operation in ("*", "/"):
            left, right = map(self._unit, tree.parts)
            if ANY in (left, right):
                bare_below = tree.operation == "*" or right == ANY
                other = right if left == ANY else left
                return other if bare_below or other is None else DERIVED
            return None if left is None and right is None else DERIVED
        return None


def _wrong(what: str) -> InputError:
    return InputError(f"The expression {what}.", "Write it anew as a condition (docs/conditions.md).")
