"""A tree made ready to run: what remembers something becomes a step, and what does not one function.

Rules:
* A step is told each instant at which something below it may change, once, and answers (now, after).
* A step says by `deadline` when it will change though no sample comes; NEVER where it will not.
"""

from __future__ import annotations

from collections.abc import Callable

from carcloud.vehicle.conditions import tree
from carcloud.vehicle.conditions.condition import Truth
from carcloud.vehicle.conditions.initial import both, far, initial, negated
from carcloud.vehicle.conditions.levels import Signals, Track, is_level, level
from carcloud.vehicle.conditions.windows import NEVER

Step = Callable[[int], tuple[Truth, Truth]]


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


def _changed(track: Track, by: float) -> Step:
    def told(time_us: int) -> tuple[Truth, Truth]:
        if track.value is None:
            return None, None
        if track.time_us != time_us:
            return False, False
        return None if track.before is None else far(track.value, track.before, by), False

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
