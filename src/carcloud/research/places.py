"""Places: between latitude and longitude and the local frame around an origin.

Rules:
* Degrees on WGS 84. The local frame is the plane that touches the ellipsoid at the origin: x east, y north, metres.
* Heights are left out of it: a road user keeps the height that its source gives.

Source: WGS 84 (NIMA TR8350.2, semi-major axis and flattening); the turn from earth-centred to local coordinates is that
of ISO 19111 (topocentric conversion).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

AXIS_M = 6_378_137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY2 = FLATTENING * (2 - FLATTENING)

Numbers = NDArray[np.float64]


def to_local(latitude: Numbers, longitude: Numbers, origin: tuple[float, float]) -> tuple[Numbers, Numbers]:
    """Return x and y in metres of places in degrees."""
    at, middle = _earth_centred(latitude, longitude), _earth_centred(*(np.array(part, np.float64) for part in origin))
    dx, dy, dz = (one - other for one, other in zip(at, middle, strict=True))
    phi, lam = np.radians(origin)
    east = -np.sin(lam) * dx + np.cos(lam) * dy
    north = -np.sin(phi) * np.cos(lam) * dx - np.sin(phi) * np.sin(lam) * dy + np.cos(phi) * dz
    return east, north


def to_degrees(x: Numbers, y: Numbers, origin: tuple[float, float]) -> tuple[Numbers, Numbers]:
    """Return latitude and longitude in degrees of places in metres; good to a millimetre within 20 km."""
    latitude, longitude = np.full_like(x, origin[0]), np.full_like(x, origin[1])
    for _ in range(6):  # each turn leaves about a thousandth of the error before
        east, north = to_local(latitude, longitude, origin)
        phi = np.radians(latitude)
        across = AXIS_M / np.sqrt(1 - ECCENTRICITY2 * np.sin(phi) ** 2)
        along = across * (1 - ECCENTRICITY2) / (1 - ECCENTRICITY2 * np.sin(phi) ** 2)
        latitude = latitude + np.degrees((y - north) / along)
        longitude = longitude + np.degrees((x - east) / (across * np.cos(phi)))
    return latitude, longitude


def _earth_centred(latitude: Numbers, longitude: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    phi, lam = np.radians(latitude), np.radians(longitude)
    across = AXIS_M / np.sqrt(1 - ECCENTRICITY2 * np.sin(phi) ** 2)
    return (
        across * np.cos(phi) * np.cos(lam),
        across * np.cos(phi) * np.sin(lam),
        across * (1 - ECCENTRICITY2) * np.sin(phi),
    )
