"""GCJ-02, the datum of maps in mainland China: what WGS 84 becomes on them, and the way back.

Rules:
* What is kept is WGS 84. This is for showing it, and for cars that say their place in GCJ-02.
* Outside the box around mainland China a place stays what it is.
* The way back is found by correcting a guess until it lands where it should: exact to well below a millimetre.

Source: the conversion as it has been public since 2013, on the ellipsoid of Krasovsky 1940; reference points from the
tests of github.com/googollee/eviltransform.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Degrees = NDArray[np.float64]

SOUTH, NORTH, WEST, EAST = 0.8293, 55.8271, 72.004, 137.8347
"""The box, in degrees."""

_AXIS_M, _ECCENTRICITY2 = 6_378_245.0, 0.006693421622965943
_ORIGIN = (35.0, 105.0)
_ROUNDS = 8
_BOTH = ((20.0, 6.0), (20.0, 2.0))
_NORTHWARD = ((20.0, 1.0), (40.0, 1 / 3), (160.0, 1 / 12), (320.0, 1 / 30))
_EASTWARD = ((20.0, 1.0), (40.0, 1 / 3), (150.0, 1 / 12), (300.0, 1 / 30))
"""Waves of the shift: how high, in metres times 3/2, and how many half turns a degree."""


def in_box(latitude: Degrees, longitude: Degrees) -> NDArray[np.bool_]:
    """Tell which places lie in the box around mainland China; what is no number does not."""
    return (latitude >= SOUTH) & (latitude <= NORTH) & (longitude >= WEST) & (longitude <= EAST)


def to_gcj02(latitude: Degrees, longitude: Degrees) -> tuple[Degrees, Degrees]:
    """Return places of WGS 84 in GCJ-02. Both: (places,), degrees."""
    inside = in_box(latitude, longitude)
    shown = latitude.astype(np.float64), longitude.astype(np.float64)
    for half, shift in zip(shown, _shift(latitude[inside], longitude[inside]), strict=True):
        half[inside] += shift
    return shown


def from_gcj02(latitude: Degrees, longitude: Degrees) -> tuple[Degrees, Degrees]:
    """Return places of GCJ-02 in WGS 84. Both: (places,), degrees."""
    inside = in_box(latitude, longitude)
    wanted = latitude[inside], longitude[inside]
    guess = wanted
    for _ in range(_ROUNDS):
        north, east = _shift(*guess)
        guess = wanted[0] - north, wanted[1] - east
    found = latitude.astype(np.float64), longitude.astype(np.float64)
    for half, value in zip(found, guess, strict=True):
        half[inside] = value
    return found


def place_from_gcj02(latitude: float, longitude: float) -> tuple[float, float]:
    """Return one place of GCJ-02 in WGS 84, as `from_gcj02` does: for one place some twenty times as fast."""
    if not (SOUTH <= latitude <= NORTH and WEST <= longitude <= EAST):
        return latitude, longitude
    guess = latitude, longitude
    for _ in range(_ROUNDS):
        north, east = _shift(*guess, math)
        guess = latitude - north, longitude - east
    return guess


def _shift(latitude: Any, longitude: Any, of: Any = np) -> tuple[Any, Any]:
    """Return by how many degrees places are moved, northward and eastward: arrays with numpy, one with math."""
    y, x = latitude - _ORIGIN[0], longitude - _ORIGIN[1]
    root = of.sqrt(of.fabs(x))
    both = _waves(_BOTH, x, of)
    north_m = -100 + 2 * x + 3 * y + 0.2 * y * y + 0.1 * x * y + 0.2 * root + both + _waves(_NORTHWARD, y, of)
    east_m = 300 + x + 2 * y + 0.1 * x * x + 0.1 * x * y + 0.1 * root + both + _waves(_EASTWARD, x, of)
    bend = 1 - _ECCENTRICITY2 * of.sin(of.radians(latitude)) ** 2
    along_m = of.radians(_AXIS_M * (1 - _ECCENTRICITY2) / bend**1.5)  # metres a degree along the meridian
    across_m = of.radians(_AXIS_M / of.sqrt(bend) * of.cos(of.radians(latitude)))
    return north_m / along_m, east_m / across_m


def _waves(waves: tuple[tuple[float, float], ...], at: Any, of: Any) -> Any:
    total = 0.0 * at
    for height, turns in waves:
        total = total + height * of.sin(turns * math.pi * at)
    return total * 2 / 3
