"""H3 cells against centres that others have published."""

import numpy as np
import pytest

from carcloud.backends.cells import centres


@pytest.mark.parametrize(
    ("latitude", "longitude", "resolution", "centre"),
    [
        # Microsoft, Kusto's geo_h3cell_to_central_point: the cell 862a1072fffffff
        (40.7, -74.02, 6, (40.7041679083504, -74.016008479792447)),
        # Oracle Database 23, SDO_UTIL.H3_CENTER: the coarsest cell with the North Pole
        (90.0, 0.0, 0, (79.2423985, 38.023407)),
        # H3 for R, cellToLatLng: the cells 8cbe63562a54bff and 8cbe635631103ff
        (-37.82023, 144.9832, 12, (-37.82023, 144.9832)),
        (-37.81844, 144.9674, 12, (-37.81844, 144.9674)),
    ],
)
def test_centres_are_those_that_others_published(latitude, longitude, resolution, centre):
    found = centres(np.array([latitude]), np.array([longitude]), np.array([resolution], np.uint8))
    assert [float(half[0]) for half in found] == pytest.approx(centre, abs=6e-5 if resolution == 12 else 1e-7)


def test_places_of_one_cell_have_one_centre_which_stays_where_it_is():
    latitude, longitude = np.full(3, 48.775), np.array([9.18, 9.1801, 9.1802])
    resolution = np.full(3, 7, np.uint8)
    once = centres(latitude, longitude, resolution)
    again = centres(*once, resolution)
    assert len(set(once[0])) == len(set(once[1])) == 1
    assert once[0].tolist() == again[0].tolist()
    assert once[1].tolist() == again[1].tolist()


def test_no_places_have_no_centres():
    none = np.empty(0)
    assert [len(half) for half in centres(none, none, np.empty(0, np.uint8))] == [0, 0]
