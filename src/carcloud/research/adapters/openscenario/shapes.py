"""How a value goes from where it is to where it is wanted: step, linear, cubic, sinusoidal.

Source: ASAM OpenSCENARIO XML 1.3, DynamicsShape, DynamicsDimension (a rate is the steepest along the way).
"""

from __future__ import annotations

import math

from carcloud.research.adapters.openscenario.nodes import Node

SHAPES = ("step", "linear", "cubic", "sinusoidal")
_STEEPEST = {"linear": 1.0, "cubic": 1.5, "sinusoidal": math.pi / 2}
"""The steepest slope of a shape over its mean."""
_SHARPEST = {"linear": 4.0, "cubic": 6.0, "sinusoidal": math.pi**2 / 2}
"""The greatest second derivative of a shape, of a way of 1 in a time of 1; linear is taken as the shortest possible."""


def share(shape: str, done: float) -> float:
    """Return how much of the way is behind, 0 to 1, when `done` of the time or distance is."""
    if done >= 1 or shape == "step":
        return 1.0
    if done <= 0:
        return 0.0
    if shape == "cubic":
        return done * done * (3 - 2 * done)
    if shape == "sinusoidal":
        return (1 - math.cos(math.pi * done)) / 2
    return done


def checked(shape: str, node: Node) -> str:
    """Return a shape's name; an InputError where there is none such."""
    return shape if shape in SHAPES else node.refuse(f"has the unknown dynamicsShape {shape[:40]!r}")


class Transition:
    """The way from one value to another, over time or distance.

    Args:
        node: an element with dynamicsShape, dynamicsDimension and value.
        way: from the value at its beginning to that at its end.
    """

    def __init__(self, node: Node, way: float) -> None:
        self.shape = checked(node.text("dynamicsShape"), node)
        dimension, value = node.text("dynamicsDimension"), abs(node.number("value"))
        self.by_distance = dimension == "distance"
        if dimension == "rate":
            self.extent = _time_at(self.shape, way, value)
        elif dimension in ("time", "distance"):
            self.extent = value
        else:
            node.refuse(f"has the unknown dynamicsDimension {dimension[:40]!r}")
        if abs(way) < 1e-9 or self.shape == "step":
            self.extent = 0.0

    def share(self, elapsed: float) -> float:
        """Return how much of the way is behind after that time or distance."""
        return share(self.shape, elapsed / self.extent) if self.extent > 0 else 1.0

    @property
    def never(self) -> bool:
        """Return whether it stays where it is: a rate of nothing."""
        return math.isinf(self.extent)


def _time_at(shape: str, way: float, rate: float) -> float:
    return math.inf if rate == 0 else abs(way) * _STEEPEST.get(shape, 1.0) / rate


def time_within(shape: str, way: float, limit: float) -> float:
    """Return the shortest time in which a shape goes a way with its second derivative within a limit, seconds."""
    return 0.0 if shape == "step" or limit <= 0 else math.sqrt(_SHARPEST[shape] * abs(way) / limit)
