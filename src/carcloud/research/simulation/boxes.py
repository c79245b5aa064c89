"""Whether two boxes touch."""

from __future__ import annotations

import math

from carcloud.research.simulation.compiled import inlined


@inlined
def touching(
    x: float,
    y: float,
    yaw: float,
    length: float,
    width: float,
    other_x: float,
    other_y: float,
    other_yaw: float,
    other_length: float,
    other_width: float,
) -> bool:
    """Tell whether two boxes overlap; edges that just meet do not.

    Source: Gottschalk, Lin, Manocha, "OBBTree" (SIGGRAPH 1996): no axis of either box parts them.
    """
    dx, dy = other_x - x, other_y - y
    reach = (length + width + other_length + other_width) / 2
    if dx * dx + dy * dy >= reach * reach:
        return False
    cos, sin = math.cos(yaw), math.sin(yaw)
    other_cos, other_sin = math.cos(other_yaw), math.sin(other_yaw)
    turn_cos = abs(cos * other_cos + sin * other_sin)
    turn_sin = abs(cos * other_sin - sin * other_cos)
    a, b, p, q = length / 2, width / 2, other_length / 2, other_width / 2
    if abs(dx * cos + dy * sin) >= a + p * turn_cos + q * turn_sin:
        return False
    if abs(dy * cos - dx * sin) >= b + p * turn_sin + q * turn_cos:
        return False
    if abs(dx * other_cos + dy * other_sin) >= p + a * turn_cos + b * turn_sin:
        return False
    return abs(dy * other_cos - dx * other_sin) < q + a * turn_sin + b * turn_cos
