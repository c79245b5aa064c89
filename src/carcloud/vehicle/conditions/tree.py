"""What a condition says once it is read and checked: a tree of few kinds of nodes, each with one meaning.

Every node stands for a function of time. It changes at instants only (sample times and deadlines), so it is told by
what it is at each instant and what it is after it, until the next one. `x(t-)` is what it was just before an instant.
Truth has three values; unknown is None, and and, or and not are Kleene's.

Rules:
* Of samples of one signal with the same time the one that was accepted last counts; no other order matters.
* A signal holds a value from its sample's time, inclusive, until `stale_us` later, exclusive, or its next sample.
  Before and after that it is unknown. What is no finite number, or divided by zero, is unknown.
* A window at `t` is (t - us, t].
* Numbers are float64. An aggregate's mean is taken over floor(value * 1e6 + 0.5), as integers, and divided once:
  float(sum) / (count * 1e6). It is unknown where a sample in the window is LIMIT_MEAN or more in size.
* Every sample's number is finite; what is none never gets this far.
* All numbers of a tree are in the units of their signals: whoever made it converted them, by `Scaled` where need be.

Source: docs/conditions.md, which says the same to people.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

MICRO = 1_000_000
LIMIT_MEAN = 1e18
"""From this size on a sample makes a mean unknown, so that sums of millionths fit 128 bits."""


class Node:
    """A part of a condition."""

    def parts(self) -> Iterator[Node]:
        """Yield the nodes right below."""
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, Node):
                yield value

    def all(self) -> Iterator[Node]:
        """Yield this node and all below."""
        yield self
        for part in self.parts():
            yield from part.all()


# What has a number, or a text.


@dataclass(frozen=True)
class Number(Node):
    """A number that stands in the text."""

    value: float


@dataclass(frozen=True)
class Text(Node):
    """A text that stands in the text."""

    value: str


@dataclass(frozen=True)
class Held(Node):
    """A signal's value: a number, or a text where `text`. Booleans are 0 and 1; as a truth they stand in `Compare`."""

    path: str
    text: bool = False


@dataclass(frozen=True)
class Scaled(Node):
    """x * factor + offset, worked out in this order; a factor of 1 and an offset of 0 are left out."""

    x: Node
    factor: float
    offset: float


@dataclass(frozen=True)
class Arithmetic(Node):
    """Two numbers and one operation."""

    operation: Literal["+", "-", "*", "/"]
    left: Node
    right: Node


@dataclass(frozen=True)
class Absolute(Node):
    """A number without its sign."""

    x: Node


@dataclass(frozen=True)
class Rate(Node):
    """(value - the value before) / ((time - the time before) / 1e6), at a signal's sample, held as the signal holds.

    Unknown where the value before did not hold until just before the sample.
    """

    path: str


@dataclass(frozen=True)
class Aggregate(Node):
    """Of a signal's samples in the window. Without any, `count` is 0 and the others are unknown."""

    kind: Literal["mean", "min", "max", "count"]
    path: str
    us: int


# What is true, false or unknown.


@dataclass(frozen=True)
class Compare(Node):
    """Two numbers, or two texts (= and != only)."""

    operation: Literal["=", "!=", "<", "<=", ">", ">="]
    left: Node
    right: Node


@dataclass(frozen=True)
class Known(Node):
    """Whether x is known: true or false, never unknown."""

    x: Node


@dataclass(frozen=True)
class Not(Node):
    """Not x."""

    x: Node


@dataclass(frozen=True)
class And(Node):
    """Both."""

    left: Node
    right: Node


@dataclass(frozen=True)
class Or(Node):
    """At least one."""

    left: Node
    right: Node


@dataclass(frozen=True)
class Rising(Node):
    """not x(t-) and x(t): true at single instants; after an instant false, or unknown where x is."""

    x: Node


@dataclass(frozen=True)
class Falling(Node):
    """x(t-) and not x(t): true at single instants; after an instant false, or unknown where x is."""

    x: Node


@dataclass(frozen=True)
class Changed(Node):
    """Without a window: at a sample, whether |value - the value before| >= by; false between samples.

    Unknown where the signal is, and at a sample before which no value held. With a window: whether the greatest and the
    smallest sample in it are `by` or more apart; unknown without samples.
    """

    path: str
    by: float
    us: int | None = None


@dataclass(frozen=True)
class Always(Node):
    """x at every time of the window: "for at least". False where x was false, else unknown where it was unknown."""

    x: Node
    us: int


@dataclass(frozen=True)
class Once(Node):
    """x at some time of the window; where `before`, of the window without its end, (t - us, t)."""

    x: Node
    us: int
    before: bool = False


def near(left: Node, right: Node, us: int) -> Node:
    """Return "left within us of right": one of them now, and the other in the window."""
    return Or(And(left, Once(right, us)), And(right, Once(left, us)))


def then(left: Node, right: Node, us: int) -> Node:
    """Return "left then right within us": right now, and left before it, in the window."""
    return And(right, Once(left, us, before=True))
