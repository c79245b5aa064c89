"""Motion: who was where, as arrays of one row a road user and one column a step. What features, metrics, planners,
simulation and exports all work on.

Rules:
* SI units. x, y, z in metres in a local frame: x east, y north, z up (ENU). yaw in radians from x towards y, in
  (-pi, pi].
* A position is the centre of the box around the road user, at half its height.
* `speed` is along the yaw, negative backwards; `vx`, `vy` are in the local frame.
* Where `present` is False all other numbers of the place are NaN.

Source: ASAM OSI 3.7, BaseMoving (names and frames).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

KINDS = ("car", "truck", "bus", "motorcycle", "bicycle", "pedestrian", "static", "other")
"""What a road user may be; stored as its place in this tuple where a number is wanted."""

SIZES: dict[str, tuple[float, float, float]] = {
    "car": (4.6, 1.85, 1.5),
    "truck": (10.0, 2.5, 3.5),
    "bus": (12.0, 2.55, 3.2),
    "motorcycle": (2.2, 0.8, 1.5),
    "bicycle": (1.8, 0.6, 1.7),
    "pedestrian": (0.5, 0.6, 1.75),
    "static": (1.0, 1.0, 1.0),
    "other": (4.0, 1.8, 1.5),
}
"""Length, width, height in metres of a road user whose source says none."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class RoadUser:
    """A road user, as long as a scenario lasts.

    Args:
        track: its number in the scenario.
        name: what its source calls it.
        kind: one of KINDS.
        length, width, height: of its box, metres.
    """

    track: int
    name: str
    kind: str
    length: float
    width: float
    height: float


@dataclass(frozen=True)
class Motion:
    """The motion of V road users over T steps.

    Args:
        users: V road users, in the order of their track numbers.
        time_us: (T,) int64, microseconds since the scenario's beginning, rising; even steps of `step_s`.
        x, y, z: (V, T) float64, metres.
        yaw: (V, T) float64, radians.
        vx, vy: (V, T) float64, metres a second, local frame.
        ax, ay: (V, T) float64, metres a second squared, local frame.
        present: (V, T) bool.
    """

    users: tuple[RoadUser, ...]
    time_us: NDArray[np.int64]
    x: Numbers
    y: Numbers
    z: Numbers
    yaw: Numbers
    vx: Numbers
    vy: Numbers
    ax: Numbers
    ay: Numbers
    present: NDArray[np.bool_]
    sizes: Numbers = field(init=False)

    def __post_init__(self) -> None:
        sizes = np.array([[one.length, one.width, one.height] for one in self.users], np.float64).reshape(-1, 3)
        object.__setattr__(self, "sizes", sizes)

    @property
    def shape(self) -> tuple[int, int]:
        """Return (V, T)."""
        return len(self.users), len(self.time_us)

    @property
    def step_s(self) -> float:
        """Return the time between two steps, seconds; 0.1 where there is one step only."""
        return float(np.median(np.diff(self.time_us))) / 1e6 if len(self.time_us) > 1 else 0.1

    @property
    def speed(self) -> Numbers:
        """Return (V, T) metres a second along the yaw."""
        return self.vx * np.cos(self.yaw) + self.vy * np.sin(self.yaw)

    @property
    def acceleration(self) -> Numbers:
        """Return (V, T) metres a second squared along the yaw."""
        return self.ax * np.cos(self.yaw) + self.ay * np.sin(self.yaw)

    def row(self, track: int) -> int:
        """Return the row of a track number; KeyError where there is none."""
        for at, user in enumerate(self.users):
            if user.track == track:
                return at
        raise KeyError(track)


def at_steps(users: Sequence[RoadUser], steps: int) -> dict[str, Numbers]:
    """Return empty columns, all NaN, for that many users and steps: x, y, z, yaw, vx, vy, ax, ay."""
    shape = len(users), steps
    return {name: np.full(shape, np.nan) for name in ("x", "y", "z", "yaw", "vx", "vy", "ax", "ay")}


def wrapped(angle: Numbers) -> Numbers:
    """Return angles in (-pi, pi]."""
    turned = np.remainder(angle + np.pi, 2 * np.pi) - np.pi
    return np.where(turned == -np.pi, np.pi, turned)
