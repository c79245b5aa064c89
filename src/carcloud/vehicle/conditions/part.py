"""A part of a condition while it is checked: its node, what kind of thing it is, and where in the text it stands."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from carcloud.vehicle.conditions.condition import ConditionError
from carcloud.vehicle.conditions.measure import COUNT, Measure
from carcloud.vehicle.conditions.tree import Arithmetic, Node, Number, Scaled

LIMIT_NUMBER = 1e300


class Kind(StrEnum):
    """What a part is, as errors name it."""

    NUMBER = "a number"
    TEXT = "a text"
    TRUTH = "true or false"
    BOOLEAN = "a signal that is true or false"
    CONSTANT = "the word true or false"
    LIST = "a list"


@dataclass(frozen=True)
class Part:
    """One part. `literal`: the number it is, where it is one alone; `path`: the signal it is, where it is one alone.

    size: nodes of its tree, each counted as often as it is worked out.
    """

    text: str
    at: int
    end: int
    kind: Kind
    node: Node
    size: int = 1
    measure: Measure = COUNT
    literal: Decimal | None = None
    path: str | None = None

    @property
    def said(self) -> str:
        """Return the part as it is written, shortened."""
        said = " ".join(self.text[self.at : self.end].split())
        return said if len(said) <= 80 else f"{said[:77]}…"

    def wrong(self, message: str, do: str) -> ConditionError:
        """Return the error that points at this part."""
        return ConditionError(message, do, self.at, self.end - self.at)


def like(part: Part, other: Measure, as_difference: bool = False) -> Node:
    """Return a number's node, converted into another unit; without offsets where it is a difference."""
    own = part.measure
    if as_difference:
        own, other = own.difference(), other.difference()
    try:
        factor, offset = own.into(other)
        number = None if part.literal is None else own.convert(part.literal, other)
    except OverflowError:
        factor, offset, number = 0.0, 0.0, None
    if factor == 0 or abs(number or 0.0) > LIMIT_NUMBER:
        do = "Write what is measured in units of a like size."
        raise part.wrong(f"{part.said} is beyond all numbers in {other.unit}.", do)
    if number is not None:
        return Number(number)
    return part.node if (factor, offset) == (1.0, 0.0) else Scaled(part.node, factor, offset)


def refuse_unlike(left: Part, right: Part) -> None:
    """Refuse two numbers that cannot stand together, saying what to write."""
    if left.measure.like(right.measure):
        mixed = left.measure.is_point != right.measure.is_point and (left.measure.derived or right.measure.derived)
        if mixed:
            difference = right if left.measure.is_point else left
            raise difference.wrong(
                f"{difference.said} is a difference of temperatures, the other is a temperature.",
                "Write differences in K, such as 5 K.",
            )
        return
    one, other = (right, left) if right.literal is not None or left.literal is None else (left, right)
    if one.literal is not None and one.measure.name is None:
        do = f"Write {one.said} with its unit, such as {one.said} {other.measure.unit}."
        raise one.wrong(f"{one.said} has no unit, and {other.said} is in {other.measure.unit}.", do)
    if other.measure.takes_bare:
        do = f"Write {one.literal}." if one.literal is not None else "Compare what is measured alike."
        raise one.wrong(f"{one.said} is in {_unit(one)}, and {other.said} has no unit.", do)
    do = f"Write a unit like {other.measure.unit}." if one.literal is not None else "Compare what is measured alike."
    raise one.wrong(f"{one.said} is in {_unit(one)}, and {other.said} is in {other.measure.unit}.", do)


def _unit(part: Part) -> str:
    return "no unit" if part.measure.takes_bare else part.measure.unit


def calculated(operation: str, left: Part, right: Part) -> tuple[Node, Measure]:
    """Return the node and the unit of two numbers and an operation."""
    if operation in "*/":
        for part in (left, right):
            if part.measure.is_point:
                do = "Work with differences of temperatures, or with temperatures in K."
                raise part.wrong(f"{part.said} is a temperature in {part.measure.name}; {operation} needs a zero.", do)
        unit = left.measure.times(right.measure, 1 if operation == "*" else -1)
        if unit is None:
            raise right.wrong("The unit of this product has too high a power.", "Multiply fewer quantities.")
        return Arithmetic("*" if operation == "*" else "/", left.node, right.node), unit
    if not left.measure.like(right.measure):
        refuse_unlike(left, right)
    if operation == "-":
        return _less(left, right)
    if left.measure.is_point and right.measure.is_point:
        raise right.wrong("Two temperatures cannot be added.", "Write what is added in K, such as 5 K.")
    if right.measure.is_point:
        return Arithmetic("+", like(left, right.measure, True), right.node), right.measure
    return _joined("+", left, right, left.measure.is_point)


def _less(left: Part, right: Part) -> tuple[Node, Measure]:
    if right.measure.is_point and not left.measure.is_point:
        raise right.wrong("A temperature cannot be taken from a difference.", "Write what is taken away in K.")
    if right.measure.is_point:
        return Arithmetic("-", left.node, like(right, left.measure)), left.measure.difference()
    return _joined("-", left, right, left.measure.is_point)


def _joined(operation: str, left: Part, right: Part, as_difference: bool) -> tuple[Node, Measure]:
    if left.literal is not None and right.literal is None and not as_difference:
        joined = like(left, right.measure), right.node
        return Arithmetic("+" if operation == "+" else "-", *joined), right.measure
    joined = left.node, like(right, left.measure, as_difference)
    return Arithmetic("+" if operation == "+" else "-", *joined), left.measure
