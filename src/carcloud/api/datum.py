"""The datum in which places are shown: what cars say is WGS 84; maps of mainland China want GCJ-02.

Rules:
* Only what is shown is converted. Neither twin nor lake nor stream ever holds anything but WGS 84.
* A place is a latitude and a longitude of one thing. Half a place cannot be converted and is left out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import numpy as np
from fastapi import Query

from carcloud.api.ports import Last, Ports
from carcloud.vehicle.gcj02 import to_gcj02

Datum = Literal["wgs84", "gcj02"]
LATITUDE, LONGITUDE = ".Latitude", ".Longitude"

Asked = Annotated[
    Literal["wgs84", "gcj02", "map"],
    Query(description="The datum of latitudes and longitudes in the answer; `map`: the one of the zone's base map"),
]


def datum_of(ports: Ports, asked: Asked) -> Datum:
    """Return the datum that is asked for."""
    return "gcj02" if "gcj02" in (asked, ports.map_datum if asked == "map" else "") else "wgs84"


def one_in(values: Mapping[str, Last], datum: Datum) -> Mapping[str, Last]:
    """Return a car's values with its places in a datum."""
    if datum == "wgs84":
        return values
    paths = list(values)
    (row,) = fleet_in(paths, [[values[path] for path in paths]], datum)
    return {path: last for path, last in zip(paths, row, strict=True) if last is not None}


def fleet_in(
    paths: Sequence[str], rows: Sequence[Sequence[Last | None]], datum: Datum
) -> Sequence[Sequence[Last | None]]:
    """Return cars' values, each in the order of the paths, with their places in a datum."""
    if datum == "wgs84" or not rows:
        return rows
    shown = [list(row) for row in rows]
    for north, east in _places(paths):
        halves = [[_number(row[at]) if at is not None else np.nan for row in rows] for at in (north, east)]
        moved = to_gcj02(*(np.array(half, np.float64) for half in halves))
        whole = np.isfinite(moved[0]) & np.isfinite(moved[1])
        for at, half in ((north, moved[0]), (east, moved[1])):
            if at is not None:
                for row, value, fits in zip(shown, half.tolist(), whole.tolist(), strict=True):
                    last = row[at]
                    row[at] = replace(last, value=value) if fits and last is not None else None
    return shown


def _places(paths: Sequence[str]) -> Iterator[tuple[int | None, int | None]]:
    """Yield the positions of latitude and longitude of each thing, None for a half that is not there."""
    place = {path: at for at, path in enumerate(paths)}
    things = {path.removesuffix(half) for path in paths for half in (LATITUDE, LONGITUDE) if path.endswith(half)}
    for thing in sorted(things):
        yield place.get(thing + LATITUDE), place.get(thing + LONGITUDE)


def _number(last: Last | None) -> float:
    value = None if last is None else last.value
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else np.nan
