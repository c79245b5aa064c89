"""A tree made ready to run: nodes become functions, and what remembers something becomes a step.

Rules:
* A level is the same at an instant and after it: it is one function without arguments.
* A step is told each instant at which something below it may change, once, and answers (now, after).
* A step says by `deadline` when it will change though no sample comes; NEVER where it will not.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Protocol

from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.condition import Truth
from carcloud.vehicle.conditions.initial import both, finite, initial, negated
from carcloud.vehicle.conditions.windows import NEVER, Window

Number = Callable[[], Any]
"""A number or a text now, or None."""
Level = Callable[[], Truth]
Step = Callable[[int], tuple[Truth, Truth]]

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


class Edge:
    """Rising and falling."""

    def __init__(self, x: Step, node: tree.Rising | tree.Falling) -> None:
        self._x, self._up, self._last = x, isinstance(node, tree.Rising), initial(node.x)

    def step(self, time_us: int) -> tuple[Truth, Truth]:
        """Return what it is at an instant, and after it."""
        before = self._last
        now, self._last = self._x(time_us)
        happens = both(negated(before), now) if self._up else both(before, negated(now))
        return happens, None if self._last is None else False


class Span:
    """Always and once: what x was in the last `us`.

    Once is told here; always is "not once not", by Kleene's rules. The three fields are the end of the last stretch in
    which x was true, of the last in which it was unknown, and what it is since the last instant.
    """

    def __init__(self, x: Step, node: tree.Always | tree.Once) -> None:
        self._x, self._us = x, node.us
        self._always = isinstance(node, tree.Always)
        self._before = isinstance(node, tree.Once) and node.before
        self._true_us = self._unknown_us = -NEVER
        self._follows = initial(node)
        self._last = negated(initial(node.x)) if self._always else initial(node.x)
        self.deadline = NEVER

    def step(self, time_us: int) -> tuple[Truth, Truth]:
        """Return what it is at an instant, and after it."""
        now, after = self._x(time_us)
        if self._always:
            now, after = negated(now), negated(after)
        last = self._last
        if now is last and after is last and time_us < self.deadline:  # nothing moved: what followed then is so still
            return self._follows, self._follows
        self._note(last, time_us)
        happens = self._told(last if self._before else now, time_us)
        self._note(now, time_us)
        self._last = after
        follows = self._told(after, time_us)
        self.deadline = self._next(time_us)
        if self._always:
            happens, follows = negated(happens), negated(follows)
        self._follows = follows
        return happens, follows

    def _note(self, x: Truth, time_us: int) -> None:
        if x is True:
            self._true_us = time_us
        elif x is None:
            self._unknown_us = time_us

    def _told(self, x: Truth, time_us: int) -> Truth:
        if x is True or time_us < self._true_us + self._us:
            return True
        return None if x is None or time_us < self._unknown_us + self._us else False

    def _next(self, time_us: int) -> int:
        if self._last is True:
            return NEVER
        ends = self._true_us + self._us
        if time_us < ends:
            return ends
        ends = self._unknown_us + self._us
        return ends if self._last is False and time_us < ends else NEVER


def step(node: tree.Node, signals: Signals) -> Step:
    """Return a truth as a step."""
    if isinstance(node, tree.Rising | tree.Falling):
        return Edge(step(node.x, signals), node).step
    if isinstance(node, tree.Always | tree.Once):
        span = Span(step(node.x, signals), node)
        signals.remember(span)
        return span.step
    if isinstance(node, tree.Changed) and node.us is None:
        return _changed(signals.track(node.path, every_sample=True), node.by)
    if isinstance(node, tree.And | tree.Or) and not is_level(node):
        return _joined(step(node.left, signals), step(node.right, signals), isinstance(node, tree.And))
    if isinstance(node, tree.Not | tree.Known) and not is_level(node):
        return _mapped(step(node.x, signals), isinstance(node, tree.Not))
    held = level(node, signals)

    def same(time_us: int) -> tuple[Truth, Truth]:
        now = held()
        return now, now

    return same


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
        return None if most is None or least is None else most - least >= by

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


def _changed(track: Track, by: float) -> Step:
    def told(time_us: int) -> tuple[Truth, Truth]:
        if track.value is None:
            return None, None
        if track.time_us != time_us:
            return False, False
        return None if track.before is None else abs(track.value - track.before) >= by, False

    return told


def _joined(left: Step, right: Step, conjoined: bool) -> Step:
    def told(time_us: int) -> tuple[Truth, Truth]:
        now, after = left(time_us)
        other_now, other_after = right(time_us)
        if conjoined:
            return both(now, other_now), both(after, other_after)
        return (
            negated(both(negated(now), negated(other_now))),
            negated(both(negated(after), negated(other_after))),
        )

    return told


def _mapped(x: Step, negates: bool) -> Step:
    def told(time_us: int) -> tuple[Truth, Truth]:
        now, after = x(time_us)
        return (negated(now), negated(after)) if negates else (now is not None, after is not None)

    return told
