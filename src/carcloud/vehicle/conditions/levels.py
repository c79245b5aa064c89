"""The parts of a tree that are the same at an instant and after it, each made one function without arguments.

A number or text that is unknown is None; so is a truth.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.condition import Truth
from carcloud.vehicle.conditions.initial import far, finite
from carcloud.vehicle.conditions.windows import NEVER, Window

Number = Callable[[], Any]
"""A number or a text now, or None."""
Level = Callable[[], Truth]

_COMPARE = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CALCULATE = {"+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv}


class Track:
    """What one signal is now, for conditions that let it go stale after the same time.

    value, before: None where unknown; before: the value that held until just before the last sample.
    """

    __slots__ = ("armed", "before", "before_us", "key", "on_move", "on_sample", "stale_us", "time_us", "value")

    def __init__(self, key: int, stale_us: int) -> None:
        self.key, self.stale_us = key, stale_us
        self.value: Any = None
        self.before: Any = None
        self.time_us = self.before_us = -NEVER
        self.armed = False
        self.on_move: list[Any] = []
        self.on_sample: list[Any] = []


class Signals(Protocol):
    """Where a tree finds its signals: one condition's view of an evaluator."""

    def track(self, path: str, every_sample: bool) -> Track:
        """Return a signal's track; the condition is asked again at each sample, or only where the value moves."""

    def window(self, kind: str, path: str, us: int) -> Window:
        """Return a signal's window."""

    def remember(self, waiting: Waiting) -> None:
        """Ask the condition again at this one's deadlines."""


class Waiting(Protocol):
    """What changes at a deadline of its own."""

    @property
    def deadline(self) -> int:
        """Return when it changes next if nothing else happens."""


def is_level(node: tree.Node) -> bool:
    """Tell whether a truth is the same at an instant and after it, whatever happens."""
    return not any(
        isinstance(part, tree.Rising | tree.Falling | tree.Always | tree.Once)
        or (isinstance(part, tree.Changed) and part.us is None)
        for part in node.all()
    )


def level(node: tree.Node, signals: Signals) -> Level:
    """Return a truth that is a level as one function."""
    match node:
        case tree.Compare(operation, tree.Held(path), tree.Number(value) | tree.Text(value)):
            return _beside(signals.track(path, every_sample=False), _COMPARE[operation], value)
        case tree.Compare(operation, left, right):
            return _compared(_COMPARE[operation], number(left, signals), number(right, signals))
        case tree.Known(x):
            inner: Callable[[], Any] = level(x, signals) if _is_truth(x) else number(x, signals)
            return lambda: inner() is not None
        case tree.Not(x):
            return _negated(level(x, signals))
        case tree.And(left, right):
            return _all(level(left, signals), level(right, signals))
        case tree.Or(left, right):
            return _any(level(left, signals), level(right, signals))
        case tree.Changed(path, by, int(us)):
            signals.track(path, every_sample=True)
            return _spread(signals.window("max", path, us), signals.window("min", path, us), by)
    raise AssertionError(f"{type(node).__name__} is no level")


def number(node: tree.Node, signals: Signals) -> Number:
    """Return a number or text as one function."""
    match node:
        case tree.Number(value) | tree.Text(value):
            return lambda: value
        case tree.Held(path):
            track = signals.track(path, every_sample=False)
            return lambda: track.value
        case tree.Rate(path):
            return _rate(signals.track(path, every_sample=True))
        case tree.Aggregate(kind, path, us):
            signals.track(path, every_sample=True)
            return signals.window(kind, path, us).value
        case tree.Scaled(x, factor, offset):
            return _scaled(number(x, signals), factor, offset)
        case tree.Absolute(x):
            return _absolute(number(x, signals))
        case tree.Arithmetic(operation, left, right):
            return _calculated(operation, number(left, signals), number(right, signals))
    raise AssertionError(f"{type(node).__name__} is no number")


def _is_truth(node: tree.Node) -> bool:
    return isinstance(node, tree.Compare | tree.Known | tree.Not | tree.And | tree.Or | tree.Changed)


def _beside(track: Track, operation: Callable[[Any, Any], bool], constant: float | str) -> Level:
    def told() -> Truth:
        value = track.value
        return None if value is None else operation(value, constant)

    return told


def _compared(operation: Callable[[Any, Any], bool], left: Number, right: Number) -> Level:
    def told() -> Truth:
        one = left()
        if one is None:
            return None
        other = right()
        return None if other is None else operation(one, other)

    return told


def _negated(x: Level) -> Level:
    def told() -> Truth:
        value = x()
        return None if value is None else not value

    return told


def _all(left: Level, right: Level) -> Level:
    def told() -> Truth:
        one = left()
        if one is False:
            return False
        other = right()
        return other if one or other is False else None

    return told


def _any(left: Level, right: Level) -> Level:
    def told() -> Truth:
        one = left()
        if one:
            return True
        other = right()
        return other if one is False or other else None

    return told


def _spread(greatest: Window, smallest: Window, by: float) -> Level:
    def told() -> Truth:
        most, least = greatest.value(), smallest.value()
        return None if most is None or least is None else far(most, least, by)

    return told


def _rate(track: Track) -> Number:
    def told() -> float | None:
        value, before = track.value, track.before
        if value is None or before is None:
            return None
        return finite((value - before) / ((track.time_us - track.before_us) / 1e6))

    return told


def _scaled(x: Number, factor: float, offset: float) -> Number:
    def told() -> float | None:
        value = x()
        return None if value is None else finite(value * factor + offset)

    return told


def _absolute(x: Number) -> Number:
    def told() -> float | None:
        value = x()
        return None if value is None else abs(value)

    return told


def _calculated(operation: str, left: Number, right: Number) -> Number:
    calculate, divides = _CALCULATE[operation], operation == "/"

    def told() -> float | None:
        one, other = left(), right()
        if one is None or other is None or (divides and not other):
            return None
        return finite(calculate(one, other))

    return told
