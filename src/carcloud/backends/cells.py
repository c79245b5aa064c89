"""Places in cells of H3, by h3ronpy: many at once.

Source: https://h3geo.org/docs/core-library/latLngToCellDesc (the cell of a place), cellToLatLngDesc (its centre).
"""

from __future__ import annotations

import numpy as np
from h3ronpy.vector import cells_to_coordinates, coordinates_to_cells
from numpy.typing import NDArray

Degrees = NDArray[np.float64]


def centres(latitude: Degrees, longitude: Degrees, resolution: NDArray[np.uint8]) -> tuple[Degrees, Degrees]:
    """Return latitudes and longitudes of the centres of the cells in which places lie.

    Args:
        latitude, longitude: (places,), finite, WGS 84.
        resolution: (places,), from 0, cells of about 1,300 km, to 15, below a metre.
    """
    if not len(latitude):
        return latitude, longitude
    found = cells_to_coordinates(coordinates_to_cells(latitude, longitude, resolution))
    return np.asarray(found.column("lat")), np.asarray(found.column("lng"))
